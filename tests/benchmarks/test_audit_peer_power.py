"""Power curves: draws that cost what they may, thresholds that hold, and the tokens that theory says."""

import numpy as np
import pytest
from benchmarks.audit_peer_power import Plan, TokenMeans, drawn, power_curve, tokens_interval

RNG = np.random.default_rng(0)


def normal(mean: float, *, prompts: int = 400, tokens: int = 4, shared: float = 0.0, seed: int = 0) -> TokenMeans:
    """Values N(mean, 1); `shared` of the variance is common to the tokens of a prompt."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(prompts, 1)), rng.normal(size=(prompts, tokens))
    return TokenMeans(mean + shared**0.5 * common + (1 - shared) ** 0.5 * own, np.full(prompts, tokens))


def test_every_audit_pays_for_exactly_its_budget():
    cost = np.array([3, 0, 8, 1, 0, 5])
    for budget in (1, 2, 7, 40):
        draws, used = drawn(cost, budget, 200, np.random.default_rng(1))
        assert (used.sum(axis=1) == budget).all()
        assert (cost[draws] > 0).all()
        assert (used <= cost[draws]).all()
        # whole answers, then part of one, then nothing
        assert (np.diff((used == cost[draws]).astype(int), axis=1) <= 0).all()


def test_prompts_are_drawn_equally_often():
    draws, used = drawn(np.array([2, 2, 0, 2]), 2, 30_000, np.random.default_rng(2))
    counts = np.bincount(draws[used > 0], minlength=4)
    assert counts[2] == 0
    assert counts[[0, 1, 3]] == pytest.approx(10_000, rel=0.05)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="nothing can be drawn"):
        drawn(np.zeros(3, dtype=np.int64), 5, 10, RNG)


def test_means_count_paid_tokens_and_skip_those_without_a_value():
    means = TokenMeans(np.array([[1.0, 3.0, np.nan], [10.0, np.nan, np.nan], [np.nan] * 3]), np.array([3, 2, 3]))
    draws, used = np.array([[0, 1], [0, 1], [2, 2], [1, 0]]), np.array([[3, 2], [1, 0], [3, 3], [2, 1]])
    assert means.scores(draws, used, RNG) == pytest.approx([14 / 3, 1.0, -np.inf, 11 / 2])


def test_tokens_are_those_of_the_theory():
    """A shift of one standard deviation, one-sided 1 % and 95 %: (2.326 + 1.645)^2 = 15.8 tokens."""
    plan = Plan(audits=4000, budgets=(8, 15, 20, 30, 60))
    curve = power_curve(normal(1.0, seed=1), [normal(0.0)], plan, same_engine=normal(0.0, seed=2))
    at = curve.budgets.index(15)
    assert curve.power[at] == pytest.approx(0.939, abs=0.02)
    assert curve.tokens == 20
    assert max(curve.false_alarms) < 0.03


def test_tokens_of_one_prompt_are_no_independent_tokens():
    """With a correlation of 1 within prompts of 4 tokens, four times as many are needed."""
    curve = power_curve(normal(1.0, shared=1.0, seed=1), [normal(0.0, shared=1.0)], Plan(audits=2000))
    assert curve.tokens in (60, 80)


def test_the_noisiest_engine_of_the_bank_sets_the_threshold():
    served, quiet = normal(1.0, seed=1), normal(0.0)
    loud = TokenMeans(3 * normal(0.0, seed=3).values, quiet.cost_tokens)
    alone, both = (power_curve(served, bank, Plan(audits=1000)) for bank in ([quiet], [quiet, loud]))
    assert alone.tokens is not None
    assert both.tokens is not None
    assert both.tokens > 2 * alone.tokens


def test_the_oracle_knows_the_endpoints_own_engine():
    """An engine that shifts everything by one: false alarms by the bank, none by the oracle, who then sees nothing."""
    shifted = normal(1.0, seed=1)
    bank = power_curve(shifted, [normal(0.0)], Plan(audits=1000), same_engine=shifted)
    oracle = power_curve(shifted, [], Plan(audits=1000), same_engine=shifted, threshold="oracle")
    assert bank.false_alarms[-1] == 1.0
    assert oracle.tokens is None
    assert max(oracle.power) < 0.03


def test_more_than_all_there_is():
    curve = power_curve(normal(0.01, prompts=20, seed=5), [normal(0.0)], Plan(audits=500))
    assert curve.budgets[-1] == 80  # 20 prompts of 4 tokens
    assert curve.tokens is None
    assert curve.said.startswith("more than 80 (power 0.")


def test_power_must_stay_once_it_is_reached():
    """A score that is best at few tokens: the first budget that reaches the power does not count."""

    class Fading(TokenMeans):
        def scores(self, draws, used, rng):
            n = used.sum(axis=1)
            return np.where((n == 2) | (n > 50), 1.0, 0.0)

    cost = np.full(100, 1)
    served = Fading(np.zeros((100, 1)), cost)
    curve = power_curve(served, [TokenMeans(np.zeros((100, 1)), cost)], Plan(audits=100))
    assert curve.power[curve.budgets.index(2)] == 1.0
    assert curve.tokens == 60


def test_a_missing_threshold_is_an_error():
    with pytest.raises(ValueError, match="own threshold"):
        power_curve(normal(0.0), [], Plan(), threshold="own")
    with pytest.raises(ValueError, match="bank threshold"):
        power_curve(normal(0.0), [], Plan())


def test_the_interval_holds_the_point_and_is_wide_with_few_prompts():
    plan, null = Plan(audits=300), normal(0.0, prompts=2000)
    few, many = normal(1.0, prompts=2000, seed=1), null
    low, high = tokens_interval(few, [many], plan, prompts=2000, replicates=10)
    assert low <= 20 <= high
    assert high <= 40
