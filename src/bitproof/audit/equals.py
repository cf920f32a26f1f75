"""Which models of a profile cannot be told apart by any engine: those nearer to each other than benign engines are."""

from __future__ import annotations

import numpy as np

from bitproof.audit.profile import REFERENCE, Profile

__all__ = ["equals", "spread_nats"]


def spread_nats(profile: Profile) -> float:
    """Root mean square difference of logprobs of the reference between two of the profile's arithmetics, the most."""
    rows = profile.of(REFERENCE)
    return max((_apart(profile, a, b) for a in rows for b in rows if a < b), default=0.0)


def equals(profile: Profile) -> dict[str, tuple[str, ...]]:
    """For every name, the others that lie nearer to it than the reference to itself in another arithmetic."""
    floor = spread_nats(profile)
    first = {name: profile.of(name)[0] for name in profile.names}
    return {
        name: tuple(other for other in first if other != name and _apart(profile, first[name], first[other]) <= floor)
        for name in first
    }


def _apart(profile: Profile, a: int, b: int) -> float:
    """Root mean square difference of two rows' logprobs, of the tokens of the path: nats."""
    every = np.arange(len(profile.places))
    columns = profile.path_columns
    return float(np.sqrt(np.mean(np.square(profile.logprobs[a, every, columns] - profile.logprobs[b, every, columns]))))
