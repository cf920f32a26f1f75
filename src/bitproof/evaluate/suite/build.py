"""A suite: the items of a profile, from a seed, with a digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from bitproof.errors import BitproofError, UsageError
from bitproof.evaluate.suite.registry import find_slice, slices
from bitproof.evaluate.suite.slice import Slice, make_items
from bitproof.store.runs import digest_of
from bitproof.types import Item

__all__ = ["PROFILES", "Profile", "Suite", "build_suite"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much of a suite is asked: items a slice, of which slices (all where empty), up to which context.

    Levels of more than `max_context` tokens take too long here, and the easiest is asked instead; what takes more than
    `context_tokens`, the model's own limit, is not asked at all.
    """

    name: str
    items: int
    slices: tuple[str, ...] = ()
    max_tokens: int = 1 << 20  # longest answer: slices whose items ask for more are left out
    max_context: int = 1 << 20
    context_tokens: int = 1 << 20

    def reachable(self, slice_: Slice) -> tuple[float, ...]:
        """The levels of a slice that this profile can ask; none where the model's context is too short for all."""
        fitting = tuple(level for level in slice_.levels if slice_.context_tokens(level) <= self.context_tokens)
        short = tuple(level for level in fitting if slice_.context_tokens(level) <= self.max_context)
        return short or fitting[:1]


PROBED = 12  # items of a level
DEMO_SLICES = (
    "arithmetic",
    "classification",
    "code-basic",
    "grounded",
    "multilingual",
    "over-refusal",
    "refusal",
)
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name="demo", items=10, slices=DEMO_SLICES, max_tokens=100, max_context=600),
        Profile(name="quick", items=40, max_tokens=128, max_context=1100),
        Profile(name="core", items=150),
        Profile(name="full", items=500),
    )
}


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Items with unique ids; `left_out` says which slices are not in it and why."""

    name: str
    seed: int
    items: tuple[Item, ...]
    levels: dict[str, tuple[float, ...]] = field(default_factory=dict)  # asked, by slice
    left_out: dict[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all items."""
        return digest_of([asdict(item) for item in self.items])

    @property
    def slices(self) -> tuple[str, ...]:
        """Names of all slices that an item counts in, in order of first use."""
        return tuple(dict.fromkeys(name for item in self.items for name in item.slices))

    def items_of(self, name: str) -> list[Item]:
        """The items that count in a slice."""
        return [item for item in self.items if name in item.slices]


def build_suite(
    profile: Profile,
    *,
    seed: int = 0,
    names: Sequence[str] = (),
    levels: Mapping[str, Sequence[float]] | None = None,
    context_tokens: int = 1 << 20,
    further: Sequence[Item] = (),
) -> Suite:
    """The suite of a profile: `names` of slices (default: the profile's), at `levels` where they are given.

    `context_tokens` is the model's limit; slices and levels beyond it are left out. `further` are the user's own items.
    Raises UsageError for an unknown slice, an id that two items have, or where no item is left.
    """
    profile = replace(profile, context_tokens=min(profile.context_tokens, context_tokens))
    wanted = [find_slice(name) for name in names or profile.slices] or list(slices().values())
    items: list[Item] = []
    asked: dict[str, tuple[float, ...]] = {}
    left_out: dict[str, str] = {}
    for slice_ in wanted:
        made = _items_of(slice_, profile, (levels or {}).get(slice_.name, ()), seed)
        if isinstance(made, str):
            left_out[slice_.name] = made
            continue
        items += made
        asked[slice_.name] = tuple(sorted({item.level for item in made}))
    _check_ids(items, further)
    items += further
    if not items:
        raise UsageError(
            "the suite holds no item", remedy=f"Left out: {left_out}. Give other slices or a larger profile."
        )
    return Suite(name=f"core/{profile.name}", seed=seed, items=tuple(items), levels=asked, left_out=left_out)


def _items_of(slice_: Slice, profile: Profile, given: Sequence[float], seed: int) -> list[Item] | str:
    """The items of a slice at levels that the profile can ask, those given where there are such; or why none."""
    reachable = profile.reachable(slice_)
    if not reachable:
        least = min(map(slice_.context_tokens, slice_.levels))
        return f"its easiest items take {least:,.0f} tokens of context, and there are {profile.context_tokens:,}"
    fits = [one for one in given if one not in slice_.levels or slice_.context_tokens(one) <= profile.context_tokens]
    try:
        levels = [level for level in fits or reachable if _is_short(slice_, level, profile, seed)]
        made = make_items(slice_, profile.items, seed=seed, level=levels) if levels else []
    except UsageError:
        raise
    except BitproofError as error:  # a part that is not installed
        return str(error)
    short = [item for item in made if item.max_tokens <= profile.max_tokens]
    return short or f"its answers are longer than the {profile.max_tokens} tokens of profile {profile.name}"


def _is_short(slice_: Slice, level: float, profile: Profile, seed: int) -> bool:
    """Whether half of a level's items, as a dozen of them show, have answers that the profile can wait for."""
    some = make_items(slice_, PROBED, seed=seed, level=level)
    return 2 * sum(item.max_tokens <= profile.max_tokens for item in some) >= PROBED


def _check_ids(items: Sequence[Item], further: Sequence[Item]) -> None:
    """Raises UsageError for an id of two items: answers and grades are kept by it."""
    taken = {item.id: f"the suite's own slice {item.slices[0]}" for item in items}
    for number, item in enumerate(further, start=1):
        where = f"own item {number}, slice {item.slices[0]}"
        if item.id in taken:
            raise UsageError(
                f"the id {item.id!r} is taken by {taken[item.id]}", where=where, remedy="Every item needs its own."
            )
        taken[item.id] = where
