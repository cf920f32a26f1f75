import re
from fractions import Fraction

import pytest

from bitproof.evaluate.graders.number import GRADER
from bitproof.evaluate.suite.arithmetic import SLICE
from bitproof.evaluate.suite.arithmetic_stories import STORIES
from bitproof.evaluate.suite.slice import make_items
from bitproof.types import Item, Response

KINDS = ("plus", "minus", "times", "share", "more", "less")


def problem(item: Item) -> str:
    return item.messages[-1].content.split("\n\n")[1]


def items_of(structure: str) -> list[Item]:
    found = [item for level in SLICE.levels for item in make_items(SLICE, 104, seed=3, level=level)]
    return [item for item in found if item.cluster.startswith(f"arithmetic:{structure}/")]


def events(item: Item) -> list[tuple[str, int]]:
    """What a story tells, read back from its words: the kind and the number of each event."""
    story = next(story for story in STORIES if item.cluster.endswith(f"/{story.name}"))
    holders = "|".join(map(re.escape, story.holders))
    patterns = {
        kind: re.escape(getattr(story, kind)).replace(r"\{who\}", f"(?:{holders})").replace(r"\{n\}", r"(\d+)")
        for kind in KINDS
    }
    found = []
    for kind, pattern in patterns.items():
        found += [(m.start(), kind, int(m[1])) for m in re.finditer(pattern, problem(item), re.IGNORECASE)]
    return [(kind, n) for _, kind, n in sorted(found)]


def apply(value: Fraction, kind: str, n: int) -> Fraction:
    percent = Fraction(n, 100)
    return {
        "plus": value + n,
        "minus": value - n,
        "times": value * n,
        "share": value / n,
        "more": value + value * percent,
        "less": value - value * percent,
    }[kind]


def numbers(text: str) -> list[Fraction]:
    return [Fraction(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("level", SLICE.levels)
def test_the_working_is_as_long_as_the_level_and_each_equation_holds(level):
    for item in make_items(SLICE, 104, seed=5, level=level):
        working = item.gold["working"]
        assert len(working) == level
        known = set(numbers(problem(item)))
        known |= {1 + sign * n / 100 for n in known for sign in (1, -1)}
        for line in working:
            left, _, result = line.partition(" = ")
            first, *rest = re.split(r" ([-+*/]) ", left)
            value = Fraction(first)
            for sign, operand in zip(rest[::2], rest[1::2], strict=True):
                assert Fraction(operand) in known
                operation = {"+": value.__add__, "-": value.__sub__, "*": value.__mul__, "/": value.__truediv__}[sign]
                value = operation(Fraction(operand))
            assert Fraction(first) in known
            assert value == Fraction(result)
            known.add(value)
        assert value == Fraction(str(item.gold["value"]))


def test_a_chain_told_gives_the_gold_value():
    for item in items_of("chain"):
        value = numbers(problem(item))[0]
        for kind, n in events(item):
            value = apply(value, kind, n)
        assert value == item.gold["value"]
        assert len(events(item)) == item.level


def test_an_inverse_story_told_from_the_gold_value_ends_where_it_says():
    for item in items_of("inverse"):
        value = Fraction(str(item.gold["value"]))
        for kind, n in events(item):
            value = apply(value, kind, n)
        assert value == numbers(problem(item))[-1]


def test_a_series_told_gives_the_gold_value():
    for item in items_of("series"):
        text = problem(item).rpartition(". ")[0]
        start, *rest = re.findall(r"\d+(?= (?:dollars|visitors|kilo|words|lamps|bricks|times))|\d+%", text)
        words = re.findall(r"more than|fewer than|less than|times as", text)
        values = [Fraction(start)]
        for number, word in zip(rest, words, strict=True):
            kind = "times" if word == "times as" else "more" if word == "more than" else "less"
            if not number.endswith("%") and kind != "times":
                kind = {"more": "plus", "less": "minus"}[kind]
            values.append(apply(values[-1], kind, int(number.rstrip("%"))))
        assert Fraction(str(item.gold["value"])) == (values[-1] if item.level == 1 else sum(values))


def test_two_stories_and_a_bill_worked_by_hand():
    two = make_items(SLICE, 52, seed=1, level=3)[SLICE.clusters.index("two/club")]
    assert "How many more members than the choir does the film club have?" in problem(two)
    assert events(two) == [("share", 8), ("plus", 28)]
    assert two.gold["working"] == ["56 / 8 = 7", "52 + 28 = 80", "80 - 7 = 73"]
    assert two.gold["value"] == 73
    bill = make_items(SLICE, 52, seed=1, level=4)[SLICE.clusters.index("bill/market")]
    assert "9 jars of honey change hands at $7 each. At a stall 30 melons change hands at $5" in problem(bill)
    assert "is cut by 5%" in problem(bill)
    assert bill.gold["value"] == 202.35


def test_right_is_right_and_wrong_is_wrong():
    assert len(SLICE.clusters) >= 50
    for level in SLICE.levels:
        for item in make_items(SLICE, 104, seed=2, level=level):
            assert item.right is not None
            assert item.wrong is not None
            assert GRADER.grade(item, Response(texts=(item.right,), finish="stop")).score == 1
            assert GRADER.grade(item, Response(texts=(item.wrong,), finish="stop")).score == 0
            assert abs(len(item.right) - len(item.wrong)) <= 4
            assert item.messages[-1].role == "user"
            assert not re.search(r"[{}]|None", item.messages[-1].content)


def test_items_are_a_function_of_the_seed():
    again = make_items(SLICE, 120, seed=4)
    assert make_items(SLICE, 120, seed=4) == again
    assert len({item.id for item in again}) == 120
    assert len({item.messages for item in again}) == 120
    assert make_items(SLICE, 120, seed=5) != again
