"""JSON to a schema: a record told in sentences is written as JSON.

Ten kinds of records in five structures: flat; nested groups; a list; objects under their keys; and flat with fields
that are not known, which must be null. A cluster is a kind in a structure. The level is the number of values; nested
groups are four deep at the last level. `schema` holds the JSON schema; the prompt shows it from level 4 on, and before
that its form in short, which small models can follow.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from bitproof.evaluate.suite.json_records import KINDS, Property
from bitproof.evaluate.suite.slice import Slice, few_shot
from bitproof.types import Item

__all__ = ["SLICE"]

Json = dict[str, Any]
Parts = tuple[str, Json, Json]  # the record told, its value, its schema

GROUPS = ("main", "detail", "more", "last")
KEYS = ("a", "b", "c", "d")
ASK = "Record: {record}\n\nWrite the record as JSON. {kind}: {schema}\nAnswer with the JSON only."
FORM_UP_TO = 2  # at these levels the prompt shows the form, {"pages": integer}, in place of the schema
EXAMPLES = (
    ("She was born in Turin, 31 years ago.", {"age": "integer"}, '{"age": 31}'),
    (
        "It is called Rex. It bites.",
        {"pet": {"name": "string", "tame": "boolean"}},
        '{"pet": {"name": "Rex", "tame": false}}',
    ),
)


def _example_schema(form: str | Json) -> Json:
    if isinstance(form, str):
        return {"type": form}
    return _object({key: _example_schema(inner) for key, inner in form.items()})


def _form(schema: Json) -> str:
    """A schema in short: {"name": string, "pages": integer, "binding": "hardcover" or "paperback"}."""
    if "anyOf" in schema:
        return " or ".join(_form(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if schema["type"] == "array":
        return f"[{_form(schema['items'])}]"
    if schema["type"] != "object":
        return '"YYYY-MM-DD"' if "pattern" in schema else str(schema["type"])
    inner = schema.get("properties") or {"KEY": schema["additionalProperties"]}
    return "{" + ", ".join(f'"{key}": {_form(each)}' for key, each in inner.items()) + "}"


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _some(random: Random, kind: str, n: int) -> tuple[Property, ...]:
    """n properties; a single one is of many values, so that few items are alike."""
    many = [each for each in KINDS[kind] if ".." in each.values or each.values[0] == "@" or each.values == "date"]
    return tuple(random.sample(many if n == 1 else KINDS[kind], n))


def _one(random: Random, properties: tuple[Property, ...]) -> Parts:
    values = {each.key: each.value(random) for each in properties}
    told = " ".join(each.sentence(values[each.key]) for each in properties)
    return told, values, _object({each.key: each.schema() for each in properties})


def _flat(random: Random, kind: str, n: int) -> Parts:
    return _one(random, _some(random, kind, n))


def _nullable(random: Random, kind: str, n: int) -> Parts:
    """About a third of the values are not known, at least one of two."""
    properties = _some(random, kind, n)
    unknown = set(random.sample(range(n), max(n > 1, n // 3)))
    told, values, schema = [], {}, {}
    for index, each in enumerate(properties):
        value = None if index in unknown else each.value(random)
        told.append(f'Nothing is known of "{each.key}".' if value is None else each.sentence(value))
        values[each.key] = value
        schema[each.key] = {"anyOf": [each.schema(), {"type": "null"}]}
    return " ".join(told), values, _object(schema)


def _nested(random: Random, kind: str, n: int) -> Parts:
    """Groups of two values, each inside the one before."""
    properties = _some(random, kind, n)
    told: list[str] = []
    value: Json = {}
    schema: Json = _object({})
    for start in reversed(range(0, n, 2)):
        text, values, part = _one(random, properties[start : start + 2])
        inner = GROUPS[start // 2]
        told.insert(0, f'Under "{inner}": {text}')
        if value:
            following = GROUPS[start // 2 + 1]
            values[following] = value[following]
            part = _object(part["properties"] | {following: schema["properties"][following]})
        value, schema = {inner: values}, _object({inner: part})
    return " ".join(told), value, schema


def _several(random: Random, kind: str, n: int) -> list[Parts]:
    """n / 2 objects of the same two properties."""
    properties = _some(random, kind, min(2, n))
    return [_one(random, properties) for _ in range(max(1, n // 2))]


def _list(random: Random, kind: str, n: int) -> Parts:
    parts = _several(random, kind, n)
    told = " ".join(f"{kind.replace('_', ' ').capitalize()} {i}: {text}" for i, (text, _, _) in enumerate(parts, 1))
    schema = {"type": "array", "items": parts[0][2], "minItems": len(parts), "maxItems": len(parts)}
    return told, {"items": [value for _, value, _ in parts]}, _object({"items": schema})


def _keyed(random: Random, kind: str, n: int) -> Parts:
    parts = dict(zip(KEYS, _several(random, kind, n), strict=False))
    told = " ".join(f'Under the key "{key}": {text}' for key, (text, _, _) in parts.items())
    schema = {"type": "object", "additionalProperties": parts["a"][2], "minProperties": len(parts)}
    return told, {key: value for key, (_, value, _) in parts.items()}, schema


STRUCTURES: dict[str, Callable[[Random, str, int], Parts]] = {
    "flat": _flat,
    "nullable": _nullable,
    "nested": _nested,
    "list": _list,
    "keyed": _keyed,
}


def _slip(random: Random, kind: str, value: Any) -> Any:
    """A copy whose last value is another one, of the same type."""
    if isinstance(value, list):
        return [*value[:-1], _slip(random, kind, value[-1])]
    key, last = list(value.items())[-1]
    if isinstance(last, (dict, list)):
        return value | {key: _slip(random, kind, last)}
    (property_,) = (each for each in KINDS[kind] if each.key == key)
    while (other := property_.value(random)) == last:
        pass
    return value | {key: other}


def _make(random: Random, cluster: str, level: float) -> Item:
    kind, _, structure = cluster.partition("/")
    told, value, schema = STRUCTURES[structure](random, kind, int(level))
    shaped = level <= FORM_UP_TO
    shown = [(text, _example_schema(form), answer) for text, form, answer in EXAMPLES]

    def ask(record: str, each: dict[str, Any]) -> str:
        form = _form(each) if shaped else json.dumps(each, separators=(",", ":"))
        return ASK.format(record=record, kind="Form" if shaped else "JSON schema", schema=form)

    messages = few_shot((ask(record, each), answer) for record, each, answer in (*shown, (told, schema, "")))
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=messages,
        grader="json",
        gold={"value": value},
        right=json.dumps(value),
        wrong=json.dumps(_slip(random, kind, value)),
        schema=schema,
        max_tokens=24 + 22 * int(level),
    )


SLICE = Slice(
    name="json",
    title="JSON to a schema",
    what="JSON that satisfies a schema and holds the values of a record",
    clusters=tuple(f"{kind}/{structure}" for kind in KINDS for structure in STRUCTURES),
    levels=(1, 2, 4, 6, 8),
    unit="values",
    make=_make,
    context_tokens=lambda values: 220 + 90 * values,
)
