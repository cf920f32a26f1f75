"""Word problems of one to eight steps: a program of operations, told as a story.

A step is one operation of the program, so one equation of the working: "48 - 12 = 36". Programs have five structures:
- chain: a quantity changes step by step; what is it at the end?
- inverse: the same told from an unknown start; what was it at the start?
- two: two quantities change, each on its own; how many together, or how many more?
- series: a quantity in successive periods, each told relative to the one before (30% more, then 20% less); the total.
- bill: goods, prices, fees and discounts of a shop.
A cluster is a structure in one story's words. Numbers grow with the level; at one step they are small, and there are no
percentages. All values are exact: whole, or dollars in cents.

`gold["working"]` lists the equations in order, so that the gold value can be computed again from the numbers told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

from bitproof.evaluate.suite.arithmetic_stories import SERIES, SHOPS, STORIES, Series, Shop, Story
from bitproof.evaluate.suite.slice import Slice, few_shot
from bitproof.types import Item

__all__ = ["SLICE", "number_item", "plain"]

ASK = 'Solve the problem, event by event. Write one short equation per step, then the result as "Answer: NUMBER".'
EXAMPLES = (
    ("Eva has 9 pens. Eva loses 2 of them. How many pens does Eva have now?", "9 - 2 = 7\nAnswer: 7"),
    (
        "Eva has 20 pens. Eva buys 30% more. Then Eva loses 4 of them. How many pens does Eva have now?",
        "20 * 1.3 = 26\n26 - 4 = 22\nAnswer: 22",
    ),
)
Examples = tuple[tuple[str, str], ...]  # problems and their worked answers

KINDS = ("plus", "minus", "times", "share", "more", "less")
PERCENTS = (5, 10, 15, 20, 25, 30, 40, 50, 60, 75)


@dataclass(frozen=True)
class Change:
    """One operation on a quantity: its kind, its number as told, and the quantity before and after."""

    kind: str  # "plus", "minus", "times", "share", "more", "less"
    n: int
    before: Fraction
    after: Fraction

    def equation(self) -> str:
        """The operation as an equation, "50 * 1.3 = 65"."""
        sign = {"plus": "+", "minus": "-", "share": "/"}.get(self.kind, "*")
        return f"{plain(self.before)} {sign} {plain(self._operand())} = {plain(self.after)}"

    def inverse_equation(self) -> str:
        """The operation undone, "65 / 1.3 = 50"."""
        sign = {"plus": "-", "minus": "+", "share": "*"}.get(self.kind, "/")
        return f"{plain(self.after)} {sign} {plain(self._operand())} = {plain(self.before)}"

    def _operand(self) -> Fraction:
        percent = {"more": self.n, "less": -self.n}.get(self.kind)
        return Fraction(self.n) if percent is None else 1 + Fraction(percent, 100)


@dataclass(frozen=True)
class Problem:
    """A problem told, its equations in order, and its answer."""

    text: str
    working: tuple[str, ...]
    value: Fraction


def plain(value: Fraction) -> str:
    """An exact decimal without trailing zeros: "260", "31.2"."""
    text = f"{float(value):.6f}".rstrip("0").rstrip(".")
    if Fraction(text) != value:
        raise ValueError(f"{value} has no short decimal form")
    return text


def number_item(problem: Problem, ask: str, examples: Examples, wrong: Fraction, max_tokens: int) -> Item:
    """An item graded by its final number, after worked examples; `wrong` is a slip in the last step."""
    asked = (*examples, (problem.text, ""))
    messages = few_shot((f"{ask}\n\n{question}", answer) for question, answer in asked)
    value, slip = plain(problem.value), plain(wrong)
    *before, last = problem.working
    lines = "".join(f"{line}\n" for line in before)
    left = last.rpartition("=")[0]
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=messages,
        grader="number",
        gold={"value": float(problem.value), "tolerance": 0, "working": list(problem.working)},
        right=f"{lines}{left}= {value}\nAnswer: {value}",
        wrong=f"{lines}{left}= {slip}\nAnswer: {slip}",
        max_tokens=max_tokens,
    )


def _make(random: Random, cluster: str, level: float) -> Item:
    structure, _, name = cluster.partition("/")
    tell, table = STRUCTURES[structure]
    problem = tell(random, next(entry for entry in table if entry.name == name), int(level))
    slip = random.choice([-10, -1, 1, 10] if problem.value > 10 else [1, 2, 10])
    return number_item(problem, ASK, EXAMPLES, problem.value + slip, 20 + 28 * int(level))


def _candidate(random: Random, kind: str, value: Fraction, limit: int) -> Change:
    """A change of that kind with a number that suits the quantity."""
    match kind:
        case "plus":
            n = random.randint(2, limit // 4)
        case "minus":
            n = random.randint(2, max(2, int(value) // 2))
        case "times":
            n = random.randint(2, 9 if limit > 1000 else 4)
        case "share":
            n = random.randint(2, 8)
        case _:
            n = random.choice(PERCENTS)
    return Change(kind, n, value, _after(kind, n, value))


def _after(kind: str, n: int, value: Fraction) -> Fraction:
    match kind:
        case "plus":
            return value + n
        case "minus":
            return value - n
        case "times":
            return value * n
        case "share":
            return value / n
        case "more":
            return value * (100 + n) / 100
        case _:
            return value * (100 - n) / 100


def _changes(
    random: Random, start: Fraction, count: int, limit: int, *, kinds: tuple[str, ...] = KINDS, unit: int = 1
) -> list[Change]:
    """`count` changes one after another, no kind twice in a row; quantities stay above 3, below the limit, and exact.

    Exact is a multiple of 1 / unit.
    """
    changes: list[Change] = []
    value, last = start, ""
    while len(changes) < count:
        change = _candidate(random, random.choice([kind for kind in kinds if kind != last]), value, limit)
        if 3 < change.after < limit and (change.after * unit).denominator == 1:
            changes.append(change)
            value, last = change.after, change.kind
    return changes


def _limit(level: int) -> int:
    """Quantities stay below this."""
    return 30 if level == 1 else 40 * level**3


def _start(random: Random, level: int) -> Fraction:
    if level == 1:
        return Fraction(random.randint(3, 12))
    return Fraction(4 * random.randint(3, 15) if level < 5 else 20 * random.randint(5, 40))


def _story_changes(random: Random, level: int, count: int) -> list[Change]:
    """Changes from a fresh start; a single step has no percentages."""
    return _changes(random, _start(random, level), count, _limit(level), kinds=KINDS[:4] if level == 1 else KINDS)


def _sentence(template: str, **words: str | int) -> str:
    text = template.format(**words)
    return text[0].upper() + text[1:]


def _told(story: Story, who: str, changes: list[Change]) -> list[str]:
    return [_sentence(getattr(story, change.kind), who=who, n=change.n) for change in changes]


def _chain(random: Random, story: Story, level: int) -> Problem:
    who, changes = random.choice(story.holders), _story_changes(random, level, level)
    start = _sentence("{who} has {n} {things}.", who=who, n=plain(changes[0].before), things=story.things)
    ask = f"How many {story.things} does {who} have now?"
    text = " ".join([start, *_told(story, who, changes), ask])
    return Problem(text, tuple(change.equation() for change in changes), changes[-1].after)


def _inverse(random: Random, story: Story, level: int) -> Problem:
    who, changes = random.choice(story.holders), _story_changes(random, level, level)
    start = _sentence("{who} has some {things}.", who=who, things=story.things)
    end = _sentence("Now {who} has {n} {things}.", who=who, n=plain(changes[-1].after), things=story.things)
    ask = f"How many {story.things} did {who} have at the start?"
    text = " ".join([start, *_told(story, who, changes), end, ask])
    return Problem(text, tuple(change.inverse_equation() for change in reversed(changes)), changes[0].before)


def _two(random: Random, story: Story, level: int) -> Problem:
    """Two quantities: level - 1 changes in all, then their sum or difference."""
    sentences, working, ends = [], [], []
    for who, count in zip(random.sample(story.holders, 2), (level // 2, (level - 1) // 2), strict=True):
        changes = _story_changes(random, level, count)
        start = changes[0].before if changes else _start(random, level)
        sentences.append(_sentence("{who} has {n} {things}.", who=who, n=plain(start), things=story.things))
        sentences += _told(story, who, changes)
        working += [change.equation() for change in changes]
        ends.append((changes[-1].after if changes else start, who))
    if ends[0][0] == ends[1][0] or random.random() < 0.5:
        (a, first), (b, second) = ends
        value, sign = a + b, "+"
        ask = f"How many {story.things} do {first} and {second} have together?"
    else:
        (b, second), (a, first) = sorted(ends)
        value, sign = a - b, "-"
        ask = f"How many more {story.things} than {second} does {first} have?"
    working.append(f"{plain(a)} {sign} {plain(b)} = {plain(value)}")
    return Problem(" ".join([*sentences, ask]), tuple(working), value)


def _series(random: Random, series: Series, level: int) -> Problem:
    """Periods relative to the one before, then the total of all; at level 1 the second period alone."""
    kinds = ("plus", "minus", "times") if level == 1 else ("plus", "minus", "times", "more", "less")
    start = Fraction(random.randint(3, 12) if level == 1 else 20 * random.randint(2, 5 if level < 3 else 30))
    unit = 100 if series.unit == "dollars" else 1
    changes = _changes(
        random, start, max(1, level - 1), 30 if level == 1 else 20 * _limit(level), kinds=kinds, unit=unit
    )
    sentences = [_sentence(series.first, n=plain(start), period=series.periods[0])]
    for change, (before, period) in zip(changes, pairwise(series.periods), strict=False):
        sentences.append(_sentence(series.then, period=period, before=before, cmp=_comparison(series, change)))
    working, value = [change.equation() for change in changes], changes[-1].after
    count = f"{series.periods[1]} alone"
    if level > 1:
        parts = [start, *(change.after for change in changes)]
        value = sum(parts, Fraction(0))
        working.append(f"{' + '.join(map(plain, parts))} = {plain(value)}")
        count = f"{series.periods[0]} {'and' if level == 2 else 'to'} {series.periods[level - 1]} together"
    return Problem(" ".join([*sentences, series.ask.format(count=count)]), tuple(working), value)


def _comparison(series: Series, change: Change) -> str:
    fewer = "fewer" if series.much == "many" else "less"
    return {
        "plus": f"{change.n} {series.unit} more than",
        "minus": f"{change.n} {series.unit} {fewer} than",
        "times": f"{change.n} times as {series.much} as",
        "more": f"{change.n}% more than",
        "less": f"{change.n}% {fewer} than",
    }[change.kind]


def _bill(random: Random, shop: Shop, level: int) -> Problem:
    """Goods (a product, and a sum from the second on), fees, vouchers, discounts; perhaps split at the end."""
    goods = random.sample(shop.goods, len(shop.goods))
    sentences: list[str] = []
    working: list[str] = []
    value, last = Fraction(0), ""
    while len(working) < level:
        left = level - len(working)
        if not working or (left > 1 and goods and random.random() < 0.4):
            sentence, n, price = _purchase(random, shop, goods.pop(), level)
            sentences.append(sentence)
            working.append(f"{n} * {price} = {n * price}")
            working += [f"{plain(value)} + {n * price} = {plain(value + n * price)}"] if value else []
            value, last = value + n * price, ""
            continue
        kinds = tuple(kind for kind in ("plus", "minus", "less", *(("share",) if left == 1 else ())) if kind != last)
        (change,) = _changes(random, value, 1, 1_000_000, kinds=kinds, unit=100)
        template = {"plus": shop.fee, "minus": shop.voucher, "less": shop.discount, "share": shop.split}[change.kind]
        sentences.append(_sentence(template, n=change.n))
        working.append(change.equation())
        value, last = change.after, change.kind
    return Problem(" ".join([*sentences, "How many dollars is that?"]), tuple(working), value)


def _purchase(random: Random, shop: Shop, good: tuple[str, int], level: int) -> tuple[str, int, int]:
    name, lowest = good
    n, price = random.randint(2, 6 if level < 3 else 30), lowest + random.randint(0, lowest // 2 + 1)
    return _sentence(shop.buy, n=n, goods=name, price=price), n, price


STRUCTURES: dict[str, tuple[Callable[..., Problem], tuple[Any, ...]]] = {
    "chain": (_chain, STORIES),
    "inverse": (_inverse, STORIES),
    "two": (_two, STORIES),
    "series": (_series, SERIES),
    "bill": (_bill, SHOPS),
}

SLICE = Slice(
    name="arithmetic",
    title="Multi-step arithmetic",
    what="the final number of a word problem with a controlled number of steps",
    clusters=tuple(f"{structure}/{entry.name}" for structure, (_, table) in STRUCTURES.items() for entry in table),
    levels=(1, 2, 3, 4, 6, 8),
    unit="steps",
    make=_make,
    context_tokens=lambda steps: 320 + 60 * steps,
)
