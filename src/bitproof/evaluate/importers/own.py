"""Items of one's own, as JSONL (one a line) or YAML (a list, or `items:` with `defaults:`).

The short form::

    {"id": "refund-1", "slice": "support", "prompt": "May I return a lamp? Answer yes or no.",
     "grader": "choice", "gold": {"label": "yes", "options": ["yes", "no"]}}

| key | what it is | left out |
|---|---|---|
| id | unique in the file | required |
| prompt | what the user says; or instead | required |
| messages | a conversation: [{"role": "user", "content": "..."}, ...] | |
| system | what the system says first | nothing |
| grader | the name of a grader | required |
| gold | what the grader needs, see its module | {} |
| slice | the slice it counts in, or a list of several, its own first | the name of the file |
| cluster | what it shares with other items: its template or source | its id |
| level | its difficulty, a number | 0 |
| max_tokens, temperature | of each answer | 64, 0 |
| right, wrong | a right and a plausible wrong answer, for the margin | none |
| follow_ups | questions asked one after another after the answer | none |
| tools | JSON schemas of functions | none |
| schema | the JSON schema that an answer must satisfy | none |

Every fault is answered with the file, the line and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from bitproof.errors import MissingPartError, UsageError
from bitproof.evaluate.graders.constraints import fault
from bitproof.evaluate.graders.registry import find_grader, graders
from bitproof.evaluate.importers.source import Record, compose, construct, nearest, read_records
from bitproof.types import Item, Message, NotMeasured, Response

__all__ = ["check_schema", "checked", "items_from", "read_own"]

TRIALS = ("An answer.", "1", '{"a": 1}')  # to see whether a grader can read its gold
ROLES = ("system", "user", "assistant")
_NUMBER = (int, float)
TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "id": ((str, int), "a name"),
    "prompt": ((str,), "text"),
    "messages": ((list,), "a list of messages"),
    "system": ((str,), "text"),
    "grader": ((str,), "the name of a grader"),
    "gold": ((dict,), "a mapping"),
    "slice": ((str, list), "a name or a list of names"),
    "cluster": ((str, int), "a name"),
    "level": (_NUMBER, "a number"),
    "max_tokens": ((int,), "a whole number"),
    "temperature": (_NUMBER, "a number"),
    "right": ((str,), "text"),
    "wrong": ((str,), "text"),
    "follow_ups": ((list,), "a list of texts"),
    "tools": ((list,), "a list of function schemas"),
    "schema": ((dict,), "a JSON schema"),
}

BOUNDS = {"max_tokens": (1, 1_000_000), "temperature": (0, 100), "level": (-1_000_000_000, 1_000_000_000)}


def read_own(path: Path) -> list[Item]:
    """The items of a .jsonl, .json or YAML file of the short form; raises UsageError, with the line, for any fault."""
    records = read_records(path) if path.suffix in (".jsonl", ".json", ".ndjson") else _yaml_records(path)
    return items_from(records, path)


def items_from(records: list[Record], path: Path) -> list[Item]:
    """Items of a file's records in the short form, with their ids unique; their slice, if none is said, is its name."""
    found: dict[str, tuple[str, Item]] = {}
    for record in records:
        item = _item(record, path.stem)
        if item.id in found:
            earlier = found[item.id][0]
            raise UsageError(
                f"the id {item.id!r} is taken by {earlier}", where=record.where, remedy="Every item needs its own."
            )
        found[item.id] = (record.where, checked(item, where=record.where))
    if not found:
        raise UsageError("holds no item", where=str(path), remedy='One a line: {"id": ..., "prompt": ..., ...}.')
    return [item for _, item in found.values()]


def _yaml_records(path: Path) -> list[Record]:
    root = compose(path)
    defaults: dict[str, Any] = {}
    if isinstance(root, yaml.MappingNode):
        sections = {key.value: value for key, value in root.value}
        for key, _ in root.value:
            if key.value not in ("items", "defaults"):
                remedy = nearest(str(key.value), ("items", "defaults"))
                raise UsageError(f"unknown key {key.value!r}", where=f"{path}, line {_line(key)}", remedy=remedy)
        defaults = construct(sections["defaults"]) if "defaults" in sections else {}
        if not isinstance(defaults, dict) or "items" not in sections:
            raise UsageError("needs `items:`, a list, and `defaults:` as a mapping", where=str(path))
        root = sections["items"]
    if not isinstance(root, yaml.SequenceNode):
        raise UsageError("holds no list of items", where=str(path), remedy="Begin every item with `- id: ...`.")
    records = []
    for node in root.value:
        where, values = f"{path}, line {_line(node)}", construct(node)
        if not isinstance(values, dict):
            raise UsageError("is no mapping", where=where, remedy="Begin every item with `- id: ...`.")
        records.append(Record(where, {**defaults, **values}))
    return records


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _item(record: Record, default_slice: str) -> Item:
    values, where = _typed(record), record.where
    for key in ("id", "grader"):
        if key not in values:
            raise UsageError(f"has no {key!r}", where=where, remedy=_REMEDIES[key]())
    if ("prompt" in values) == ("messages" in values):
        said = "both" if "prompt" in values else "neither"
        raise UsageError(f"has {said} of 'prompt' and 'messages'", where=where, remedy="Give one of the two.")
    slices = values.get("slice", default_slice)
    return Item(
        id=str(values["id"]),
        slices=_texts([slices] if isinstance(slices, str) else slices, "slice", where),
        cluster=str(values.get("cluster", values["id"])),
        messages=_messages(values, where),
        grader=values["grader"],
        gold=values.get("gold", {}),
        level=float(values.get("level", 0)),
        right=values.get("right"),
        wrong=values.get("wrong"),
        follow_ups=_texts(values.get("follow_ups", []), "follow_ups", where, empty=True),
        tools=tuple(values.get("tools", ())),
        schema=values.get("schema"),
        max_tokens=values.get("max_tokens", 64),
        temperature=float(values.get("temperature", 0)),
    )


