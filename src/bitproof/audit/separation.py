"""How many tokens of greedy text it takes to tell each pair of a profile's models apart, predicted from the profile.

What one token of a served model says against another is its gain in log likelihood, as in `choosing`; it takes
log(1 / alpha) of it. Every arithmetic of the served model counts as a server. The prediction is of the mean: chance
makes it two or three times as many now and then.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.likelihood import USUAL_NOISE_NATS, greedy
from bitproof.audit.profile import REFERENCE, Profile

__all__ = ["Separation", "separations", "text_tokens"]


@dataclass(frozen=True, kw_only=True)
class Separation:
    """How a variant stands in its profile: root mean square difference from the reference of the logprobs of the
    path's tokens, and mean tokens of greedy text, None where nothing tells the two apart."""

    name: str
    distance_nats: float
    tokens_to_rule_out: float | None  # this variant, where the reference is served
    tokens_to_find: float | None  # that the reference is not served, where this variant is
    nearest: str  # the model that it takes most tokens to tell from this one
    tokens_from_nearest: float | None


def separations(profile: Profile, *, alpha: float = 0.01) -> tuple[Separation, ...]:
    """Every variant of a profile."""
    tokens, every = text_tokens(profile, alpha=alpha), np.arange(len(profile.places))
    own = profile.logprobs[:, every, profile.path_columns]  # [models, places]
    found = []
    for number, name in enumerate(profile.names):
        if name == REFERENCE:
            continue
        others = np.where(np.arange(len(tokens)) == number, -inf, tokens[number])
        found.append(
            Separation(
                name=name,
                distance_nats=float(np.sqrt(np.mean(np.square(own[profile.of(name)[0]] - own[0])))),
                tokens_to_rule_out=_finite(tokens[0, number]),
                tokens_to_find=_finite(tokens[number, 0]),
                nearest=profile.names[int(np.argmax(others))],
                tokens_from_nearest=_finite(others.max()),
            )
        )
    return tuple(found)


def _finite(value: float) -> float | None:
    return float(value) if value < inf else None


def text_tokens(profile: Profile, *, alpha: float = 0.01) -> NDArray[np.float64]:
    """Tokens [served, other] to rule `other` out when `served` is served; infinite where nothing tells them apart."""
    noise = profile.calibration.noise_nats
    tables = [greedy(profile, profile.of(name), noise.get(name, USUAL_NOISE_NATS)) for name in profile.names]
    choice = np.argmax(np.where(profile.candidates >= 0, profile.logprobs, -np.inf), axis=2)  # [models, places]
    every, asked = np.arange(len(profile.places)), len(profile.places)
    found = np.full((len(tables), len(tables)), inf)
    for served, name in enumerate(profile.names):
        rows = profile.of(name)
        said = np.zeros((len(tables), asked))
        for row in rows:
            reached = profile.followed(choice[row] == profile.path_columns)
            said += np.array([np.where(reached, table[every, choice[row]], 0.0) for table in tables]) / len(rows)
        gain = (said[served] - said).sum(1) / asked  # nats a token
        for other in range(len(tables)):
            if other != served and gain[other] > 0:
                found[served, other] = log(1 / alpha) / gain[other]
    return found
