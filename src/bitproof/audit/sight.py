"""The smallest difference that a comparison would have found with 95 % power, by simulation from the answers at hand.

A "consistent" says no more than this. The differences that are simulated, from the pool of one side's answers:

- **logprobs**: normal noise on every logprob of a new answer, whose mean size is reported, in nats;
- **greedy**: a share of the questions is answered with another beginning;
- **sampled**: the likelihoods of the answers seen are shaken (each times the exponential of a normal number); what is
  reported is the share of probability that this moves, the total variation, averaged over questions.

A real difference may be shaped otherwise, and be easier or harder to find.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.closed_results import ChannelName
from bitproof.audit.distances import logprob_distances, noisy, text_distances
from bitproof.audit.recording import Answer
from bitproof.stats.two_sample import chance_of_finding
from bitproof.types import NotMeasured

__all__ = ["UNITS", "smallest_found"]

POWER = 0.95
GRIDS: dict[ChannelName, tuple[float, ...]] = {
    "logprobs": (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    "greedy": (0.02, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8, 1.0),
    "sampled": (0.25, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 3.0, 5.0),
}
UNITS: dict[ChannelName, str] = {
    "logprobs": "nats on every logprob",
    "greedy": "of the questions answered otherwise at temperature 0",
    "sampled": "of the probability of sampled answers moved",
}

Made = tuple[NDArray[np.float64], list[int]]
Maker = Callable[[int, np.random.Generator], Made]


def smallest_found(
    name: ChannelName,
    pools: Sequence[Sequence[Answer]],
    sizes: tuple[int, int],
    *,
    pieces: int,
    level: float,
    least_nats: float,
    seed: int,
) -> float | NotMeasured:
    """The least difference of `GRIDS` that is found in 95 % of comparisons, in the unit of `UNITS`.

    `pools` are the answers to each question that stand for one side; `sizes` how many of each side a comparison has.
    """
    if not pools:
        return NotMeasured("no question could be compared")
    draws, moved = _draws(name, pools, sizes, pieces, least_nats), _moved(name)

    def finds(effect: float) -> bool:
        each = 4 if name == "logprobs" else 10  # their distances take longest, and vary least
        return chance_of_finding(draws(effect), len(pools), level=level, seed=seed, each=each) >= POWER

    grid = GRIDS[name]
    if not finds(grid[-1]):
        return NotMeasured("too few questions could be compared to find any")
    low, high = -1, len(grid) - 1  # grid[high] is found, grid[low] is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if finds(grid[middle]) else (middle, high)
    return moved(grid[high], pools, seed)


def _draws(
    name: ChannelName, pools: Sequence[Sequence[Answer]], sizes: tuple[int, int], pieces: int, least_nats: float
) -> Callable[[float], Maker]:
    groups = [0] * sizes[0] + [1] * sizes[1]
    if name == "logprobs":

        def noisy_logprobs(effect: float, number: int, random: np.random.Generator) -> Made:
            return np.maximum(_noisy(pools[number], sizes, effect, random) - least_nats, 0.0), groups

        return lambda effect: partial(noisy_logprobs, effect)
    # one object more than the pool has: an answer unlike all of them
    apart = [np.pad(text_distances(pool, pieces=pieces), (0, 1), constant_values=1.0) for pool in pools]
    for each in apart:
        each[-1, -1] = 0.0
    if name == "greedy":
        return lambda effect: lambda number, random: (_changed(apart[number], sizes, effect, random), groups)
    kinds = [_kinds(pool) for pool in pools]
    return lambda effect: lambda number, random: (_shaken(apart[number], kinds[number], sizes, effect, random), groups)


def _noisy(
    pool: Sequence[Answer], sizes: tuple[int, int], size_nats: float, random: np.random.Generator
) -> NDArray[np.float64]:
    chosen = [pool[number] for number in random.integers(len(pool), size=sum(sizes))]
    return logprob_distances([*chosen[: sizes[0]], *(noisy(one, size_nats, random) for one in chosen[sizes[0] :])])


def _changed(
    apart: NDArray[np.float64], sizes: tuple[int, int], share: float, random: np.random.Generator
) -> NDArray[np.float64]:
    chosen = random.integers(len(apart) - 1, size=sum(sizes))
    if random.random() < share:
        chosen[sizes[0] :] = len(apart) - 1
    return apart[np.ix_(chosen, chosen)]


def _shaken(
    apart: NDArray[np.float64],
    kinds: NDArray[np.intp],
    sizes: tuple[int, int],
    size: float,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    weights = _tilt(kinds, size, random)
    new = random.choice(len(kinds), size=sizes[1], p=weights)
    chosen = np.concatenate([random.integers(len(kinds), size=sizes[0]), new])
    return apart[np.ix_(chosen, chosen)]  # type: ignore[no-any-return]


def _tilt(kinds: NDArray[np.intp], size: float, random: np.random.Generator) -> NDArray[np.float64]:
    """[n]: the probability of each answer of a pool, shaken: equal texts together."""
    weights = np.exp(size * random.standard_normal(int(kinds.max()) + 1))[kinds]
    return weights / weights.sum()  # type: ignore[no-any-return]


def _kinds(pool: Sequence[Answer]) -> NDArray[np.intp]:
    return np.unique([answer.text for answer in pool], return_inverse=True)[1]


def _moved(name: ChannelName) -> Callable[[float, Sequence[Sequence[Answer]], int], float]:
    """From an effect of the grid to the unit that is reported."""
    if name == "logprobs":
        return lambda effect, pools, seed: effect * math.sqrt(2 / math.pi)  # mean size of normal noise
    if name == "greedy":
        return lambda effect, pools, seed: effect

    def total_variation(effect: float, pools: Sequence[Sequence[Answer]], seed: int) -> float:
        random = np.random.default_rng(seed)
        kinds = [_kinds(pool) for pool in pools for _ in range(20)]
        return float(np.mean([np.abs(_tilt(kind, effect, random) - 1 / len(kind)).sum() / 2 for kind in kinds]))

    return total_variation
