"""Slice `tools-bfcl`: questions of the Berkeley Function Calling Leaderboard (Patil et al. 2025; Apache-2.0).

The data files of the package `bfcl-eval` are read; its code is never imported, and its answers are graded by our own
`tool_call`. Levels are kinds of questions: 1 one function offered (simple_python), 2 several (multiple), 3 questions
that users asked (live_simple, live_multiple). In a fifth of the items of levels 1 and 2 no function fits (irrelevance).
The rows of a kind fall into 60 groups, by position; a group is a cluster. Dots in names become underscores, as APIs
demand. Left out are rows whose functions take more than 4,000 characters, and those of which no answer would be right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from bitproof.errors import MissingPartError
from bitproof.evaluate.suite.slice import Slice, few_shot
from bitproof.types import Item

__all__ = ["SLICE", "Row", "rows"]

KINDS = {1: ("simple_python",), 2: ("multiple",), 3: ("live_simple", "live_multiple")}
GROUPS = 60
LONGEST = 4000  # characters of a row's functions
TYPES = {"dict": "object", "float": "number", "tuple": "array"}  # the others are JSON schema's own
ASK = (
    "Functions:\n{functions}\n\nRequest: {request}\n\n"
    "Answer with one call as JSON with name and arguments, or with none if no function fits."
)
EXAMPLE = (
    '{"name": "set_alarm", "parameters": {"type": "object", "properties": {"hour": {"type": "integer"}}}}',
    "Wake me at 7.",
    '{"name": "set_alarm", "arguments": {"hour": 7}}',
)


@dataclass(frozen=True)
class Row:
    """A question, its functions, and the call that is right (None: none fits)."""

    request: str
    functions: tuple[dict[str, Any], ...]
    name: str | None
    allowed: dict[str, list[Any]]


@cache
def rows(kind: str) -> tuple[Row, ...]:
    """The rows of one of BFCL's files that have a single question; raises MissingPartError without the package."""
    questions = _read(f"BFCL_v4_{kind}.json")
    answers = {} if kind == "irrelevance" else {row["id"]: row for row in _read(f"possible_answer/BFCL_v4_{kind}.json")}
    found = []
    for row in questions:
        turns = row["question"][0]
        functions = tuple(_function(each) for each in row["function"])
        truth = answers[row["id"]]["ground_truth"] if answers else [{}]
        name, allowed = next(iter(truth[0].items()), (None, {}))
        single = len(turns) == len(truth) == 1
        if not single or len(json.dumps(functions)) > LONGEST or not _answerable(functions, name, allowed):
            continue
        found.append(Row(turns[0]["content"], functions, _legal(name) if name else None, allowed))
    return tuple(found)


def _answerable(functions: tuple[dict[str, Any], ...], name: str | None, allowed: dict[str, list[Any]]) -> bool:
    """Whether a call of the function could be right: some answers name arguments ("_class") that it does not take."""
    if name is None:
        return True
    takes = {key for each in functions if each["name"] == _legal(name) for key in each["parameters"]["properties"]}
    return all(allowed.values()) and allowed.keys() <= takes


def _read(name: str) -> list[dict[str, Any]]:
    spec = find_spec("bfcl_eval")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "data", name)
        if path.is_file():
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    raise MissingPartError(
        "BFCL's questions are read from the package bfcl-eval, which is not installed",
        where="slice tools-bfcl",
        remedy="pip install --no-deps bfcl-eval",
    )


def _function(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": _legal(entry["name"]),
        "description": entry["description"],
        "parameters": _schema(entry["parameters"]),
    }


def _legal(name: str) -> str:
    return name.replace(".", "_")


def _schema(entry: dict[str, Any]) -> dict[str, Any]:
    """BFCL's types, which are Python's, as those of JSON schema; "any" is no restriction."""
    schema: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "type":
            schema |= {} if value == "any" else {key: TYPES.get(value, value)}
        elif key == "properties":
            schema[key] = {name: _schema(each) for name, each in value.items()}
        elif key == "items":
            schema[key] = _schema(value)
        elif key != "optional":
            schema[key] = value
    return schema


def _call(row: Row) -> dict[str, Any]:
    """The call made of the first allowed value of each argument that must be given."""
    return {"name": row.name, "arguments": _first(row.allowed)}


def _first(table: dict[str, list[Any]]) -> dict[str, Any]:
    return {key: _plain(values[0]) for key, values in table.items() if "" not in values}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return _first(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _slip(call: dict[str, Any]) -> dict[str, Any]:
    """The call with its first argument wrong, or with one that the function does not take."""
    arguments: dict[str, Any] = call["arguments"]
    name, value = next(iter(arguments.items()), ("value", None))
    if isinstance(value, str):
        value = f"{value} 2"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = -value - 7
    else:
        value = 0  # in place of a list, of an object, of true
    return call | {"arguments": arguments | {name: value}}


def _make(random: Random, cluster: str, level: float) -> Item:
    irrelevant = level < 3 and random.random() < 0.2
    pool = [row for kind in (("irrelevance",) if irrelevant else KINDS[int(level)]) for row in rows(kind)]
    row = random.choice(pool[int(cluster) :: GROUPS])
    call = _call(row)
    wrong = {"name": row.functions[0]["name"], "arguments": {}} if row.name is None else _slip(call)
    asked = ("\n".join(map(json.dumps, row.functions)), row.request, "")
    messages = few_shot(
        (ASK.format(functions=functions, request=request), answer) for functions, request, answer in (EXAMPLE, asked)
    )
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=messages,
        grader="tool_call",
        gold={"name": row.name, "allowed": row.allowed} if row.name else {"name": None},
        right=json.dumps(call) if row.name else "none",
        wrong=json.dumps(wrong),
        tools=row.functions,
        max_tokens=192,
    )


SLICE = Slice(
    name="tools-bfcl",
    title="Tool calls: BFCL",
    what="the one call that answers a question of the Berkeley Function Calling Leaderboard, or none where none fits",
    clusters=tuple(str(group) for group in range(GROUPS)),
    levels=(1, 2, 3),
    unit="kind of question",
    make=_make,
    context_tokens=lambda kind: 500 + 400 * kind,
    needs=("bfcl-eval",),
)
