"""Which model a residual profile is that of: quadratic discriminant analysis over the rungs, with a way out.

The profile file holds every model in more than one arithmetic. Each of them, taken as an endpoint, gives the residual
profile that is expected at exactly the places an audit has seen, so what differs between probes is no noise. What is
left is how far two arithmetics of one model lie apart: its covariance is estimated from pairs of them on random draws
of as many places, and widened by `slack` in every direction for engines that nobody has seen.

A profile that is far from all of them is no rung: "not this model, or not this prompt".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from bitproof.audit.profile import Profile, Served
from bitproof.audit.residuals import as_served, benign_floor, distances, residuals

__all__ = ["Namer", "Naming"]

Floats = NDArray[np.float64]
DRAWS = 200
SLACK = 0.1  # of half a logarithm: 10 % of a distance
CREDIBLE = 0.95


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What was found after n places.

    `probability` of each name is the posterior over the names alone, all of them as likely before; `fit` is the chance
    of a profile at least as far from a name as this one is, if it were that name.
    """

    n_places: int
    probability: dict[str, float]
    fit: dict[str, float]

    @property
    def best(self) -> str:
        """The likeliest name."""
        return max(self.probability, key=lambda name: self.probability[name])

    @property
    def credible(self) -> tuple[str, ...]:
        """The fewest names, likeliest first, that hold 95 % of the posterior."""
        ordered = sorted(self.probability, key=lambda name: -self.probability[name])
        sums = np.cumsum([self.probability[name] for name in ordered])
        return tuple(ordered[: int(np.searchsorted(sums, CREDIBLE)) + 1])


class Namer:
    """Names residual profiles of one profile, with `top` logprobs at each place."""

    def __init__(self, profile: Profile, *, top: int, seed: int = 0) -> None:
        self.top = top
        self._profile, self._seed = profile, seed
        self._floor = benign_floor(profile, top=top)
        self._against = np.array([profile.of(name)[0] for name in profile.names])
        # [places, models] of every row of the profile, taken as an endpoint
        self._expected = [distances(profile, as_served(profile, row, top=top), self._against) for row in self._rows]

    @property
    def _rows(self) -> range:
        return range(len(self._profile.models))

    def name(self, served: Served) -> Naming:
        """Which of the profile's models was served."""
        seen = residuals(distances(self._profile, served, self._against), floor=self._floor)
        n = len(served.places)
        scores, fits = {}, {}
        for name in self._profile.names:
            mean, covariance = self._class(name, served.places, n)
            away = seen - mean
            square = float(away @ np.linalg.solve(covariance, away))
            scores[name] = -0.5 * (square + float(np.linalg.slogdet(covariance)[1]))
            fits[name] = float(stats.chi2.sf(square, len(mean)))
        total = special.logsumexp(list(scores.values()))
        return Naming(
            n_places=n, probability={name: float(np.exp(score - total)) for name, score in scores.items()}, fit=fits
        )

    def profiles(self, served: Served) -> tuple[tuple[float, ...], dict[str, tuple[float, ...]]]:
        """The residual profile that was seen, and the one that each name has at the same places."""
        seen = residuals(distances(self._profile, served, self._against), floor=self._floor)
        expected = {
            name: tuple(self._class(name, served.places, len(served.places))[0].tolist())
            for name in self._profile.names
        }
        return tuple(seen.tolist()), expected

    def _class(self, name: str, places: NDArray[np.int64], n: int) -> tuple[Floats, Floats]:
        """Mean [m] and covariance [m, m] of residual profiles of a name at these places."""
        rows = self._profile.of(name)
        mean = np.mean([residuals(self._expected[row][places], floor=self._floor) for row in rows], axis=0)
        random = np.random.default_rng([self._seed, n])
        total = len(self._profile.places)
        weights = random.multinomial(n, np.full(total, 1 / total), size=DRAWS).astype(np.float64)
        drawn = np.array(
            [residuals(self._expected[row], floor=self._floor, weights=weights) for row in rows]
        )  # [arithmetics, draws, m]
        away = (drawn - drawn.mean(0)).reshape(-1, drawn.shape[-1])
        spread = away.T @ away / (DRAWS * max(1, len(rows) - 1))
        return mean, spread + SLACK**2 * np.eye(len(mean))
