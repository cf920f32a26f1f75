"""Naming: the rung that was served, from an engine that the profile has not seen; and something that is no rung."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bitproof.audit.naming import Namer
from bitproof.audit.profile import Profile, Served
from bitproof.audit.residuals import as_served, benign_floor, distances, residuals

TOP = 12


def other_engine(profile: Profile, name: str, n: int, random: np.random.Generator) -> Served:
    """`n` places of a model under an engine of its own: noise as between arithmetics, chaos drawn anew."""
    whole = as_served(profile, profile.of("reference" if name == "w8a8" else name)[0], top=TOP)
    rows = random.choice(len(whole.places), n, replace=False)
    spread = 0.3 if name == "w8a8" else 0.03
    logprobs = whole.logprobs_nats[rows] + random.normal(0, spread, (n, TOP))
    return Served(places=rows, columns=whole.columns[rows], logprobs_nats=logprobs)


def test_distances_are_the_mean_squares_of_what_was_said(profile):
    served = as_served(profile, profile.of("w4")[0], top=TOP)
    against = np.array([profile.of(name)[0] for name in profile.names])
    found = distances(profile, served, against)
    assert found.shape == (len(profile.places), 4)
    assert np.allclose(found[:, profile.names.index("w4")], 0, atol=1e-6)
    by_hand = np.mean(
        [(served.logprobs_nats[7, k] - profile.logprobs[0, 7, served.columns[7, k]]) ** 2 for k in range(TOP)]
    )
    assert found[7, 0] == pytest.approx(by_hand, rel=1e-5)
    assert np.sqrt(found[:, 0].mean()) == pytest.approx(0.8, rel=0.1)


def test_tokens_that_are_no_candidates_do_not_count(profile):
    served = as_served(profile, profile.of("w8")[0], top=3)
    columns = served.columns.copy()
    columns[0], columns[1, 1] = -1, -1
    found = distances(profile, Served(served.places, columns, served.logprobs_nats), np.array([0]))
    assert np.isnan(found[0, 0])
    assert np.isfinite(found[1:]).all()
    assert np.isfinite(residuals(found, floor=0.0)).all()


def test_the_floor_is_what_arithmetics_differ_by(profile):
    assert benign_floor(profile, top=TOP) ** 0.5 == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize("name", ["reference", "w8", "w4", "w8a8"])
def test_what_an_engine_serves_is_named_from_ten_tokens(profile, name):
    random = np.random.default_rng(3)
    namer = Namer(profile, top=TOP)
    found = Counter(namer.name(other_engine(profile, name, 10, random)).best for _ in range(40))
    assert found[name] >= 39


def test_the_reference_is_rarely_told_to_be_something_else(profile):
    """400 audits of ten tokens by engines like those of the profile: at most 1 % fit the reference at p below .01."""
    random = np.random.default_rng(4)
    namer = Namer(profile, top=TOP)
    fits = [namer.name(other_engine(profile, "reference", 10, random)).fit["reference"] for _ in range(400)]
    assert np.mean(np.array(fits) < 0.01) <= 0.01


def test_what_is_no_rung_fits_none(profile):
    random = np.random.default_rng(5)
    whole = as_served(profile, 0, top=TOP)
    rows = random.choice(len(whole.places), 20, replace=False)
    other = Served(rows, whole.columns[rows], whole.logprobs_nats[rows] + random.normal(0, 3.0, (20, TOP)))
    naming = Namer(profile, top=TOP).name(other)
    assert max(naming.fit.values()) < 1e-3
    assert sum(naming.probability.values()) == pytest.approx(1)
    assert naming.credible[0] == naming.best
