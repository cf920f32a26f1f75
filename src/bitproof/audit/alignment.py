"""Whether what was served errs in the same direction as a variant, and not only by as much.

A residual profile is about sizes. A model that was trained a little further lies as far from the reference as some
variant does, and a variant that rounds activations is as far from its own emulation as from the reference, so such
sizes are seldom far from any name's. The direction tells them: with the errors e of what was served and v of the
variant, both against the reference, over the same tokens,

    cosine = sum(e v) / sqrt(sum(e^2) sum(v^2)).

An unrelated model shows 0. What a variant shows is known from its own arithmetics: nearly 1 where only weights are
rounded, .4 to .9 where rounding activations, or keys and values, amplifies what arithmetics differ by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bitproof.audit.profile import Profile, Served

__all__ = ["Alignment", "alignment"]

Floats = NDArray[np.float64]
UNCLEAR = 0.005  # chance of an error that large on one side
FEWEST_PROBES = 10  # for a standard error to go by, where a variant's own arithmetics agree less than `AGREE`
AGREE = 0.9
CLOSE = 0.9


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """The cosine to a variant's errors with its standard error, and the least that its own arithmetics show there."""

    name: str
    cosine: float
    error: float
    n_probes: int
    own: float

    def __str__(self) -> str:
        """In words, where it does not hold."""
        return (
            f"it differs from the reference as much as {self.name} does, in another direction: a cosine of"
            f" {self.cosine:.2f} ± {2 * self.error:.2f} to that variant's differences, whose own arithmetics show at"
            f" least {self.own:.2f}"
        )

    @property
    def holds(self) -> bool:
        """Whether it is nearer to what the variant's arithmetics show than to an unrelated model's."""
        return self.own <= 0 or self.cosine >= self.own / 2

    @property
    def close(self) -> bool:
        """Whether it is as near as the variant's own arithmetics are, or nearly."""
        return self.own > 0 and self.cosine >= CLOSE * self.own

    @property
    def clear(self) -> bool:
        """Whether more tokens would hardly change that."""
        if self.own <= 0:
            return True
        if self.n_probes < (FEWEST_PROBES if self.own < AGREE else 2):
            return False
        return abs(self.cosine - self.own / 2) >= -float(special.stdtrit(self.n_probes - 1, UNCLEAR)) * self.error


def alignment(profile: Profile, served: Served, name: str) -> Alignment:
    """How the errors of what was served point, against those of a variant; its error is clustered by probe."""
    rows, served = profile.of(name), _known(served)
    columns, places = np.maximum(served.columns, 0), served.places[:, None]
    weight = (served.columns >= 0) / np.maximum((served.columns >= 0).sum(1, keepdims=True), 1)  # as in `distances`
    reference = profile.logprobs[0][places, columns]
    variant = profile.logprobs[rows[0]][places, columns] - reference

    def products(logprobs: Floats) -> Floats:
        error = logprobs - reference
        found: Floats = (np.stack([error * variant, error**2, variant**2]) * weight).sum(-1)
        return found  # [3, places]

    each = products(served.logprobs_nats)
    own = [_cosine(products(profile.logprobs[row][places, columns])) for row in rows[1:]]
    probes = profile.probe_of_place[served.places]
    return Alignment(
        name=name,
        cosine=_cosine(each),
        error=_error(each, probes),
        n_probes=len(np.unique(probes)),
        own=min(own, default=1.0),
    )


def _known(served: Served) -> Served:
    """Without what was said of no candidate."""
    return replace(served, logprobs_nats=np.where(served.columns >= 0, served.logprobs_nats, 0.0))


def _cosine(products: Floats) -> float:
    product, ours, theirs = products.sum(1)
    return float(product / np.sqrt(max(ours * theirs, 1e-30)))


def _error(products: Floats, cluster: NDArray[np.int64]) -> float:
    """Standard error of the cosine by the delta method, clustered."""
    _, ours, theirs = products.sum(1)
    scale, cosine = np.sqrt(max(ours * theirs, 1e-30)), _cosine(products)
    change = products[0] / scale - cosine / 2 * (products[1] / max(ours, 1e-30) + products[2] / max(theirs, 1e-30))
    return float(np.sqrt(np.square(np.bincount(cluster, change)).sum()))
