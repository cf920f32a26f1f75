"""The answer calls the right function with the right arguments, or none where none fits.

`gold`: {"name": "get_weather", "arguments": {...}}, or {"name": null} where abstaining is right; or {"accept": [such,
...]} for several. Strings are compared without case; numbers by value; further arguments count as wrong, unless null.

With "allowed" in place of "arguments", each argument has a list of allowed values, of which "" says that it may be left
out; objects in these lists are such tables again. Strings are then compared without blanks and punctuation too, as the
Berkeley Function Calling Leaderboard does.

The call is the one that the engine parsed, else what the text holds: JSON with "name" and "arguments" (or "parameters";
also inside "function" or a list of one), or `get_weather(city="Rome")`. More than one call is wrong.
Whoever answers in words without a call has abstained; an empty answer, or one cut off, has not.
Parts: "decision" (called or abstained, whichever was right), "function", and "arguments" where a call was right.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from bitproof.evaluate.graders.answer_line import normalized
from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.graders.json_text import Absent, find_json, same_json
from bitproof.types import Grade, Item, Response, ToolCall

__all__ = ["GRADER", "calls_in"]

_CALL = re.compile(r"\b[A-Za-z_][\w.]{0,99}\(")
_PUNCTUATION = re.compile(r"[ ,./\-_*^'\"]")
_LONGEST = 2000  # characters of a call in Python's form


def calls_in(response: Response) -> list[ToolCall]:
    """The calls of an answer: those the engine parsed, else those in the text."""
    if response.tool_calls:
        return list(response.tool_calls)
    value, _ = find_json(response.text)
    if not isinstance(value, Absent):
        entries = value if isinstance(value, list) else [value]
        found = [call for entry in entries if (call := _of_json(entry)) is not None]
        if found:
            return found
    written = _of_python(response.text)
    return [written] if written is not None else []


def _of_json(entry: Any) -> ToolCall | None:
    if not isinstance(entry, dict):
        return None
    entry = entry["function"] if isinstance(entry.get("function"), dict) else entry
    name = entry.get("name", entry.get("function"))
    arguments = entry.get("arguments", entry.get("parameters", {}))
    if isinstance(arguments, str):
        parsed, _ = find_json(arguments)
        arguments = parsed
    if not isinstance(name, str) or not isinstance(arguments, dict) or name.casefold() == "none":
        return None
    return ToolCall(name=name, arguments=arguments)


def _of_python(text: str) -> ToolCall | None:
    """The first `name(key=value, ...)` of a text whose values are literals."""
    match = _CALL.search(text)
    end = text.find(")", match.end()) if match else -1
    if match is None or end < 0 or end - match.start() > _LONGEST:
        return None
    try:
        call = ast.parse(text[match.start() : end + 1], mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
            return None
        arguments = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
        json.dumps(arguments)  # values of JSON types only
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return ToolCall(name=call.func.id, arguments=arguments) if arguments else None


def _fits(found: dict[str, Any], gold: dict[str, Any]) -> bool:
    return _allowed(found, gold["allowed"]) if "allowed" in gold else _same(found, gold.get("arguments", {}))


def _same(found: dict[str, Any], gold: dict[str, Any]) -> bool:
    given = {key: value for key, value in found.items() if value is not None or key in gold}
    return same_json(_folded(given), _folded(gold))


def _allowed(found: dict[str, Any], table: dict[str, Any]) -> bool:
    """Whether every argument given has one of its allowed values, and those left out may be."""
    table = {key: values if isinstance(values, list) else [values] for key, values in table.items()}
    given = {key: value for key, value in found.items() if value is not None or None in table.get(key, [])}
    return all(
        any(_matches(given[key], value) for value in values) if key in given else "" in values
        for key, values in table.items()
    ) and given.keys() <= set(table)


def _matches(found: Any, allowed: Any) -> bool:
    if isinstance(allowed, dict):
        return isinstance(found, dict) and _allowed(found, allowed)
    if isinstance(allowed, list):
        return isinstance(found, list) and len(found) == len(allowed) and all(map(_matches, found, allowed))
    if isinstance(allowed, str) and isinstance(found, str):
        return _PUNCTUATION.sub("", found).casefold() == _PUNCTUATION.sub("", allowed).casefold()
    return same_json(found, allowed)


def _folded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _folded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_folded(each) for each in value]
    return normalized(value) if isinstance(value, str) else value


def grade(item: Item, response: Response) -> Grade:
    """1 where the one call is an accepted one, or where no call is made and none is accepted."""
    accepted: list[dict[str, Any]] = item.gold.get("accept") or [item.gold]
    expected = [gold for gold in accepted if gold["name"] is not None]
    failed = response.finish == "error"
    calls = [] if failed else calls_in(response)
    if not expected:
        abstained = not calls and not failed and bool(response.text.strip()) and response.finish != "length"
        return Grade(score=float(abstained), parts={"decision": float(abstained)})
    call = calls[0] if len(calls) == 1 else None
    named = [gold for gold in expected if call and gold["name"] == call.name]
    right = any(_fits(call.arguments, gold) for gold in named if call)
    parts = {"decision": float(bool(calls)), "function": float(bool(named)), "arguments": float(right)}
    return Grade(score=float(right), parts=parts, note=f"{len(calls)} calls" if len(calls) > 1 else "")


GRADER = Grader(name="tool_call", version=2, judge=grade)
