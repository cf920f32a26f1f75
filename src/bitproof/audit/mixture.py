"""Whether logprobs come from one model, or from the reference and a variant behind one name.

A residual profile is a mean over requests: where a quarter of them is far off, it looks as if all were somewhat off,
like another variant. So each request is also read by itself, as one symbol: in which of `STEPS` of what benign engines
differ by, at its places, it lies from the reference. What symbols a model gives at a place is known from the profile's
arithmetics of it. The likelihood of the symbols under one model is set against that under a mixture,

    product over requests of (1 - w) * p(symbol | reference) + w * p(symbol | variant),

averaged over shares w, of every variant.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bitproof.audit.naming import Namer
from bitproof.audit.profile import REFERENCE, Served
from bitproof.audit.residuals import distances
from bitproof.audit.standing import MIXED_PRIOR, MIXED_SHARES

__all__ = ["mixed_odds"]

Floats = NDArray[np.float64]
STEPS = (0.5, 1.0, 1.5, 2.0)  # half logarithms of a mean square over the benign one
BESIDE = 0.1  # of a model's requests lie a step beside where one of its arithmetics does
UNSEEN = 0.25  # requests in every step, before any arithmetic was looked at


def mixed_odds(namer: Namer, answers: Served, ends: Sequence[int], probability: dict[str, float]) -> float:
    """The odds of a mixture against one model of the profile, for which `probability` stands.

    `ends` are how many of the places there were after each request. Where no model fits, `probability` is empty, and
    the mixture is set against requests that know of no place.
    """
    profile = namer.profile
    first = profile.of(REFERENCE)[:1]
    seen = distances(profile, answers, np.array(first))[:, 0]
    known = np.isfinite(seen)
    request = np.searchsorted(np.array(ends), np.arange(len(seen)), side="right")[known]
    if not len(request):
        return 0.0
    places, column = answers.places[known], profile.names.index(REFERENCE)
    benign = np.mean([namer.as_endpoint(row)[places, column] for row in profile.of(REFERENCE)[1:] or first], axis=0)

    def steps(distance: Floats) -> NDArray[np.int64]:
        """The symbol of each request [requests] from distances at its places."""
        away, usual = np.bincount(request, distance + namer.floor), np.bincount(request, benign + namer.floor)
        there = usual > 0
        return np.searchsorted(STEPS, 0.5 * np.log(np.maximum(away[there], 1e-12) / np.maximum(usual[there], 1e-12)))

    symbols = steps(seen[known])
    likely = {
        name: _log_p([steps(namer.as_endpoint(row)[places, column]) for row in profile.of(name)], symbols)
        for name in profile.names
    }
    mixed = [
        np.logaddexp(log(1 - share) + likely[REFERENCE], log(share) + likely[name]).sum()
        for name in profile.names
        if name != REFERENCE
        for share in MIXED_SHARES
    ]
    if not mixed:
        return 0.0
    pure = [log(max(p, 1e-300)) + likely[name].sum() for name, p in probability.items() if name in likely]
    against = float(logsumexp(pure)) - log(MIXED_PRIOR) if pure else _free(symbols)
    return float(np.exp(min(500.0, logsumexp(mixed) - log(len(MIXED_SHARES)) - against)))


def _log_p(arithmetics: Sequence[NDArray[np.int64]], symbols: NDArray[np.int64]) -> Floats:
    """Log probability [requests] of the symbols, where a model's arithmetics give theirs."""
    total = np.full(len(symbols), UNSEEN)
    for one in arithmetics:
        total += np.where(one == symbols, 1 - 2 * BESIDE, np.where(abs(one - symbols) == 1, BESIDE, 0.0))
    found: Floats = np.log(total / (len(arithmetics) + UNSEEN * (len(STEPS) + 1)))
    return found


def _free(symbols: NDArray[np.int64]) -> float:
    """Log likelihood of symbols of any frequencies, the same at every place (Krichevsky and Trofimov 1981)."""
    counts, total = np.full(len(STEPS) + 1, 0.5), 0.0
    for symbol in symbols:
        total += log(counts[symbol] / counts.sum())
        counts[symbol] += 1
    return total
