"""How far what was served lies from every model of a profile.

At one place the distance to a model is the mean square difference of logprobs, over the served tokens that are among
the candidates. Over the places of an audit it is averaged, and half its logarithm is taken: one number a model, the
residual profile

    r_m = 1/2 log (mean over places of D_m + floor),

where the floor is the reference's own distance from itself in another arithmetic: what lies below it is not told apart.

A served model whose errors are deterministic is near its own emulation and at its known distance from the others. One
that rounds activations or keys and values is chaotic: as far from its own emulation as from the reference, so only the
whole profile tells it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.profile import REFERENCE, Profile, Served

__all__ = ["as_served", "benign_floor", "distances", "residuals"]

Floats = NDArray[np.float64]


def distances(profile: Profile, served: Served, against: NDArray[np.int64]) -> Floats:
    """Mean square differences [n, m] of what was served at n places from the models `against` [m], rows of logprobs.

    NaN at places where no served token is a candidate.
    """
    known = served.columns >= 0  # [n, k]
    columns = np.where(known, served.columns, 0)
    theirs = profile.logprobs[against][:, served.places[:, None], columns]  # [m, n, k]
    square = np.square(np.where(known, served.logprobs_nats - theirs, 0.0)).sum(-1)
    with np.errstate(invalid="ignore"):
        found: Floats = (square / np.where(known.any(1), known.sum(1), np.nan)).T
    return found


def benign_floor(profile: Profile, *, top: int) -> float:
    """Mean square difference of the reference from itself in the profile's other arithmetics, nats squared."""
    first, *others = profile.of(REFERENCE)
    found = [distances(profile, as_served(profile, row, top=top), np.array([first])) for row in others]
    return float(np.mean(found)) if found else 0.0


def residuals(distance: Floats, *, floor: float, weights: Floats | None = None) -> Floats:
    """Residual profiles [..., m] from distances [n, m]: over all places, or with `weights` [..., n] of them."""
    known = np.isfinite(distance).all(-1)
    kept = distance[known]
    given = np.ones(len(distance)) if weights is None else weights
    given = given[..., known]
    mean: Floats = (given @ kept) / given.sum(-1, keepdims=True)
    logarithm: Floats = 0.5 * np.log(mean + floor)
    return logarithm


def as_served(profile: Profile, row: int, *, top: int) -> Served:
    """What an endpoint would say that computes as model `row` does: its `top` likeliest candidates at every place."""
    logprobs = np.where(profile.candidates >= 0, profile.logprobs[row], -np.inf)  # [places, width]
    columns = np.argsort(-logprobs, axis=1, kind="stable")[:, :top].astype(np.int64)
    values = np.take_along_axis(logprobs, columns, axis=1).astype(np.float64)
    return Served(places=np.arange(len(columns)), columns=columns, logprobs_nats=values)
