"""Model Equality Testing: the permutation test on a table of the package's statistics, and the package itself."""

from itertools import combinations

import numpy as np
import pytest
from benchmarks.audit_cache import Answer
from benchmarks.audit_peer_met import Met, ask_package, prepare_met
from benchmarks.audit_peer_power import Plan, power_curve
from benchmarks.common import ROOT

installed = pytest.mark.skipif(
    not (ROOT / ".venvs" / "peer-met" / "bin" / "python").exists(), reason="python -m benchmarks.peers install met"
)


def table(shift: float, seed: int, *, prompts: int = 240) -> Met:
    """One number an answer, four on each side, and as the statistic of a split the difference of the two means."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(prompts, 8))
    values[:, :4] += shift
    ways = [list(way) for way in combinations(range(8), 4)]
    mean = np.stack([values[:, way].mean(1) for way in ways], axis=1)
    return Met(2 * mean - 2 * values.mean(1, keepdims=True), np.full(prompts, 96), 0.01)


def test_the_permutation_test_keeps_its_level():
    """The mean of p-values of like samples is a half, and one in a hundred is below .01."""
    plan = Plan(budgets=(96 * 10,), audits=400)
    alarms = [power_curve(table(0.0, seed), [], plan, threshold="own").power[0] for seed in range(8)]
    assert np.mean(alarms) <= 0.025


def test_the_power_is_that_of_the_normal_theory():
    """Differences of means of 4 with standard deviation .71: (2.33 + 1.64)^2 * .5 / .5^2 = 32 prompts."""
    plan = Plan(budgets=(96 * 8, 96 * 32, 96 * 48, 96 * 80), audits=300)
    curve = power_curve(table(0.5, 3), [], plan, threshold="own")
    assert curve.power[0] < 0.7
    assert curve.tokens in (96 * 32, 96 * 48)


def test_prompts_that_are_not_wholly_paid_for_do_not_count():
    met = table(5.0, 4, prompts=6)
    draws, used = np.array([[0, 1], [0, 1]]), np.array([[96, 10], [95, 0]])
    found = met.scores(draws, used, np.random.default_rng(0))
    assert found[0] == pytest.approx(1 - 1 / 70, abs=0.03)  # one prompt: p is one of 70 splits
    assert found[1] == -np.inf


def answer(probe: int, sample: int, text: str) -> Answer:
    return Answer(
        probe=probe,
        sample=sample,
        text=text,
        finish="length",
        prompt_tokens=3,
        answer_tokens=24,
        token_ids=None,
        tokens=None,
    )


@installed
def test_the_packages_statistic_by_hand():
    """One prompt, two answers a side, padded to three characters (a character that both lack counts as alike).

    Kernels over 3: aab-aab 1, ab-ab 1; aab-ab: one agreement, 1/3. Without an answer against itself:
    1 - 2 * (4 * 1/3) / 4 + 1 = 4/3. The other splits have one of each on either side: 1/3 - 2 * (1 + 1 + 1/3 + 1/3) / 4
    + 1/3 = -2/3.
    """
    found = ask_package([[["aab", "aab"], ["ab", "ab"]]])
    assert found["splits"][0] == pytest.approx([4 / 3, -2 / 3, -2 / 3, -2 / 3, -2 / 3, 4 / 3])
    assert found["whole"] == pytest.approx(4 / 3)


@installed
@pytest.mark.slow
def test_different_texts_are_found_and_like_ones_are_not():
    rng = np.random.default_rng(0)

    def served(letters: str) -> list[Answer]:
        return [answer(probe, i, "".join(rng.choice(list(letters), size=40))) for probe in range(30) for i in range(4)]

    ours, plan = served("aab"), Plan(budgets=(96 * 10, 96 * 30), audits=200)
    curve = power_curve(
        prepare_met(served("abb"), ours, range(30)),
        [],
        plan,
        same_engine=prepare_met(served("aab"), ours, range(30)),
        threshold="own",
    )
    assert curve.tokens == 96 * 10
    assert curve.false_alarms[0] <= 0.1


@installed
def test_a_prompt_that_lacks_a_sample_is_left_out():
    ours = [answer(probe, i, f"a{i}") for probe in (1, 2) for i in range(2)]
    found = prepare_met(ours[:-1], ours, [0, 1, 2])
    assert found.cost_tokens.tolist() == [0, 48, 0]
