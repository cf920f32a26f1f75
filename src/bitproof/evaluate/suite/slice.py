"""What a slice of a generated suite is: templates and a difficulty axis, from which a seed makes items."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from bitproof.errors import UsageError
from bitproof.types import Item, Message

__all__ = ["Slice", "few_shot", "make_items"]

Make = Callable[[Random, str, float], Item]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One slice: `make(random, cluster, level)` gives an item of a template at a difficulty.

    `clusters` are the names of its templates or sources, at least 50 where the slice is to gate; `levels` the steps of
    difficulty, easiest first, in `unit`. The item that `make` gives needs no id and no slices: `make_items` sets them,
    keeping further slices that `make` named. `needs` names what must be there ("sandbox"). `context_tokens` says how
    many tokens of context an item of a level takes, its prompt and all its answers at their longest: from above, in a
    tokenizer of 49,000 entries (a test counts them). `repeats` is how often each prompt is asked, as so many items:
    then sampled answers to it can be compared.
    """

    name: str
    title: str  # for people: "Multi-step arithmetic"
    what: str  # one sentence: what an answer must do to count
    clusters: tuple[str, ...]
    levels: tuple[float, ...]
    unit: str
    make: Make
    context_tokens: Callable[[float], float]
    needs: tuple[str, ...] = ()
    repeats: int = 1
    sweep: bool = False  # True: every level is asked of every model; else those at which the reference sometimes fails
    gates: bool = True  # False: described, never decided on


def few_shot(exchanges: Iterable[tuple[str, str]]) -> tuple[Message, ...]:
    """Questions with their answers as a conversation; the answer to the last, which is asked, is left out."""
    messages: list[Message] = []
    for question, answer in exchanges:
        messages += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return tuple(messages[:-1])


def make_items(slice_: Slice, n: int, *, seed: int, level: float | Sequence[float] | None = None) -> list[Item]:
    """`n` items, spread evenly over levels (all of them, or those given) and over clusters.

    Item i is a function of (slice, seed, i, levels) alone: more items never change earlier ones. Raises UsageError for
    a level the slice does not have.
    """
    levels = slice_.levels if level is None else (level,) if isinstance(level, int | float) else tuple(level)
    for step in levels:
        if step not in slice_.levels:
            steps = ", ".join(f"{step:g}" for step in slice_.levels)
            raise UsageError(f"has no level {step:g}", where=f"slice {slice_.name}", remedy=f"Its levels are {steps}.")
    return [_item(slice_, seed, index, levels) for index in range(n)]


def _item(slice_: Slice, seed: int, index: int, levels: tuple[float, ...]) -> Item:
    turn, place = divmod(index, len(levels))
    level, prompt = levels[place], turn // slice_.repeats
    cluster = slice_.clusters[prompt % len(slice_.clusters)]
    start = f"{slice_.name}/{seed}/{level:g}/"
    first = prompt * slice_.repeats * len(levels) + place  # the item that asks this prompt for the first time
    item = slice_.make(_random(f"{start}{first}"), cluster, level)
    further = tuple(other for other in item.slices if other != slice_.name)
    return replace(
        item,
        id=f"{start}{index}",
        slices=(slice_.name, *further),
        cluster=f"{slice_.name}:{cluster}",
        level=level,
    )


def _random(name: str) -> Random:
    return Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
