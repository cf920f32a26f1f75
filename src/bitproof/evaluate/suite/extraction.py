"""Extraction: fields of one record out of a text, as "field: value" lines.

Records of thirteen kinds stand in four layouts: prose, a form, a log of key=value pairs, a table. A cluster is a kind
in a layout. The level is the number of fields asked for; each record tells all nine of its kind (four at the first
level), and from level 4 on there are two to ten records of which one is asked for. Dates, persons and amounts of other
fields and other records are the distractors.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bitproof.evaluate.suite.extraction_records import KINDS, record
from bitproof.evaluate.suite.slice import Slice, few_shot
from bitproof.types import Item

__all__ = ["SLICE"]

Records = list[dict[str, str]]

RECORDS = {1: 1, 2: 1, 4: 2, 6: 4, 8: 10}  # by level
EXAMPLE = (
    "pet: Rex\nspecies: dog\nage: 4 years\nkeeper: Noor Visser",
    "pet Rex",
    ["keeper", "age"],
    "keeper: Noor Visser\nage: 4 years",
)


def _prose(kind: str, records: Records) -> str:
    told = {field.name: field.told for field in KINDS[kind]}
    return "\n\n".join(" ".join(told[name].format(value) for name, value in each.items()) for each in records)


def _form(kind: str, records: Records) -> str:
    return "\n\n".join("\n".join(f"{name}: {value}" for name, value in each.items()) for each in records)


def _log(kind: str, records: Records) -> str:
    head = kind.replace(" ", "_").upper()
    return "\n".join(
        f"{head} " + " ".join(f'{name.replace(" ", "_")}="{value}"' for name, value in each.items()) for each in records
    )


def _table(kind: str, records: Records) -> str:
    names = list(records[0])
    rows = [names, ["---"] * len(names), *([each[name] for name in names] for each in records)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


LAYOUTS: dict[str, Callable[[str, Records], str]] = {"prose": _prose, "form": _form, "log": _log, "table": _table}


def _make(random: Random, cluster: str, level: float) -> Item:
    kind, _, layout = cluster.partition("/")
    taken: set[str] = set()
    key, *names = [field.name for field in KINDS[kind]]
    random.shuffle(names)
    shown = names[:3] if level == 1 else names
    records = []
    for _ in range(RECORDS[int(level)] + 1):
        values = record(random, kind, taken)
        order = shown if layout == "table" else random.sample(shown, len(shown))
        records.append({name: values[name] for name in (key, *order)})
    other = records.pop()  # not told: the values of the wrong answer where there is but one record
    position = random.randrange(len(records))
    target, wrong = records[position], records[position - 1] if len(records) > 1 else other
    fields = random.sample(shown, int(level))
    asked = (LAYOUTS[layout](kind, records), f"{kind} {target[key]}", fields, "")
    messages = few_shot(
        (f"{text}\n\nFrom the text above, copy these fields of {which}, one line each: {', '.join(wanted)}.", answer)
        for text, which, wanted, answer in (EXAMPLE, asked)
    )
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=messages,
        grader="fields",
        gold={"fields": {name: target[name] for name in fields}},
        right="\n".join(f"{name}: {target[name]}" for name in fields),
        wrong="\n".join(f"{name}: {wrong[name]}" for name in fields),
        max_tokens=16 + 24 * int(level),
    )


SLICE = Slice(
    name="extraction",
    title="Extraction",
    what="the share of fields of one record that are copied right from a text",
    clusters=tuple(f"{kind}/{layout}" for kind in KINDS for layout in LAYOUTS),
    levels=(1, 2, 4, 6, 8),
    unit="fields",
    make=_make,
    context_tokens=lambda fields: 240 + 140 * RECORDS[int(fields)],
)
