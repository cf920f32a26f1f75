"""Two peers that read the first tokens at T=0: LT from top logprobs, B3IT from the tokens alone.

Both compare an endpoint with the reference as another engine serves it, place by place. A place is a token of the
answer to a prompt; it can be compared up to the first token in which the two answers differ, that one included.

LT: Chauvin, Le Merrer, Taiani, Tredan, Log Probability Tracking of LLM APIs, arXiv 2512.03816, in the form of the
authors' code (github.com/timothee-chauvin/track-llm-apis, analyze_logprobs.py). Of every token in the top k of either
side the logprobs are averaged over repeated requests on each side; a token that is missing from one answer counts as
its smallest logprob there (left censoring); the statistic is the mean absolute difference of the two averages.
Deviations: the paper asks one prompt again and again and permutes labels over the repeats; here each of many prompts is
asked once, so that a permutation within a prompt changes nothing (|a - b| = |b - a|), and the threshold comes from the
bank; the statistic is averaged over places.

B3IT: Chauvin et al., Token-Efficient Change Detection in LLM APIs, arXiv 2602.11083, and its code (analyze_bi.py):
border inputs, whose first token at T=0 is nearly tied, total variation between the distributions of the first tokens,
averaged over inputs. Deviations: the paper finds border inputs among thousands of one-token prompts by servers' own
wavering, and samples each of them often. Here they are the hold-out prompts in which the reference's two likeliest
first tokens are nearest; servers hardly waver when one request is in flight, so each is asked once, and the total
variation of two single tokens is 0 or 1. `places="path"` takes the further tokens of the answers as inputs of their
own, each paid for with one token, as if the endpoint took a begun answer: more inputs than the paper's, at the same
price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from benchmarks.audit_cache import Answer
from benchmarks.audit_peer_power import TokenMeans
from bitproof.engines.generation import TokenLogprob

__all__ = ["lt_difference", "prepare_b3it", "prepare_lt"]

Key = int | str
BORDER_INPUTS = 40


def prepare_lt(
    endpoint: Sequence[Answer], reference: Sequence[Answer], probes: Sequence[int], *, top: int, first: int
) -> TokenMeans:
    """LT with `top` logprobs on the `first` tokens of each answer; what is paid for is what the endpoint answered."""
    theirs, ours = _by_probe(endpoint), _by_probe(reference)
    values = np.full((len(probes), first), np.nan)
    for row, probe in enumerate(probes):
        for number, there, here in _places(theirs.get(probe), ours.get(probe)):
            if number < first:
                values[row, number] = lt_difference(*(_logprobs(pair, top) for pair in _alike(there, here)))
    return TokenMeans(values, _costs(endpoint, probes, first))


def lt_difference(one: Mapping[Key, float], other: Mapping[Key, float]) -> float:
    """Mean absolute difference, in nats, of two lists of top logprobs, over the tokens of either."""
    low_one, low_other = min(one.values()), min(other.values())
    seen = one.keys() | other.keys()
    return sum(abs(one.get(token, low_one) - other.get(token, low_other)) for token in seen) / len(seen)


def prepare_b3it(
    endpoint: Sequence[Answer],
    reference: Sequence[Answer],
    probes: Sequence[int],
    *,
    inputs: int = BORDER_INPUTS,
    places: Literal["first", "path"] = "first",
) -> TokenMeans:
    """B3IT on the `inputs` places where the reference, with top logprobs, is nearest to a tie."""
    theirs, ours = _by_probe(endpoint), _by_probe(reference)
    depth = 1 if places == "first" else max((len(one.tokens or ()) for one in reference), default=1)
    gaps = np.full((len(probes), depth), np.inf)
    for row, probe in enumerate(probes):
        for number, token in enumerate((ours[probe].tokens or ())[:depth] if probe in ours else ()):
            gaps[row, number] = _gap(token)
    border = gaps <= np.sort(gaps, axis=None)[:inputs][-1]
    values = np.full((len(probes), depth), np.nan)
    for row, probe in enumerate(probes):
        said = [
            float(_differ(there, here))
            for number, there, here in _places(theirs.get(probe), ours.get(probe))
            if number < depth and border[row, number] and np.isfinite(gaps[row, number])
        ]
        values[row, : len(said)] = said
    return TokenMeans(values, np.isfinite(values).sum(axis=1))


def _by_probe(answers: Sequence[Answer]) -> dict[int, Answer]:
    return {one.probe: one for one in answers if one.sample == 0 and one.finish != "error" and one.tokens}


def _costs(answers: Sequence[Answer], probes: Sequence[int], first: int) -> np.ndarray:
    said = _by_probe(answers)
    return np.array([min(first, len(said[probe].tokens or ())) if probe in said else 0 for probe in probes])


def _places(one: Answer | None, other: Answer | None) -> Iterator[tuple[int, TokenLogprob, TokenLogprob]]:
    """Places of two answers as far as they follow one another, and the place where they part."""
    if one is None or other is None:
        return
    for number, (there, here) in enumerate(zip(one.tokens or (), other.tokens or (), strict=False)):
        yield number, there, here
        if _differ(there, here):
            return


def _differ(one: TokenLogprob, other: TokenLogprob) -> bool:
    """Whether two tokens are different: by their ids where both sides give them, else by their texts."""
    return one.text != other.text if one.id is None or other.id is None else one.id != other.id


def _alike(one: TokenLogprob, other: TokenLogprob) -> tuple[Sequence[tuple[Key, float]], Sequence[tuple[Key, float]]]:
    """The top logprobs of two tokens, named in the same way: by ids if both sides give all of them, else by texts."""
    tops = [token.top or (token,) for token in (one, other)]
    by_id = all(entry.id is not None for top in tops for entry in top)
    first, second = ([(entry.id if by_id else entry.text, entry.logprob) for entry in top] for top in tops)
    return first, second  # type: ignore[return-value]


def _logprobs(entries: Sequence[tuple[Key, float]], top: int) -> dict[Key, float]:
    """The `top` likeliest; of two tokens with one text the likelier."""
    kept = sorted((pair for pair in entries if np.isfinite(pair[1])), key=lambda pair: -pair[1])[:top]
    return dict(reversed(kept))


def _gap(token: TokenLogprob) -> float:
    """Nats between the two likeliest tokens of a place."""
    best = sorted((entry.logprob for entry in token.top), reverse=True)[:2]
    return best[0] - best[1] if len(best) == 2 else np.inf
