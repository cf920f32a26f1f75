"""The logit-noise meter: how noisy an endpoint's logits are, from its greedy tokens alone, on the scale of the ladder.

At each place the reference's logprobs say how near the choice was. If the endpoint's logits are the reference's plus
Gumbel noise of scale s, its greedy token has the softmax of logprob / s (`likelihood.greedy`), so s has a likelihood,
a maximum and a profile interval. It needs no knowledge of what was done to the weights.

The noise is heavy-tailed and depends on the place, so s is read on a scale and not in theory: the same meter applied to
the profile's symmetric round-to-nearest weights in groups of 64, with the benign floor taken away in squares, gives
**effective bits**.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bitproof.audit.likelihood import greedy
from bitproof.audit.observe import Reading
from bitproof.audit.profile import REFERENCE, Profile

__all__ = ["Meter", "MeterReading", "Scale", "meter_of"]

NOISES_NATS = np.geomspace(0.01, 4.0, 61)
SCALE = re.compile(r"w(\d)a16-rtn-g64")
MOST_BITS = 7.0  # above, the benign floor is as large as the noise of the bits
COVERAGE = 0.95
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MeterReading:
    """Noise in nats and effective bits, each with its 95 % interval; bits are None where the profile has no scale.

    `bits` of `MOST_BITS` or an interval that ends there means that many or more.
    """

    noise_nats: float
    noise_interval: tuple[float, float]
    bits: float | None
    bits_interval: tuple[float, float] | None
    n_tokens: int


class Meter:
    """Reads the noise of served tokens; made once for a profile."""

    def __init__(self, profile: Profile) -> None:
        first = profile.of(REFERENCE)[0]
        self._tables = np.stack([greedy(profile, [first], noise) for noise in NOISES_NATS])  # [noises, places, width+1]
        choice = np.argmax(np.where(profile.candidates >= 0, profile.logprobs, -np.inf), axis=2)
        every = np.arange(len(profile.places))

        def of_choices(rows: list[int]) -> Floats:
            """Log likelihoods [noises, places] of these rows' greedy choices, as far as an audit reads them."""
            total = np.zeros(self._tables.shape[:2])
            for row in rows:
                reached = profile.followed(choice[row] == profile.path_columns)
                total[:, reached] += self._tables[:, every[reached], choice[row][reached]]
            return total

        self._probe = profile.probe_of_place
        self._benign = of_choices(profile.of(REFERENCE)[1:])
        found = {int(match[1]): name for name in profile.names if (match := SCALE.fullmatch(name))}
        self._rungs = {
            bits: of_choices(profile.of(name)) for bits, name in sorted(found.items()) if bits <= MOST_BITS + 1
        }

    def read(self, readings: list[Reading]) -> MeterReading | None:
        """The noise of these tokens; None without any."""
        if not readings:
            return None
        rows = np.array([reading.row for reading in readings])
        columns = np.array([reading.column for reading in readings])
        total = self._tables[:, rows, columns].sum(1)  # [noises]
        best = int(np.argmax(total))
        within = np.flatnonzero(2 * (total[best] - total) <= stats.chi2.ppf(COVERAGE, 1))
        low, high = float(NOISES_NATS[within[0]]), float(NOISES_NATS[within[-1]])
        noise = float(NOISES_NATS[best])
        scale = self.scale_at(readings)
        return MeterReading(
            noise_nats=noise,
            noise_interval=(low, high),
            bits=scale.bits(noise) if scale.noise_nats else None,
            bits_interval=(scale.bits(high), scale.bits(low)) if scale.noise_nats else None,
            n_tokens=len(readings),
        )

    def scale_at(self, readings: Sequence[Reading]) -> Scale:
        """The scale at the probes of these tokens: rungs are read where the endpoint was, at the same places."""
        there = np.isin(self._probe, [self._probe[reading.row] for reading in readings])

        def noise(likelihoods: Floats) -> float:
            total = likelihoods[:, there].sum(1)
            return float(NOISES_NATS[int(np.argmax(total))]) if total.any() else 0.0

        rungs = {bits: noise(likelihoods) for bits, likelihoods in self._rungs.items()}
        return Scale(noise_nats=rungs if len(rungs) > 1 else {}, floor_nats=noise(self._benign))


@lru_cache(maxsize=4)
def meter_of(profile: Profile) -> Meter:
    """The meter of a profile: one for all audits."""
    return Meter(profile)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The noise of symmetric round-to-nearest weights in groups of 64 by their bits, and the benign floor."""

    noise_nats: dict[int, float]
    floor_nats: float

    def bits(self, noise_nats: float) -> float:
        """Effective bits of a noise: the scale's, linear in the logarithm of its square less the floor's."""
        bits = np.array(sorted(self.noise_nats, reverse=True), dtype=float)  # noise ascends
        squares = np.array([self._above(self.noise_nats[int(b)]) for b in bits])
        squares = np.maximum.accumulate(squares)
        if self._above(noise_nats) <= squares[0]:
            return float(min(bits[0], MOST_BITS))
        logarithm = np.log(squares)
        wanted = np.log(self._above(noise_nats))
        if wanted <= logarithm[-1]:
            return float(min(np.interp(wanted, logarithm, bits), MOST_BITS))
        slope = (bits[-1] - bits[0]) / (logarithm[-1] - logarithm[0])
        return float(max(1.0, bits[-1] + slope * (wanted - logarithm[-1])))

    def _above(self, noise_nats: float) -> float:
        return max(noise_nats**2 - self.floor_nats**2, (0.01 * self.floor_nats) ** 2, 1e-8)
