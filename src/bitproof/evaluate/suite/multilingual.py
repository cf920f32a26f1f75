"""Twenty languages: questions with known answers, made from small tables of words, asked in the language itself.

Level is the tier of the language: how much text there is of it, and in which script. Two worked examples in the same
language come first, as turns. A cluster is a template and a place within the tier, so that items of one cluster share
their wording at each level; `gold["language"]` says which language it was (ISO 639-1).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["SLICE", "languages", "make", "tiers"]

LISTS = ("numbers", "days", "animals", "foods", "colours", "opposites")
ENGLISH = {
    "animals": ("dog", "cat", "horse", "lion", "elephant"),
    "foods": ("milk", "egg", "meat", "rice", "soup"),
    "colours": ("red", "blue", "green", "black", "white"),
}
KINDS = {"animal": "animals", "food": "foods", "colour": "colours"}

Table = dict[str, Any]
Asked = tuple[str, str, list[str]]  # the question, the answer, wrong answers (the most plausible first)


@cache
def languages() -> dict[str, Table]:
    """ISO 639-1 code -> name, tier, lists of words and question templates."""
    tables: dict[str, Table] = tomllib.loads((files("bitproof") / "data" / "languages.toml").read_text("utf-8"))
    for table in tables.values():
        table.update({name: table[name].split(" | ") for name in LISTS})
    return tables


@cache
def tiers() -> dict[float, tuple[str, ...]]:
    """Tier -> the codes of its languages."""
    found: dict[float, tuple[str, ...]] = {}
    for code, table in languages().items():
        found[float(table["tier"])] = (*found.get(float(table["tier"]), ()), code)
    return found


def _listed(words: list[str]) -> str:
    return ", ".join(words)


def _digits(random: Random, table: Table) -> Asked:
    right, wrong = random.sample(range(3, 21), 2)
    return table["digits"].format(x=table["numbers"][right - 1]), str(right), [str(wrong)]


def _sum(random: Random, table: Table) -> Asked:
    first, second = random.randint(2, 9), random.randint(2, 9)
    question = table["sum"].format(x=table["numbers"][first - 1], y=table["numbers"][second - 1])
    return question, str(first + second), [str(first + second + random.choice((-1, 1)))]


def _larger(random: Random, table: Table) -> Asked:
    pair = random.sample(range(2, 21), 2)
    words = [table["numbers"][number - 1] for number in pair]
    return (
        table["larger"].format(x=words[0], y=words[1]),
        words[pair.index(max(pair))],
        [words[pair.index(min(pair))]],
    )


def _day(name: str, step: int) -> Callable[[Random, Table], Asked]:
    def ask(random: Random, table: Table) -> Asked:
        days, today = table["days"], random.randrange(7)
        right, other = days[(today + step) % 7], days[(today - step) % 7]
        rest = [day for day in days if day not in (right, other, days[today])]
        return table[name].format(x=days[today]), right, [other, *rest]

    return ask


def _odd(random: Random, table: Table) -> Asked:
    most, one = random.sample(list(ENGLISH), 2)
    right, others = random.choice(table[one]), random.sample(table[most], 3)
    return table["odd"].format(list=_listed(_shuffled(random, [right, *others]))), right, others


def _opposite(random: Random, table: Table) -> Asked:
    pairs = [pair.split("/") for pair in random.sample(table["opposites"], 3)]
    given, right = _shuffled(random, pairs[0])
    others = [random.choice(pair) for pair in pairs[1:]]
    return table["opposite"].format(x=given, list=_listed(_shuffled(random, [right, *others]))), right, others


def _kind(name: str) -> Callable[[Random, Table], Asked]:
    def ask(random: Random, table: Table) -> Asked:
        right = random.choice(table[KINDS[name]])
        others = [random.choice(table[other]) for other in KINDS.values() if other != KINDS[name]]
        return table[name].format(list=_listed(_shuffled(random, [right, *others]))), right, others

    return ask


def _third(random: Random, table: Table) -> Asked:
    words = random.sample([word for name in ENGLISH for word in table[name]], 4)
    return table["third"].format(list=_listed(words)), words[2], [words[1], words[0], words[3]]


def _english(random: Random, table: Table) -> Asked:
    kind = random.choice(list(ENGLISH))
    right, wrong = random.sample(range(5), 2)
    return table["english"].format(x=table[kind][right]), ENGLISH[kind][right], [ENGLISH[kind][wrong]]


TEMPLATES: dict[str, Callable[[Random, Table], Asked]] = {
    "digits": _digits,
    "sum": _sum,
    "larger": _larger,
    "tomorrow": _day("tomorrow", 1),
    "yesterday": _day("yesterday", -1),
    "odd": _odd,
    "opposite": _opposite,
    "animal": _kind("animal"),
    "food": _kind("food"),
    "colour": _kind("colour"),
    "third": _third,
    "english": _english,
}
IN_DIGITS = ("digits", "sum")
CLUSTERS = tuple(f"{template}/{place}" for place in range(1, 6) for template in TEMPLATES)


def make(random: Random, cluster: str, level: float) -> Item:
    """A question in the language at the cluster's place in the tier `level`."""
    template, place = cluster.split("/")
    code = tiers()[level][int(place) - 1]
    table = languages()[code]
    only = "" if template in IN_DIGITS else "\n" + table["only"]
    messages: list[Message] = []
    asked: set[str] = set()
    while len(messages) < 6:
        question, right, wrong = TEMPLATES[template](random, table)
        if question in asked:
            continue
        asked.add(question)
        messages += [Message(role="user", content=question + only), Message(role="assistant", content=right)]
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=tuple(messages[:-1]),
        grader="contains",
        gold={"expected": [right], "not": wrong, "language": code},
        right=right,
        wrong=wrong[0],
        max_tokens=24,
    )


def _shuffled(random: Random, words: list[str]) -> list[str]:
    return random.sample(words, len(words))


SLICE = Slice(
    name="multilingual",
    title="Twenty languages",
    what="Answer a simple question asked in another language, in that language.",
    clusters=CLUSTERS,
    levels=(1.0, 2.0, 3.0, 4.0),
    unit="tier of the language (1: much text, Latin script; 4: little text)",
    make=make,
    context_tokens=lambda _: 480,
)
