"""What a profile's tests are set to, found from its own arithmetics, each left out in turn: before any engine is seen.

An engine that serves the reference rounds in its own way. How far that may take it is learnt by treating each
arithmetic of the profile as an engine that nobody has seen, with the others as all that is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.likelihood import USUAL_NOISE_NATS, greedy
from bitproof.audit.naming import CALIBRATED_PLACES, Namer, chance_of
from bitproof.audit.profile import REFERENCE, Calibration, Profile
from bitproof.audit.residuals import residuals

__all__ = ["calibrate"]

NOISES_NATS = np.geomspace(0.01, 1.0, 25)
SLACKS = np.geomspace(0.02, 2.0, 41)
LEVEL = 0.01  # of the test that an arithmetic left out must not fail more often than that
DRAWS = 400
ENOUGH = 0.95
TOPS = (1, 5, 20)


def calibrate(profile: Profile) -> Calibration:
    """Slack and noises of a profile; those of `Calibration()` where it has fewer than three arithmetics."""
    noise = {name: _noise(profile, name) for name in profile.names}
    if min(len(profile.of(name)) for name in profile.names) < 3:
        return Calibration(noise_nats=noise)
    return Calibration(slack={top: _slack(profile, top) for top in TOPS}, noise_nats=noise)


def _noise(profile: Profile, name: str) -> float:
    """The scale of Gumbel noise that the arithmetic needs most which is least like the others of a name."""
    rows = profile.of(name)
    if len(rows) < 2:
        return USUAL_NOISE_NATS
    every = np.arange(len(profile.places))
    choice = np.argmax(np.where(profile.candidates >= 0, profile.logprobs, -np.inf), axis=2)  # [models, places]
    likelihood = np.array(
        [
            [
                greedy(profile, [row for row in rows if row != out], scale)[every, choice[out]].sum()
                for scale in NOISES_NATS
            ]
            for out in rows
        ]
    )
    return float(NOISES_NATS[likelihood.argmax(axis=1).max()])


def _slack(profile: Profile, top: int) -> float:
    """The slack with which an arithmetic that is left out is called no fit of its name no more often than `LEVEL`.

    It is so for every arithmetic of the reference, and for `ENOUGH` of all names' arithmetics. The first is never left
    out: it is what distances are taken from, and lies at none from itself.
    """
    needed: dict[str, list[float]] = {}
    for out in list(dict.fromkeys(model.numerics for model in profile.models))[1:]:
        namer = Namer(profile, top=top, slack=0.0, without=out)
        random = np.random.default_rng(len(needed))
        for row, model in enumerate(profile.models):
            if model.numerics == out:
                needed.setdefault(model.name, []).append(_needed(namer, profile, row, random))
    every = [slack for name in needed for slack in needed[name]]
    return max(*needed[REFERENCE], float(np.quantile(every, ENOUGH)))


def _needed(namer: Namer, profile: Profile, row: int, random: np.random.Generator) -> float:
    """The least slack for one row among its name's others."""
    name, total = profile.models[row].name, len(profile.places)
    places = random.integers(total, size=CALIBRATED_PLACES)
    expected = {each: namer.expected(each, places) for each in profile.names}
    mean, covariance = expected[name]
    others = np.array([other - mean for each, (other, _) in expected.items() if each != name])
    weights = random.multinomial(CALIBRATED_PLACES, np.full(total, 1 / total), size=DRAWS).astype(np.float64)

    def drawn(which: int) -> NDArray[np.float64]:
        return residuals(namer.as_endpoint(which), floor=namer.floor, weights=weights)

    away = drawn(row) - np.mean([drawn(other) for other in namer.rows_of(name)], axis=0)  # [draws, m]
    for slack in SLACKS:
        p = chance_of(away, covariance + slack**2 * np.eye(len(mean)), others)
        if np.mean(p < LEVEL) <= LEVEL:
            return float(slack)
    return float(SLACKS[-1])
