"""Two-sample evidence: hand-worked scores, exact validity, false alarms by simulation, power where it is known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from bitproof.stats.two_sample import Evidence, Stratum, chance_of_finding, deal, scores

RANDOM = np.random.default_rng(0)
GROUPS = [0, 0, 0, 0, 1]


def apart(values: np.ndarray) -> np.ndarray:
    return (values[:, None] != values).astype(float)


APART, ALIKE = apart(np.array(GROUPS)), np.zeros((5, 5))


def test_scores_are_distances_between_groups_less_those_within():
    distances = apart(np.array([1, 1, 2, 2]))
    found = scores(distances, [[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]])
    # between 1, within 0; between 1/2 (two of four pairs), within 1; the same
    assert found.tolist() == [1.0, -0.5, -0.5]


def test_a_group_of_one_has_no_mean_within_and_more_than_two_groups_are_averaged():
    assert scores(APART, [GROUPS]).tolist() == [1.0]
    assert scores(apart(np.array([1, 2, 2])), [[0, 1, 2]]).tolist() == pytest.approx([2 / 3])
    with pytest.raises(ValueError, match="one group alone"):
        scores(ALIKE, [[0] * 5])


def test_a_dealing_keeps_the_sizes_of_groups_and_begins_with_what_happened():
    dealings = deal([0, 0, 1, 2], 50, np.random.default_rng(1))
    assert dealings.shape == (51, 4)
    assert dealings[0].tolist() == [0, 0, 1, 2]
    assert (np.sort(dealings, axis=1) == [0, 0, 1, 2]).all()
    assert len({tuple(row) for row in dealings.tolist()}) == 12


def test_bets_bring_one_on_average_over_all_dealings():
    """The expectation under the hypothesis, exactly: each dealing in turn is what happened."""
    distances = RANDOM.random((4, 4))
    distances = distances + distances.T
    every = np.array(sorted(set(permutations([0, 0, 1, 1]))))
    brought = [np.exp(Stratum.of(distances, np.roll(every, shift, axis=0)).log_e) for shift in range(len(every))]
    assert np.mean(brought, axis=0) == pytest.approx(np.ones(len(brought[0])))


def test_the_unit_of_distances_does_not_matter():
    dealings = deal(GROUPS, 99, np.random.default_rng(1))
    distances = np.abs(np.subtract.outer(np.arange(5.0) ** 2, np.arange(5.0) ** 2))
    assert Stratum.of(distances, dealings).log_e == pytest.approx(Stratum.of(1e-6 * distances, dealings).log_e)


def test_what_is_all_alike_is_no_evidence():
    evidence = Evidence(level=0.01, seed=0)
    for _ in range(20):
        evidence.add(ALIKE, GROUPS)
    evidence.end()
    assert evidence.p_value == 1.0
    assert not evidence.found


def test_what_differs_in_every_question_is_found_after_few_of_them():
    """One of five dealings each time: the capital at most quintuples."""
    evidence, n = Evidence(level=0.01 / 3, seed=0), 0
    while not evidence.found:
        evidence.add(APART, GROUPS)
        n += 1
        assert evidence.p_value >= 2 * 5.0**-n / 1.3  # dealings are drawn: a fifth of them, about
    assert n <= 6


def test_the_permutation_test_counts_only_at_the_end():
    """A small difference in every question adds up, and betting alone has not seen it yet."""
    random, groups = np.random.default_rng(3), np.repeat([0, 1], 6)
    evidence = Evidence(level=0.01, seed=0)
    for _ in range(20):
        values = random.integers(3, size=12)
        values[6:][random.random(6) < 0.35] = 9
        evidence.add(apart(values), groups)
    before = evidence.p_value
    evidence.end()
    assert evidence.p_value < before / 2
    assert evidence.p_value >= 2 / (1 + evidence.n_dealings)


@pytest.mark.parametrize("sizes", [(4, 1), (3, 3)])
def test_false_alarms_are_at_most_the_level(sizes):
    """300 audits of one distribution, looked at after every question, and at the end."""
    random, groups = np.random.default_rng(2), np.repeat([0, 1], sizes)
    alarms = 0
    for audit in range(300):
        evidence = Evidence(level=0.1, seed=audit, n_dealings=99)
        for question in range(8):
            evidence.add(apart(random.integers(1 + question // 2 * 2, size=len(groups))), groups)
            if evidence.found:
                break
        evidence.end()
        alarms += evidence.found
    assert alarms <= 45  # 30 expected at most; P(more | 10 %) is .003


def test_another_distribution_is_found_and_power_grows_with_the_difference():
    def draw(share: float):
        def one(number: int, random: np.random.Generator):
            values = random.integers(3, size=12)
            values[6:][random.random(6) < share] = 9
            return apart(values), [0] * 6 + [1] * 6

        return one

    chances = [chance_of_finding(draw(share), 15, level=0.02, seed=0, each=4, audits=100) for share in (0.0, 0.4, 0.9)]
    assert chances[0] <= 0.08
    assert chances[0] < chances[1] <= chances[2] == 1.0


def test_the_same_seed_gives_the_same_p_value():
    found = []
    for _ in range(2):
        evidence = Evidence(level=0.1, seed=4)
        for distances in (APART, apart(np.array([1, 2, 3, 1, 4]))):
            evidence.add(distances, GROUPS)
        found.append(evidence.p_value)
    assert found[0] == found[1]


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ValueError, match="not between 0 and 1"):
        Evidence(level=0.0, seed=0)
