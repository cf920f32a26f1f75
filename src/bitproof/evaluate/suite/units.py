"""Conversions of units, one to five of them.

Three structures:
- down, up: a chain of things that consist of others at rates that are told ("Each crate holds 12 cartons"), so that
  nothing but reading and arithmetic is needed;
- metric: the same along units that have to be known (length, mass, volume, time, data);
- rate: an amount per time, asked for another time and in another unit; conversions of both, and one product.
A cluster is a structure with one vocabulary. Values are exact. `gold["working"]` lists the equations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import prod
from random import Random

from bitproof.evaluate.suite.arithmetic import Problem, number_item, plain
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item

__all__ = ["SLICE"]

ASK = 'Convert step by step. Write one short equation per step, then the result as "Answer: NUMBER".'
EXAMPLES = (
    ("Each box holds 4 pens. How many pens are in 3 boxes?", "3 * 4 = 12\nAnswer: 12"),
    (
        "A pump moves 2 litres per minute. How many millilitres is that in 3 hours?",
        "3 * 60 = 180\n180 * 2 = 360\n360 * 1000 = 360000\nAnswer: 360000",
    ),
)

# Six nouns from the largest to the smallest, all with a plural in -s, and the verb of their relation.
CHAINS = {
    "pallet": ("holds", "pallet crate carton bag packet sweet"),
    "legion": ("has", "legion cohort column squad soldier boot"),
    "forest": ("has", "forest grove tree bough twig needle"),
    "town": ("has", "town district street house room window"),
    "archive": ("contains", "archive hall rack row book page"),
    "fleet": ("counts", "fleet ship deck cabin bunk pillow"),
    "festival": ("consists of", "festival concert set song verse line"),
    "school": ("has", "school floor classroom table pupil pencil"),
    "universe": ("contains", "universe cluster system planet moon crater"),
    "stadium": ("is made of", "stadium tier block row seat cushion"),
    "plant": ("has", "plant hall machine arm joint screw"),
    "region": ("keeps", "region farm barn pen hen egg"),
    "hotel": ("offers", "hotel wing corridor suite bed blanket"),
    "museum": ("has", "museum floor wall painting figure button"),
    "vineyard": ("has", "vineyard terrace row vine grape seed"),
    "blick": ("equals", "blick zorn treel fand mip quon"),
    "dorb": ("is as long as", "dorb plim skrat wug heff lorn"),
    "ducat": ("is worth", "ducat florin groat thaler token bead"),
}


@dataclass(frozen=True)
class Ladder:
    """Units from the largest to the smallest, and how many of the next each one is."""

    units: tuple[str, ...]
    factors: tuple[int, ...]

    def below(self, unit: str) -> int:
        """How many smaller units there are."""
        return len(self.units) - 1 - self.units.index(unit)


LENGTH = Ladder(
    ("kilometres", "metres", "decimetres", "centimetres", "millimetres", "micrometres"), (1000, 10, 10, 10, 1000)
)
MASS = Ladder(("tonnes", "kilograms", "grams", "milligrams", "micrograms", "nanograms"), (1000,) * 5)
VOLUME = Ladder(
    ("cubic metres", "hectolitres", "litres", "decilitres", "centilitres", "millilitres"), (10, 100, 10, 10, 10)
)
TIME = Ladder(("weeks", "days", "hours", "minutes", "seconds", "milliseconds"), (7, 24, 60, 60, 1000))
DATA = Ladder(("terabytes", "gigabytes", "megabytes", "kilobytes", "bytes", "bits"), (1000, 1000, 1000, 1000, 8))
METRIC = {"length": LENGTH, "mass": MASS, "volume": VOLUME, "time": TIME, "data": DATA}

RATES = {  # the sentence, its ladder, its unit, and the unit of time it is per
    "tap": ("A tap delivers {n} {unit} per minute.", VOLUME, "litres", "minutes"),
    "snail": ("A snail crawls {n} {unit} per minute.", LENGTH, "centimetres", "minutes"),
    "belt": ("A conveyor belt carries {n} {unit} of coal per minute.", MASS, "kilograms", "minutes"),
    "drip": ("From a drip {n} {unit} run per minute.", VOLUME, "decilitres", "minutes"),
    "satellite": ("A satellite travels {n} {unit} per second.", LENGTH, "kilometres", "seconds"),
    "download": ("A computer downloads {n} {unit} per second.", DATA, "megabytes", "seconds"),
    "robot": ("A robot drives {n} {unit} per minute.", LENGTH, "metres", "minutes"),
    "well": ("An oil well yields {n} {unit} per minute.", VOLUME, "hectolitres", "minutes"),
    "mill": ("A mill grinds {n} {unit} of ore per minute.", MASS, "tonnes", "minutes"),
    "weaver": ("A loom weaves {n} {unit} of ribbon per minute.", LENGTH, "decimetres", "minutes"),
    "river": ("Under a bridge {n} {unit} of water pass per second.", VOLUME, "cubic metres", "seconds"),
    "recorder": ("A recorder stores {n} {unit} per second.", DATA, "kilobytes", "seconds"),
    "spider": ("A lab collects {n} {unit} of silk per minute.", MASS, "grams", "minutes"),
}


def _convert(value: Fraction, factors: list[int], up: bool) -> tuple[list[str], Fraction]:
    """The equations of a chain of conversions, and its result."""
    working = []
    for factor in factors:
        after = value / factor if up else value * factor
        working.append(f"{plain(value)} {'/' if up else '*'} {factor} = {plain(after)}")
        value = after
    return working, value


def _chain(random: Random, name: str, level: int, *, up: bool) -> Problem:
    verb, listed = CHAINS[name]
    nouns = listed.split()
    first = random.randint(0, len(nouns) - 1 - level)
    used = nouns[first : first + level + 1]
    factors = [random.randint(2, 5 if level < 3 else 25) for _ in range(level)]
    facts = [f"Each {big} {verb} {n} {small}s." for (big, small), n in zip(pairwise(used), factors, strict=True)]
    random.shuffle(facts)
    count = random.randint(2, 9 if level < 3 else 40)
    start = Fraction(count * prod(factors) if up else count)
    source, target = (used[-1], used[0]) if up else (used[0], used[-1])
    working, value = _convert(start, factors[::-1] if up else factors, up)
    ask = f"do {plain(start)} {source}s make" if up else f"are in {plain(start)} {source}s"
    return Problem(f"{' '.join(facts)} How many {target}s {ask}?", tuple(working), value)


def _down(random: Random, name: str, level: int) -> Problem:
    return _chain(random, name, level, up=False)


def _up(random: Random, name: str, level: int) -> Problem:
    return _chain(random, name, level, up=True)


def _metric(random: Random, name: str, level: int) -> Problem:
    ladder = METRIC[name]
    first = random.randint(0, len(ladder.factors) - level)
    factors = list(ladder.factors[first : first + level])
    units = ladder.units[first], ladder.units[first + level]
    start, up = Fraction(random.randint(2, 99)), random.random() < 0.5
    if up:
        start, factors, units = start * prod(factors), factors[::-1], units[::-1]
    working, value = _convert(start, factors, up)
    return Problem(f"How many {units[1]} are {plain(start)} {units[0]}?{_note(ladder)}", tuple(working), value)


def _note(ladder: Ladder) -> str:
    """What decides between two customs: a kilobyte is 1024 bytes to some."""
    return " Kilo, mega, giga and tera stand for powers of 1000." if ladder is DATA else ""


def _rate(random: Random, name: str, level: int) -> Problem:
    """A time converted to the rate's unit, the product, and the amount converted to a smaller unit."""
    told, ladder, unit, per = RATES[name]
    position, clock = ladder.units.index(unit), TIME.units.index(per)
    most, least = min(level, clock), max(0, level - ladder.below(unit))
    steps = random.randint(least, most)
    rate, span = random.randint(2, 9 if level < 3 else 60), random.randint(2, 9)
    times = list(TIME.factors[clock - steps : clock])
    working, duration = _convert(Fraction(span), times, up=False)
    amount = duration * rate
    working.append(f"{plain(duration)} * {rate} = {plain(amount)}")
    small = level - steps
    further, value = _convert(amount, list(ladder.factors[position : position + small]), up=False)
    ask = f"How many {ladder.units[position + small]} is that in {span} {TIME.units[clock - steps]}?{_note(ladder)}"
    return Problem(f"{told.format(n=rate, unit=unit)} {ask}", (*working, *further), value)


STRUCTURES: dict[str, tuple[Callable[[Random, str, int], Problem], tuple[str, ...]]] = {
    "down": (_down, tuple(CHAINS)),
    "up": (_up, tuple(CHAINS)),
    "metric": (_metric, tuple(METRIC)),
    "rate": (_rate, tuple(RATES)),
}


def _make(random: Random, cluster: str, level: float) -> Item:
    structure, _, name = cluster.partition("/")
    problem = STRUCTURES[structure][0](random, name, int(level))
    slip = problem.value / 10 if problem.value % 100 == 0 else problem.value + random.choice([1, 2, 10])
    return number_item(problem, ASK, EXAMPLES, slip, 12 + 36 * int(level))


SLICE = Slice(
    name="units",
    title="Units and rates",
    what="the final number of a problem with a controlled number of conversions",
    clusters=tuple(f"{structure}/{name}" for structure, (_, names) in STRUCTURES.items() for name in names),
    levels=(1, 2, 3, 4, 5),
    unit="conversions",
    make=_make,
    context_tokens=lambda conversions: 280 + 56 * conversions,
)