_REMEDIES: dict[str, Callable[[], str]] = {
    "id": lambda: "Every item needs its own.",
    "grader": lambda: f"There are: {', '.join(sorted(graders()))}.",
}


def _typed(record: Record) -> dict[str, Any]:
    """The values, each of a known key and of its type; None is as if left out."""
    values = {key: value for key, value in record.values.items() if value is not None}
    for key, value in values.items():
        if key not in TYPES:
            raise UsageError(f"unknown key {key!r}", where=record.where, remedy=nearest(key, TYPES))
        types, what = TYPES[key]
        if not isinstance(value, types) or isinstance(value, bool):
            raise UsageError(f"{key!r} is {type(value).__name__} {value!r}, not {what}"[:300], where=record.where)
    for key, (least, most) in BOUNDS.items():
        if not least <= values.get(key, least) <= most:  # nor NaN
            remedy = f"It is from {least:,} to {most:,}."
            raise UsageError(f"{key!r} is {values[key]}"[:100], where=record.where, remedy=remedy)
    return values


def _texts(value: list[object], key: str, where: str, *, empty: bool = False) -> tuple[str, ...]:
    texts = tuple(text for text in value if isinstance(text, str) and text)
    if len(texts) < len(value) or not (texts or empty):
        raise UsageError(f"{key!r} holds what is no text", where=where, remedy=f"It is {TYPES[key][1]}.")
    return texts


def _messages(values: dict[str, Any], where: str) -> tuple[Message, ...]:
    raw = values.get("messages") or [{"role": "user", "content": values.get("prompt", "")}]
    if "system" in values:
        raw = [{"role": "system", "content": values["system"]}, *raw]
    for number, message in enumerate(raw, start=1):
        if (
            not isinstance(message, dict)
            or set(message) != {"role", "content"}
            or message["role"] not in ROLES
            or not isinstance(message["content"], str)
        ):
            remedy = f'A message is {{"role": one of {", ".join(ROLES)}, "content": text}}.'
            raise UsageError(f"message {number} is {message!r}"[:200], where=where, remedy=remedy)
    messages = tuple(Message(role=message["role"], content=message["content"]) for message in raw)
    if messages[-1].role != "user" or not messages[-1].content.strip():
        raise UsageError("its last message is not a question of the user's, or is empty", where=where)
    return messages


def checked(item: Item, *, where: str) -> Item:
    """The item, if its grader exists and can read its gold, and its schemas are schemas; raises UsageError."""
    if item.grader not in graders():
        remedy = nearest(item.grader, graders())
        raise UsageError(f"there is no grader {item.grader!r}", where=where, remedy=remedy)
    for schema in (item.schema, *(tool.get("parameters") for tool in item.tools if isinstance(tool, dict))):
        if schema is not None:
            check_schema(schema, where)
    if not all(isinstance(tool, dict) and isinstance(tool.get("name"), str) for tool in item.tools):
        raise UsageError("'tools' holds what is no function", where=where, remedy="Each has a name and parameters.")
    if item.grader == "constraints":
        constraints = item.gold.get("constraints")
        for constraint in constraints if isinstance(constraints, list) and constraints else [None]:
            if found := fault(constraint):
                raise UsageError(found, where=where)
    _check_gold(item, where)
    return item


def check_schema(schema: object, where: str) -> None:
    """Raises UsageError where this is no valid JSON schema, MissingPartError where nothing can tell."""
    try:
        jsonschema: Any = import_module("jsonschema")
    except ImportError as error:
        install = "Install it with: pip install jsonschema"
        raise MissingPartError("checking schemas needs jsonschema", where=where, remedy=install) from error
    try:
        jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        at = "/".join(str(part) for part in error.absolute_path) or "its top"
        raise UsageError(f"the schema is not valid at {at}: {error.message}"[:400], where=where) from error
    except (TypeError, AttributeError) as error:
        raise UsageError("the schema is no mapping", where=where) from error


def _check_gold(item: Item, where: str) -> None:
    """A trial: graders read their gold at once, and what they do not find there, no run will."""
    if item.grader == "code":  # runs code: its gold is read in the sandbox
        return
    remedy = f"The module bitproof.evaluate.graders, grader {item.grader!r}, says what its gold holds."
    try:
        for text in TRIALS:
            response = Response(texts=(text,) * (1 + len(item.follow_ups)), finish="stop")
            score = find_grader(item.grader).grade(item, response).score
            if isinstance(score, NotMeasured):  # a schema that refers to another file, say
                raise UsageError(f"{item.grader!r} cannot grade it: {score.reason}"[:400], where=where)
    except KeyError as error:
        raise UsageError(f"its gold lacks {error}, which {item.grader!r} needs", where=where, remedy=remedy) from error
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, re.error) as error:
        raise UsageError(f"its gold is not what {item.grader!r} reads: {error}", where=where, remedy=remedy) from error
