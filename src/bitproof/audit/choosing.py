"""Which probes to keep, and how many tokens of each: those that say most about every rung for what they cost.

At temperature 0 a token tells models apart where they choose differently, so places where the reference hesitates are
worth many others. What a place says about a rung is the gain in log likelihood of the rung's own choice over the
reference (`likelihood.greedy`), and of the reference's choice over the rung, as far as each follows the path. The gain
is taken relative to the rung's mean over the pool, so that a rung near the reference counts as much as a far one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.equals import equals
from bitproof.audit.likelihood import USUAL_NOISE_NATS, Sampler, greedy, sampled
from bitproof.audit.profile import REFERENCE, Profile

__all__ = ["choose", "first_tokens", "gains", "sampling_order", "worth_of"]

REQUEST_TOKENS = 2.0  # what asking at all costs, in tokens of answers
SAMPLED_PROBES = 1 / 3  # of a profile's, those that are asked for first tokens
NEARER = 1.5
OFTEN = 80  # samples of each of the best, before others are asked


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


@lru_cache(maxsize=4)
def first_tokens(profile: Profile) -> tuple[int, ...]:
    """The probes whose first tokens say most about every rung when they are sampled, the best first: a third of all.

    What a first token says about a rung is KL(rung || reference), less what the reference's own arithmetics show there,
    relative to the rung's mean to the power `NEARER`: the rungs near the reference take the most tokens.
    """
    first = np.flatnonzero(profile.number_of_place == 0)
    reference = sampled(profile, [0], Sampler())[first]  # [probes, width + 1]

    def divergence(rows: Sequence[int]) -> NDArray[np.float64]:
        """KL [rows, probes] from the reference, nats."""
        tables = np.stack([sampled(profile, [row], Sampler())[first] for row in rows])
        found: NDArray[np.float64] = (np.exp(tables) * (tables - reference)).sum(-1)
        return found

    alike = {REFERENCE, *equals(profile)[REFERENCE]}
    rungs = [name for name in profile.names if name not in alike] or list(profile.names)
    kl = divergence([profile.of(name)[0] for name in rungs])
    benign = divergence(profile.of(REFERENCE)).max(0)
    score = ((kl - benign) / np.maximum(kl.mean(1, keepdims=True), 1e-12) ** NEARER).sum(0)
    order = np.argsort(-score, kind="stable")[: max(1, round(SAMPLED_PROBES * len(first)))]
    return tuple(int(profile.probe_of_place[first[number]]) for number in order)


def sampling_order(profile: Profile, order: Sequence[int]) -> Iterator[int]:
    """Which probe to ask for its first token next, without an end: the best of `first_tokens` often, then the others.

    Within a round they come as in `order`.
    """
    chosen = first_tokens(profile)
    few = set(chosen[: max(1, len(chosen) // 4)])
    best, others = ([probe for probe in order if probe in part] for part in (few, {*chosen} - few))
    for part in (best, others):
        for _ in range(OFTEN):
            yield from part
    while True:
        yield from (*best, *others)
