"""Alignment: errors in a variant's direction against errors that are only as large."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bitproof.audit.alignment import Alignment, alignment
from bitproof.audit.logprobs import LogprobTest
from bitproof.audit.naming import namer_of
from bitproof.audit.observe import Reading
from bitproof.audit.profile import Profile, Served
from bitproof.audit.residuals import as_served

TOP = 12


@pytest.fixture(scope="module")
def chaotic(profile: Profile) -> Profile:
    """The made-up profile, with a `w8a8` whose arithmetics share half of their errors' square."""
    random = np.random.default_rng(7)
    logprobs = profile.logprobs.copy()
    shared = random.normal(0, 0.3, logprobs.shape[1:])
    for row in profile.of("w8a8"):
        logprobs[row] = logprobs[0] + (shared + random.normal(0, 0.3, shared.shape)) / np.sqrt(2)
    return replace(profile, logprobs=logprobs.astype(np.float32))


def endpoint(profile: Profile, shared: float, n: int, seed: int) -> Served:
    """`n` places of a model as far from the reference as `w8a8`; `shared` is the cosine to that one's first row."""
    random = np.random.default_rng(seed)
    rows = random.choice(len(profile.places), n, replace=False)
    whole = as_served(profile, 0, top=TOP)
    first = profile.logprobs[profile.of("w8a8")[0]][rows[:, None], whole.columns[rows]]
    theirs = first - whole.logprobs_nats[rows]
    error = shared * theirs + np.sqrt(1 - shared**2) * random.normal(0, 0.3, theirs.shape)
    return Served(rows, whole.columns[rows], whole.logprobs_nats[rows] + error)


@pytest.mark.parametrize("shared", [0.0, 0.4, 1.0])
def test_the_cosine_is_the_share_of_a_variants_error(chaotic, shared):
    found = [alignment(chaotic, endpoint(chaotic, shared, 40, seed), "w8a8") for seed in range(40)]
    cosines = np.array([one.cosine for one in found])
    assert cosines.mean() == pytest.approx(shared, abs=0.03)
    if shared < 1:  # the standard error is what cosines scatter by
        assert np.mean([one.error for one in found]) == pytest.approx(cosines.std(), rel=0.35)
    assert np.mean([one.own for one in found]) == pytest.approx(0.5, abs=0.1)


def test_by_hand(chaotic):
    served = endpoint(chaotic, 0.5, 3, 0)
    row, column = served.places[:, None], served.columns
    e = served.logprobs_nats - chaotic.logprobs[0][row, column]
    v = chaotic.logprobs[chaotic.of("w8a8")[0]][row, column] - chaotic.logprobs[0][row, column]
    assert alignment(chaotic, served, "w8a8").cosine == pytest.approx(
        (e * v).sum() / np.sqrt((e**2).sum() * (v**2).sum())
    )


def test_tokens_that_are_no_candidates_do_not_count(chaotic):
    served = endpoint(chaotic, 0.5, 30, 0)
    columns = served.columns.copy()
    columns[4:] = -1
    few = Served(served.places, columns, served.logprobs_nats)
    seen = Served(served.places[:4], served.columns[:4], served.logprobs_nats[:4])
    assert alignment(chaotic, few, "w8a8").cosine == pytest.approx(alignment(chaotic, seen, "w8a8").cosine)


def test_an_endpoint_as_far_as_a_variant_in_another_direction_has_no_name(chaotic):
    """30 unrelated models and 30 variants; 40 tokens each."""
    named = {}
    for shared in (0.0, 0.7):
        closest = []
        for seed in range(30):
            served = endpoint(chaotic, shared, 40, seed)
            test = LogprobTest(namer_of(chaotic, TOP), alpha=0.01)
            rows = zip(served.places, served.columns, served.logprobs_nats, strict=True)
            for place, column, logprobs in rows:
                said = tuple((int(c), float(p)) for c, p in zip(column, logprobs, strict=True))
                test.add([Reading(int(place), int(column[0]), said)])
            standing = test.now()
            assert standing is not None
            assert standing.outcome == "inconsistent"
            closest.append(standing.closest)
        named[shared] = closest.count(("w8a8",))
    assert named[0.0] <= 2
    assert named[0.7] >= 28


def test_few_tokens_are_clear_only_where_a_variant_always_errs_alike():
    sure = Alignment(name="w4", cosine=0.99, error=0.01, n_probes=3, own=0.98)
    assert sure.holds
    assert sure.clear
    doubtful = replace(sure, own=0.4)
    assert doubtful.holds
    assert not doubtful.clear
    assert replace(doubtful, n_probes=30).clear
    assert not replace(doubtful, n_probes=30, cosine=0.25, error=0.05).clear
    assert replace(doubtful, own=-0.1).holds  # its arithmetics have nothing in common: no direction to look for


def test_it_says_what_was_seen():
    said = str(Alignment(name="w8a8", cosine=0.02, error=0.05, n_probes=40, own=0.41))
    assert "0.02 ± 0.10" in said
    assert "0.41" in said
