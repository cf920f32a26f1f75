import re
from fractions import Fraction

import pytest

from bitproof.evaluate.graders.number import GRADER
from bitproof.evaluate.suite.slice import make_items
from bitproof.evaluate.suite.units import METRIC, RATES, SLICE, TIME
from bitproof.types import Item, Response

SECONDS = {
    "weeks": 604800,
    "days": 86400,
    "hours": 3600,
    "minutes": 60,
    "seconds": 1,
    "milliseconds": Fraction(1, 1000),
}
SI = {  # in metres, grams, litres, bytes
    **{"kilometres": 1000, "metres": 1, "decimetres": "1e-1", "centimetres": "1e-2", "millimetres": "1e-3"},
    **{"micrometres": "1e-6", "tonnes": 10**6, "kilograms": 1000, "grams": 1, "milligrams": "1e-3"},
    **{"micrograms": "1e-6", "nanograms": "1e-9", "cubic metres": 1000, "hectolitres": 100, "litres": 1},
    **{"decilitres": "1e-1", "centilitres": "1e-2", "millilitres": "1e-3", "terabytes": 10**12, "gigabytes": 10**9},
    **{"megabytes": 10**6, "kilobytes": 1000, "bytes": 1, "bits": Fraction(1, 8)},
    **SECONDS,
}


def problem(item: Item) -> str:
    return item.messages[-1].content.split("\n\n")[1]


def items_of(structure: str) -> list[Item]:
    found = [item for level in SLICE.levels for item in make_items(SLICE, 108, seed=3, level=level)]
    return [item for item in found if item.cluster.startswith(f"units:{structure}/")]


def gold(item: Item) -> Fraction:
    return Fraction(str(item.gold["value"]))


def size(unit: str) -> Fraction:
    return Fraction(SI[unit])


@pytest.mark.parametrize("structure", ["down", "up"])
def test_a_chain_as_it_is_told(structure):
    for item in items_of(structure):
        sizes = {big: (int(n), small) for big, n, small in re.findall(r"Each (\w+) \D*(\d+) (\w+)s\.", problem(item))}
        assert len(sizes) == item.level
        target, count, source = re.findall(r"How many (\w+)s (?:are in|do) (\d+) (\w+)s(?: make)?\?", problem(item))[0]

        def smallest(noun: str, sizes: dict[str, tuple[int, str]] = sizes) -> int:
            n, inner = sizes.get(noun, (1, ""))
            return n * smallest(inner) if inner else 1

        assert gold(item) * smallest(target) == int(count) * smallest(source)


def test_metric_conversions_by_the_sizes_of_units():
    for item in items_of("metric"):
        found = re.fullmatch(r"How many ([\w ]+) are (\d+) ([\w ]+)\?( .* powers of 1000\.)?", problem(item))
        assert found is not None
        assert (found[4] is not None) == ("byte" in problem(item) or "bits" in problem(item))
        assert gold(item) * size(found[1]) == int(found[2]) * size(found[3])


def test_rates_by_the_sizes_of_units():
    for item in items_of("rate"):
        _, _, unit, per = RATES[item.cluster.partition("/")[2]]
        rate, span = map(int, re.findall(r"\d+", problem(item))[:2])
        target, time = re.findall(r"How many ([\w ]+) is that in \d+ (\w+)\?", problem(item))[0]
        assert gold(item) * size(target) * size(per) == rate * size(unit) * span * size(time)


def test_the_working_has_one_equation_a_conversion_and_each_holds():
    for structure in ("down", "up", "metric", "rate"):
        for item in items_of(structure):
            assert len(item.gold["working"]) == item.level + (structure == "rate")
            for line in item.gold["working"]:
                first, sign, second, result = re.fullmatch(r"(\S+) ([*/]) (\S+) = (\S+)", line).groups()  # type: ignore[union-attr]
                one, other = Fraction(first), Fraction(second)
                assert (one * other if sign == "*" else one / other) == Fraction(result)
            assert Fraction(result) == gold(item)


def test_right_is_right_and_wrong_is_wrong():
    assert len(SLICE.clusters) == len(set(SLICE.clusters)) == 54
    for level in SLICE.levels:
        for item in make_items(SLICE, 108, seed=2, level=level):
            assert item.right is not None
            assert item.wrong is not None
            assert GRADER.grade(item, Response(texts=(item.right,), finish="stop")).score == 1
            assert GRADER.grade(item, Response(texts=(item.wrong,), finish="stop")).score == 0
            assert not re.search(r"[{}]|None", item.messages[-1].content)


def test_ladders_are_complete():
    for ladder in (*METRIC.values(), TIME):
        assert [size(a) / size(b) for a, b in zip(ladder.units, ladder.units[1:], strict=False)] == list(ladder.factors)


def test_items_are_a_function_of_the_seed():
    assert make_items(SLICE, 60, seed=4) == make_items(SLICE, 60, seed=4) != make_items(SLICE, 60, seed=5)
