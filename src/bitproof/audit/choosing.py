"""Which probes to keep, and how many tokens of each: those that say most about every rung for what they cost.

At temperature 0 a token tells models apart where they choose differently, so places where the reference hesitates are
worth many others. What a place says about a rung is the gain in log likelihood of the rung's own choice over the
reference (`likelihood.greedy`), and of the reference's choice over the rung, as far as each follows the path. The gain
is taken relative to the rung's mean over the pool, so that a rung near the reference counts as much as a far one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.likelihood import USUAL_NOISE_NATS, Sampler, greedy, sampled
from bitproof.audit.profile import REFERENCE, Profile

__all__ = ["choose", "first_tokens", "gains", "worth_of"]

REQUEST_TOKENS = 2.0  # what asking at all costs, in tokens of answers


def choose(pool: Profile, n: int) -> tuple[Profile, list[int]]:
    """The `n` best probes of a pool, each cut where it pays best, and their numbers in the pool."""
    gain = gains(pool)  # [probes, depth]
    depth = np.arange(1, gain.shape[1] + 1)
    rate = np.cumsum(gain, axis=1) / (depth + REQUEST_TOKENS)
    cut = rate.argmax(axis=1) + 1  # tokens of each probe
    kept = sorted(np.argsort(-rate.max(axis=1), kind="stable")[:n].tolist())
    numbers = {probe: number for number, probe in enumerate(kept)}
    rows = [row for row, place in enumerate(pool.places) if place.probe in numbers and place.number < cut[place.probe]]
    path = np.where(np.arange(pool.path.shape[1]) < cut[:, None], pool.path, -1)[kept]
    candidates = pool.candidates[rows]
    used = {int(token) for token in np.unique(candidates)} | {int(token) for token in np.unique(path)}
    chosen = replace(
        pool,
        probes=tuple(pool.probes[probe] for probe in kept),
        prompt_tokens=tuple(pool.prompt_tokens[probe] for probe in kept),
        texts={token: text for token, text in pool.texts.items() if token in used},
        path=path,
        places=tuple(replace(pool.places[row], probe=numbers[pool.places[row].probe]) for row in rows),
        candidates=candidates,
        logprobs=pool.logprobs[:, rows],
    )
    return chosen, kept


def gains(pool: Profile) -> NDArray[np.float64]:
    """What each token of each probe says about all rungs together, [probes, depth]; 1 is the mean of a token."""
    tables = np.stack(
        [greedy(pool, [pool.of(name)[0]], USUAL_NOISE_NATS) for name in pool.names]
    )  # [names, places, width+1]
    choice = np.argmax(np.where(pool.candidates >= 0, pool.logprobs, -np.inf), axis=2)  # [models, places]
    every = np.arange(len(pool.places))
    on_path = pool.path_columns
    total = np.zeros(pool.path.shape)
    for number, name in enumerate(pool.names):
        if name == REFERENCE:
            continue
        own = choice[pool.of(name)[0]]
        reached = pool.followed(own == on_path)
        served = np.where(reached, tables[number, every, own] - tables[0, every, own], 0.0)
        benign = tables[0, every, on_path] - tables[number, every, on_path]
        gain = np.zeros(pool.path.shape)
        gain[pool.probe_of_place, pool.number_of_place] = served + benign
        if gain.mean() > 0:
            total += gain / gain[pool.path >= 0].mean()
    return total / max(1, len(pool.names) - 1)


@lru_cache(maxsize=4)
def worth_of(profile: Profile) -> NDArray[np.float64]:
    """What a token of each probe says about all rungs together, on average, [probes]; 1 is the mean of a token."""
    found: NDArray[np.float64] = gains(profile).sum(1) / np.maximum((profile.path >= 0).sum(1), 1)
    return found


def first_tokens(profile: Profile, share: float) -> list[int]:
    """The probes whose first token says most about every rung when it is sampled, that share of them, the best first.

    What it says about a rung is KL(rung || reference), relative to the rung's mean.
    """
    first = np.flatnonzero(profile.number_of_place == 0)
    tables = np.stack([sampled(profile, profile.of(name)[:1], Sampler())[first] for name in profile.names])
    kl = (np.exp(tables) * (tables - tables[:1])).sum(-1)[1:]  # [rungs, probes]
    score = (kl / np.maximum(kl.mean(1, keepdims=True), 1e-12)).mean(0)
    order = np.argsort(-score, kind="stable")[: max(1, round(share * len(first)))]
    return [int(profile.probe_of_place[first[number]]) for number in order]
