"""Tool calls: the one function, of those offered, that answers a request, with its arguments; or none.

Thirteen domains of four functions; a cluster is the function that a request asks for. The level is the number of
functions offered: the first further ones are of the same domain, so that names alone do not decide. From four functions
on each has an optional argument too, which the request gives. In a fifth of the items the function asked for, with its
domain, is not offered, and abstaining ("none") is right.

`tools` carries the schemas for engines that pass them to the model's own template. Since many templates of small models
leave tools out, the prompt describes the functions in words too and asks for a JSON object.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from bitproof.evaluate.suite.slice import Slice, few_shot
from bitproof.evaluate.suite.tools_functions import FUNCTIONS, Function
from bitproof.types import Item

__all__ = ["SLICE"]

ASK = "Functions:\n{functions}\n\nRequest: {request}\n\nAnswer with one call as JSON, or with none if no function fits."
_ALARM = "set_alarm(hour: integer): Set an alarm"
EXAMPLES = (
    (_ALARM, "Water the roses.", "none"),
    (_ALARM, "Wake me at 7.", '{"name": "set_alarm", "arguments": {"hour": 7}}'),
    (
        "paint_room(room: string; color: red or white): Paint a room",
        "Paint the attic white.",
        '{"name": "paint_room", "arguments": {"room": "attic", "color": "white"}}',
    ),
)


def _described(schema: dict[str, Any]) -> str:
    """One line: `get_weather(city: string, unit: celsius or fahrenheit, optional): Current weather of a city`."""
    parameters = schema["parameters"]
    arguments = []
    for name, kind in parameters["properties"].items():
        values = " or ".join(kind["enum"]) if "enum" in kind else kind.get("description", kind["type"])
        arguments.append(f"{name}: {values}{'' if name in parameters['required'] else ', optional'}")
    return f"{schema['name']}({'; '.join(arguments)}): {schema['description']}"


def _request(random: Random, function: Function, further: bool) -> tuple[str, dict[str, Any]]:
    """The request in words, and the arguments it gives; no two of them alike."""
    values: dict[str, Any] = {}
    for argument in (*function.arguments, *((function.optional,) if further else ())):
        while (value := argument.value(random)) in values.values():
            pass
        values[argument.name] = value
    text = f"{function.request} {function.further}" if further else function.request
    return text.format(**values), values


def _offered(random: Random, function: Function, n: int, fits: bool) -> list[Function]:
    same = [each for each in FUNCTIONS.values() if each.domain == function.domain and each is not function]
    others = [each for each in FUNCTIONS.values() if each.domain != function.domain]
    pool = [*random.sample(same, len(same)), *random.sample(others, len(others))] if fits else others
    chosen = [function, *pool[: n - 1]] if fits else random.sample(pool, n)
    random.shuffle(chosen)
    return chosen


def _make(random: Random, cluster: str, level: float) -> Item:
    function = FUNCTIONS[cluster]
    fits = random.random() >= 0.2
    offered = _offered(random, function, int(level), fits)
    request, arguments = _request(random, function, level >= 4)
    call = json.dumps({"name": function.name, "arguments": arguments})
    slip = {**arguments, function.arguments[0].name: _other(random, function, arguments)}
    wrong = json.dumps({"name": function.name, "arguments": slip})
    if not fits:
        wrong = json.dumps({"name": offered[0].name, "arguments": arguments})
    schemas = tuple(each.schema(optional=level >= 4) for each in offered)
    asked = ("\n".join(map(_described, schemas)), request, "")
    messages = few_shot(
        (ASK.format(functions=functions, request=text), answer) for functions, text, answer in (*EXAMPLES, asked)
    )
    return Item(
        id="",
        slices=(),
        cluster="",
        messages=messages,
        grader="tool_call",
        gold={"name": function.name, "arguments": arguments} if fits else {"name": None},
        right=call if fits else "none",
        wrong=wrong,
        tools=schemas,
        max_tokens=48 if level < 4 else 80,
    )


def _other(random: Random, function: Function, arguments: dict[str, Any]) -> str | int:
    """Another value of the first argument."""
    first = function.arguments[0]
    while (value := first.value(random)) == arguments[first.name]:
        pass
    return value


SLICE = Slice(
    name="tools",
    title="Tool calls",
    what="the one function that answers a request, with its arguments, or none where none fits",
    clusters=tuple(FUNCTIONS),
    levels=(1, 2, 4, 8, 16),
    unit="functions",
    make=_make,
    context_tokens=lambda functions: 380 + 40 * functions,
)
