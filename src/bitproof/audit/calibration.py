"""What a profile's tests are set to, found from its own arithmetics, each left out in turn: before any engine is seen.

An engine that serves the reference rounds in its own way. How far that may take it is learnt by treating each
arithmetic of the profile as an engine that nobody has seen, with the others as all that is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bitproof.audit.likelihood import USUAL_NOISE_NATS, greedy
from bitproof.audit.naming import CALIBRATED_PLACES, Namer
from bitproof.audit.profile import Calibration, Profile
from bitproof.audit.residuals import residuals

__all__ = ["calibrate"]

NOISES_NATS = np.geomspace(0.01, 1.0, 25)
SLACKS = np.geomspace(0.02, 2.0, 41)
LEVEL = 0.01  # of the test that an arithmetic left out must not fail more often than that
DRAWS = 400
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
    """The least slack with which no arithmetic of any name, left out, is called no fit of its name too often.

    The first is never left out: it is what distances are taken from, and lies at none from itself.
    """
    needed = [0.0]
    for out in list(dict.fromkeys(model.numerics for model in profile.models))[1:]:
        namer = Namer(profile, top=top, slack=0.0, without=out)
        random = np.random.default_rng(len(needed))
        for row, model in enumerate(profile.models):
            if model.numerics != out:
                continue
            places = random.integers(len(profile.places), size=CALIBRATED_PLACES)
            _, covariance = namer.expected(model.name, places)
            needed.append(_needed(namer, row, model.name, covariance, random))
    return max(needed)


def _needed(namer: Namer, row: int, name: str, covariance: NDArray[np.float64], random: np.random.Generator) -> float:
    """The least slack for one row among its name's others."""
    total = len(namer.as_endpoint(row))
    weights = random.multinomial(CALIBRATED_PLACES, np.full(total, 1 / total), size=DRAWS).astype(np.float64)

    def drawn(which: int) -> NDArray[np.float64]:
        return residuals(namer.as_endpoint(which), floor=namer.floor, weights=weights)

    away = drawn(row) - np.mean([drawn(other) for other in namer.rows_of(name)], axis=0)  # [draws, m]
    values, vectors = np.linalg.eigh(covariance)
    square = np.square(away @ vectors)
    for slack in SLACKS:
        p = stats.chi2.sf((square / (np.maximum(values, 0) + slack**2)).sum(1), square.shape[1])
        if np.mean(p < LEVEL) <= LEVEL:
            return float(slack)
    return float(SLACKS[-1])
