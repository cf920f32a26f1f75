"""Two peers that read text with the reference's weights at hand: Token-DiFR at T=0, RUT at T=1.

Token-DiFR: Karvonen et al., DiFR: Inference Verification Despite Nondeterminism, arXiv 2511.20621. The
score of a token is how far it lies below the token that the trusted reference would have taken, given the same tokens
before it and the same random numbers, clipped at the 99.9th percentile of trusted scores; tokens are averaged. At T=0
there are no random numbers and the score is the margin in logits, which is the one case that PyPI's `token-difr` 0.1.2
offers for providers ("temperature must be 0"). That package verifies in vLLM on CUDA or through two paid APIs and
installs their clients, so the statistic is computed here; on random logits its margins and ours were equal to the last
bit. Deviation: the package calls the margin of a token outside top-k 50 or top-p .95 infinite and counts it apart; here
it is clipped like the others, as in the code of the paper's plots (github.com/adamkarvonen/difr). The bank is what is
trusted.

RUT: Zhu et al., Auditing Black-Box LLM APIs with a Rank-Based Uniformity Test, arXiv 2506.06975, the method with its
log-rank score. Of each prompt one answer of the endpoint and m answers of the reference get a score under the
reference, the mean log-rank of their tokens; the randomised rank of the endpoint's score among the others is uniform if
the models are the same, which the Cramer-von Mises test looks at. Deviations: ranks are (number below + U (ties + 1)) /
(m + 1), exactly uniform for any m; m is 12, where the paper draws more, which shrinks shifts of ranks by m / (m + 1)
and so asks for a sixth more tokens; all samples of a prompt may serve, one for each time that an audit draws the
prompt. Both sides are read as the tokenizer reads the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.audit_cache import Answer
from benchmarks.audit_peer_power import Floats, Ints, TokenMeans
from benchmarks.audit_peer_scores import Scores

__all__ = ["CVM_CRITICAL", "Rut", "clip_of", "cramer_von_mises", "log_rank", "prepare_difr", "prepare_rut", "rank"]

CVM_CRITICAL = {0.05: 0.46136, 0.01: 0.74346}  # Anderson and Darling 1952, table 1; n to infinity


def clip_of(trusted: Sequence[Scores]) -> float:
    """Where margins are clipped, in nats: the 99.9th percentile of those of trusted answers."""
    return float(np.quantile(np.concatenate([one.margins_nats for one in trusted]), 0.999))


def prepare_difr(
    answers: Sequence[Answer], scores: Sequence[Scores], probes: Sequence[int], *, clip_nats: float
) -> TokenMeans:
    """Token-DiFR on greedy answers, with their scores under the reference."""
    rows = {probe: row for row, probe in enumerate(probes)}
    values = np.full((len(probes), max((len(one.margins_nats) for one in scores), default=1) or 1), np.nan)
    for answer, found in zip(answers, scores, strict=True):
        if answer.probe in rows and answer.sample == 0 and answer.finish != "error":
            values[rows[answer.probe], : len(found.margins_nats)] = np.minimum(found.margins_nats, clip_nats)
    return TokenMeans(values, np.isfinite(values).sum(axis=1))


def log_rank(scores: Scores) -> float:
    """Mean of log(1 + rank) over the tokens of an answer; NaN for one without tokens."""
    return float(np.log1p(scores.ranks).mean()) if len(scores.ranks) else float("nan")


def rank(score: float, others: Sequence[float], rng: np.random.Generator) -> float:
    """The randomised rank in (0, 1) of a score among others of the same law."""
    compared = np.asarray(others)
    below, ties = int((compared < score).sum()), int((compared == score).sum())
    return (below + float(rng.random()) * (ties + 1)) / (len(compared) + 1)


def cramer_von_mises(ranks: Floats) -> Floats:
    """Statistics [audits] of ranks [audits, n] against the uniform distribution on (0, 1); NaN ranks count as none."""
    n = np.isfinite(ranks).sum(axis=1, keepdims=True)
    order = np.arange(1, ranks.shape[1] + 1)
    expected = (2 * order - 1) / (2 * np.maximum(n, 1))
    square = np.where(order <= n, (np.sort(ranks, axis=1) - expected) ** 2, 0.0)  # NaN is sorted last
    return np.where(n[:, 0] > 0, 1 / (12 * np.maximum(n[:, 0], 1)) + square.sum(axis=1), -np.inf)


@dataclass(frozen=True, eq=False)
class Rut:
    """`ranks` and `costs` [prompts, samples]; a unit is one answer, number prompt * samples + sample."""

    ranks: Floats
    costs: Ints
    alpha: float

    @property
    def cost_tokens(self) -> Ints:
        """See `Prepared`."""
        return self.costs.ravel()

    @property
    def own_threshold(self) -> float:
        """The asymptotic critical value of the Cramer-von Mises test."""
        return CVM_CRITICAL[self.alpha]

    def scores(self, draws: Ints, used: Ints, rng: np.random.Generator) -> Floats:
        """Cramer-von Mises statistics of the answers that are paid for as a whole."""
        whole = (used > 0) & (used == self.cost_tokens[draws])
        return cramer_von_mises(np.where(whole, self.ranks.ravel()[draws], np.nan))

    def take(self, prompts: Ints) -> Rut:
        """See `Prepared`."""
        return Rut(self.ranks[prompts], self.costs[prompts], self.alpha)


def prepare_rut(
    answers: Sequence[Answer],
    scores: Sequence[Scores],
    local: dict[int, list[float]],
    probes: Sequence[int],
    *,
    alpha: float = 0.01,
    seed: int = 0,
) -> Rut:
    """RUT on samples with their scores; `local` are log-ranks of the reference's own answers to each probe."""
    rng = np.random.default_rng([seed, 2])
    rows = {probe: row for row, probe in enumerate(probes)}
    width = max((one.sample for one in answers), default=0) + 1
    ranks, costs = np.full((len(probes), width), np.nan), np.zeros((len(probes), width), dtype=np.int64)
    for answer, found in zip(answers, scores, strict=True):
        score = log_rank(found)
        if answer.probe in rows and answer.finish != "error" and local.get(answer.probe) and np.isfinite(score):
            place = rows[answer.probe], answer.sample
            ranks[place], costs[place] = rank(score, local[answer.probe], rng), answer.answer_tokens
    return Rut(ranks, costs, alpha)
