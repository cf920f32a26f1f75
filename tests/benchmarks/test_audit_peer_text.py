"""Token-DiFR, RUT and the reference's scores: worked cases, the law of the ranks, and a change that is found."""

import numpy as np
import pytest
import torch
from benchmarks.audit_cache import Answer
from benchmarks.audit_peer_power import Plan, power_curve
from benchmarks.audit_peer_scores import Scores, token_scores
from benchmarks.audit_peer_text import (
    CVM_CRITICAL,
    Rut,
    clip_of,
    cramer_von_mises,
    log_rank,
    prepare_difr,
    prepare_rut,
    rank,
)
from scipy import stats


def answer(probe: int, sample: int = 0, tokens: int = 2) -> Answer:
    return Answer(
        probe=probe,
        sample=sample,
        text="x",
        finish="length",
        prompt_tokens=3,
        answer_tokens=tokens,
        token_ids=tuple(range(tokens)),
        tokens=None,
    )


def scores(*margins: float, ranks: tuple[float, ...] = ()) -> Scores:
    return Scores(-np.array(margins), np.array(margins), np.array(ranks or [0.0] * len(margins)))


def test_scores_of_tokens_by_hand():
    logprobs = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]))
    found = token_scores(logprobs, [0, 0])
    assert found.ranks.tolist() == [0.0, 2.0]
    assert found.margins_nats == pytest.approx([0.0, np.log(7)], abs=1e-6)
    assert found.logprobs_nats == pytest.approx(np.log([0.5, 0.1]), abs=1e-6)


def test_tied_tokens_share_the_better_rank():
    assert token_scores(torch.zeros(1, 4), [3]).ranks.tolist() == [0.0]


def test_difr_is_the_mean_clipped_margin():
    found = prepare_difr([answer(4), answer(7)], [scores(0.0, 9.0), scores(0.2, 0.0)], [4, 5, 7], clip_nats=0.5)
    assert found.cost_tokens.tolist() == [2, 0, 2]
    assert np.array_equal(found.values, [[0.0, 0.5], [np.nan] * 2, [0.2, 0.0]], equal_nan=True)


def test_the_clip_is_the_trusted_tail():
    trusted = [scores(*np.linspace(0, 1, 1001))]
    assert clip_of(trusted) == pytest.approx(0.999)


def test_difr_with_a_flip_in_ten_against_one_in_fifty():
    rng = np.random.default_rng(0)

    def served(share: float) -> tuple[list[Answer], list[Scores]]:
        margins = np.where(rng.random((240, 8)) < share, rng.exponential(0.3, (240, 8)), 0.0)
        return [answer(i, tokens=8) for i in range(240)], [scores(*row) for row in margins]

    probes, clip = range(240), clip_of(served(0.02)[1])
    curve = power_curve(
        prepare_difr(*served(0.1), probes, clip_nats=clip),
        [prepare_difr(*served(0.02), probes, clip_nats=clip) for _ in range(3)],
        Plan(),
    )
    assert curve.tokens is not None
    assert 60 <= curve.tokens <= 300


def test_log_rank_by_hand():
    assert log_rank(scores(0.0, 1.0, ranks=(0.0, 2.0))) == pytest.approx(np.log(3) / 2)
    assert np.isnan(log_rank(scores()))


def test_cramer_von_mises_is_scipys():
    rng = np.random.default_rng(1)
    ranks = rng.random((3, 20)) ** 1.5
    ranks[1, 5:] = np.nan
    ranks[2] = np.nan
    found = cramer_von_mises(ranks)
    assert found[0] == pytest.approx(stats.cramervonmises(ranks[0], "uniform").statistic)
    assert found[1] == pytest.approx(stats.cramervonmises(ranks[1, :5], "uniform").statistic)
    assert found[2] == -np.inf


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_critical_values_are_those_of_the_law(alpha):
    sample = np.random.default_rng(2).random((20_000, 50))
    assert (cramer_von_mises(sample) > CVM_CRITICAL[alpha]).mean() == pytest.approx(alpha, rel=0.2)


@pytest.mark.parametrize("levels", [1, 3, 1000])
def test_ranks_are_uniform_with_few_others_and_with_ties(levels):
    rng = np.random.default_rng(3)
    found = [rank(*_split(rng.integers(levels, size=9).astype(float)), rng) for _ in range(4000)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def _split(values: np.ndarray) -> tuple[float, list[float]]:
    return float(values[0]), values[1:].tolist()


def simulated(shift: float, seed: int) -> Rut:
    """Log-ranks N(shift, 1) of four samples to each prompt, against eight of the reference's N(0, 1)."""
    rng = np.random.default_rng(seed)
    local = {probe: rng.normal(size=8).tolist() for probe in range(240)}
    answers = [answer(probe, sample, tokens=24) for sample in range(4) for probe in range(240)]
    # one token with rank e^s - 1, so that the log-rank is s
    found = [scores(0.0, ranks=(float(np.expm1(s)),)) for s in rng.normal(loc=shift, size=len(answers))]
    return prepare_rut(answers, found, local, range(240), seed=seed)


def test_rut_finds_a_shift_and_keeps_its_level():
    null = simulated(0.0, seed=1)
    assert null.ranks.shape == (240, 4)
    plan = Plan(budgets=(24 * 20, 24 * 40, 24 * 80, 24 * 160, 24 * 240), audits=2000)
    curve = power_curve(simulated(0.8, seed=2), [], plan, same_engine=null, threshold="own")
    assert curve.tokens is not None
    assert curve.tokens <= 24 * 80
    assert curve.false_alarms[0] <= 0.03


def test_rut_pays_for_whole_answers_only():
    rut = Rut(np.array([[0.1], [0.9]]), np.array([[24], [24]]), 0.01)
    draws, used = np.array([[0, 1], [0, 1]]), np.array([[24, 10], [10, 0]])
    assert rut.scores(draws, used, np.random.default_rng(0)) == pytest.approx([1 / 12 + 0.4**2, -np.inf])
