"""Which model a residual profile is that of: quadratic discriminant analysis over the rungs, with a way out.

The profile file holds every model in more than one arithmetic. Each of them, taken as an endpoint, gives the residual
profile that is expected at exactly the places an audit has seen, so what differs between probes is no noise. What is
left is how far two arithmetics of one model lie apart: its covariance is estimated from them on random draws of as
many places, and widened in every direction for engines that nobody has seen: by the profile's slack, which is what an
arithmetic that was left out of the covariance needed (`calibration`).

A profile that is far from all of them is no rung: "not this model, or not this prompt".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bitproof.audit.profile import Profile, Served
from bitproof.audit.residuals import as_served, benign_floor, distances, residuals

__all__ = ["Namer", "Naming", "chance_of", "namer_of"]

Floats = NDArray[np.float64]
DRAWS = 200
CALIBRATED_PLACES = 20  # at which the slack is found
CREDIBLE = 0.95


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What was found after n places.

    `probability` of each name is the posterior over the names alone, all of them as likely before; `fit` is the chance
    of a profile at least as far from a name as this one is, if it were that name, see `chance_of`.
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
    """Names residual profiles of one profile, with `top` logprobs at each place.

    `slack` is the profile's own unless given; what was computed in the arithmetic `without` is left out.
    """

    def __init__(
        self, profile: Profile, *, top: int, slack: float | None = None, without: str = "", seed: int = 0
    ) -> None:
        self.top = top
        self.profile, self._seed = profile, seed
        self._slack = profile.calibration.slack_of(top) if slack is None else slack
        self._rows = {
            name: [row for row in profile.of(name) if profile.models[row].numerics != without] for name in profile.names
        }
        self.floor = benign_floor(profile, top=top)
        self._against = np.array([profile.of(name)[0] for name in profile.names])
        self._expected: dict[int, Floats] = {}
        self._spreads: dict[tuple[str, int], Floats] = {}

    def name(self, served: Served) -> Naming:
        """Which of the profile's models was served."""
        seen, n = self.seen(served), len(served.places)
        expected = {name: self.expected(name, served.places) for name in self.profile.names}
        scores, fits = {}, {}
        for name, (mean, covariance) in expected.items():
            away = seen - mean
            square = float(away @ np.linalg.solve(covariance, away))
            scores[name] = -0.5 * (square + float(np.linalg.slogdet(covariance)[1]))
            others = np.array([other - mean for each, (other, _) in expected.items() if each != name])
            fits[name] = float(chance_of(away[None], covariance, others)[0])
        total = special.logsumexp(list(scores.values()))
        return Naming(
            n_places=n, probability={name: float(np.exp(score - total)) for name, score in scores.items()}, fit=fits
        )

    def seen(self, served: Served) -> Floats:
        """The residual profile [m] of what was served."""
        return residuals(distances(self.profile, served, self._against), floor=self.floor)

    def expected(self, name: str, places: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Mean [m] and covariance [m, m] of residual profiles of a name at these places."""
        each = [residuals(self.as_endpoint(row)[places], floor=self.floor) for row in self._rows[name]]
        spread = self._spread(name, len(places))
        slack = self._slack**2 * max(1.0, CALIBRATED_PLACES / len(places))  # in fewer places, less averages out
        return np.mean(each, axis=0), spread + slack * np.eye(len(spread))

    def _spread(self, name: str, n: int) -> Floats:
        """Covariance [m, m] of a name's residual profiles between arithmetics, over draws of `n` places."""
        if (name, n) not in self._spreads:
            total, rows = len(self.profile.places), self._rows[name]
            random = np.random.default_rng([self._seed, n])
            weights = random.multinomial(n, np.full(total, 1 / total), size=DRAWS).astype(np.float64)
            drawn = np.array(
                [residuals(self.as_endpoint(row), floor=self.floor, weights=weights) for row in rows]
            )  # [arithmetics, draws, m]
            away = (drawn - drawn.mean(0)).reshape(-1, drawn.shape[-1])
            self._spreads[name, n] = away.T @ away / (DRAWS * max(1, len(rows) - 1))
        return self._spreads[name, n]

    def rows_of(self, name: str) -> list[int]:
        """The rows of the profile that are known of a name."""
        return self._rows[name]

    def as_endpoint(self, row: int) -> Floats:
        """Distances [places, m] of a row of the profile, taken as an endpoint."""
        if row not in self._expected:
            self._expected[row] = distances(self.profile, as_served(self.profile, row, top=self.top), self._against)
        return self._expected[row]


def chance_of(away: Floats, covariance: Floats, others: Floats) -> Floats:
    """p [n] of residual profiles at least as far from a name's mean, `away` [n, m], if they were that name's.

    Far in any direction (chi square with m degrees of freedom), or far along the line to one of the other names'
    means, `others` [k, m] from this one's: of m directions most say nothing, and one of those k is where a variant
    lies. Bonferroni over the two and over the k.
    """
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, away.T).T
    p = np.asarray(special.chdtrc(away.shape[1], np.square(white).sum(1)))
    if len(others):
        lines = np.linalg.solve(root, others.T).T
        lines /= np.maximum(np.linalg.norm(lines, axis=1, keepdims=True), 1e-12)
        p = np.minimum(p, len(others) * special.ndtr(-(white @ lines.T).max(1)))
        p = np.minimum(1.0, 2 * p)
    return p


@lru_cache(maxsize=8)
def namer_of(profile: Profile, top: int) -> Namer:
    """The namer of a profile: one for all audits with as many logprobs."""
    return Namer(profile, top=top)
