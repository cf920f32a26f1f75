"""How likely a served token is, if it came from a model of a profile: the common currency of audits by text.

Sampling at temperature T takes token c with probability softmax(l / T)[c]. A greedy answer is the largest of l + noise,
where the noise is the engine's arithmetic; with Gumbel noise of scale tau that is the same formula with T = tau (the
Gumbel-max trick), with heavier tails than Gaussian noise, as engines have them. So one likelihood serves both, and tau
is what the logit-noise meter reads.

A model that a profile holds in several arithmetics is their mixture at each place: where they disagree, servers may.
Every distribution is diluted by `DILUTION`: a token that all models exclude is no proof of anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.profile import Profile

__all__ = ["DILUTION", "USUAL_NOISE_NATS", "Sampler", "diluted", "greedy", "mean_likelihood", "sampled"]

Floats = NDArray[np.float64]
DILUTION = 1e-3
USUAL_NOISE_NATS = 0.05  # of bfloat16, as Gumbel noise: for profiles that do not say


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How tokens are drawn from logits."""

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0

    def __str__(self) -> str:
        parts = [f"temperature {self.temperature:g}"]
        parts += [f"top_p {self.top_p:g}"] * (self.top_p < 1) + [f"min_p {self.min_p:g}"] * (self.min_p > 0)
        return ", ".join(parts)


def greedy(profile: Profile, rows: Sequence[int], noise_nats: float) -> Floats:
    """Log likelihoods [places, width + 1] of a greedy token, of a model in the arithmetics `rows`.

    `noise_nats` is the scale of the Gumbel noise. The last column is any token that is no candidate.
    """
    mean = np.zeros((len(profile.places), profile.candidates.shape[1] + 1))
    for row in rows:
        scaled = np.where(profile.candidates >= 0, profile.logprobs[row] / noise_nats, -np.inf)
        mean[:, :-1] += _softmax(scaled) / len(rows)
    return diluted(mean)


def sampled(profile: Profile, rows: Sequence[int], sampler: Sampler) -> Floats:
    """Log likelihoods [places, width + 1] of a token drawn by `sampler`; the last column is all other tokens together.

    The others count as many tokens of the last candidate's probability as their mass makes.
    """
    mean = np.zeros((len(profile.places), profile.candidates.shape[1] + 1))
    for row in rows:
        logprobs = np.where(profile.candidates >= 0, profile.logprobs[row], -np.inf).astype(np.float64)
        last = np.where(profile.candidates >= 0, profile.logprobs[row], np.inf).min(1).astype(np.float64)
        rest = np.maximum(1 - np.exp(logprobs).sum(1), 1e-12)
        others = np.log(rest) + (1 / sampler.temperature - 1) * last
        scaled = np.concatenate([logprobs / sampler.temperature, others[:, None]], axis=1)
        mean += _cut(_softmax(scaled), sampler) / len(rows)
    return diluted(mean)


def _cut(p: Floats, sampler: Sampler) -> Floats:
    """Distributions [n, k] with what top_p and min_p leave out set to 0."""
    kept = np.ones_like(p, dtype=bool)
    if sampler.top_p < 1:
        order = np.argsort(-p, axis=1)
        ordered = np.take_along_axis(p, order, axis=1)
        before = np.cumsum(ordered, axis=1) - ordered
        np.put_along_axis(kept, order, before < sampler.top_p, axis=1)
    if sampler.min_p > 0:
        kept &= p >= sampler.min_p * p.max(axis=1, keepdims=True)
    left = np.where(kept, p, 0.0)
    found: Floats = left / left.sum(axis=1, keepdims=True)
    return found


def _softmax(scaled: Floats) -> Floats:
    p = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: Floats = p / p.sum(axis=1, keepdims=True)
    return found


def diluted(p: Floats) -> Floats:
    """Log likelihoods of distributions [..., n], diluted by `DILUTION`."""
    found: Floats = np.log((1 - DILUTION) * p + DILUTION / p.shape[-1])
    return found


def mean_likelihood(loglikelihoods: Floats, axis: int = -1) -> Floats:
    """Logarithm of the mean likelihood over an axis."""
    found: Floats = np.logaddexp.reduce(loglikelihoods, axis=axis) - log(loglikelihoods.shape[axis])
    return found
