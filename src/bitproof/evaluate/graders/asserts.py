"""Every assertion on the text holds: what promptfoo and lm-eval configurations say without code.

`gold`: {"asserts": [{"type": "icontains", "value": "Oslo"}, ...], "until": ["\\n\\n"], "filters": [...]}. The types and
what their values are stand in `TYPES`; "not": true turns one round. Before the assertions the text is cut at the first
of the strings in `until` after its first line begins, and goes through `filters`, lm-eval's by their names:
{"function": "regex", "regex_pattern": ..., "group_select": 0, "fallback": "[invalid]"}, "lowercase", "strip",
"remove_whitespace", "take_first". `equals` takes one string or several accepted ones, with "ignore_case",
"ignore_punctuation", "ignore_space".

`score` is 1 where all hold; the part `held` is their share. An answer that failed holds nothing.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable
from importlib import import_module
from typing import Any

from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "TYPES", "filtered"]

Arguments = dict[str, Any]
_FENCED = re.compile(r"^```[\w+-]*\s*\n(.*?)\n?```$", re.DOTALL)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def filtered(text: str, gold: Arguments) -> str:
    """The text as the assertions see it: cut at the first stop, then through the filters in order."""
    for stop in gold.get("until", ()):
        text = text.lstrip().partition(stop)[0]
    for step in gold.get("filters", ()):
        match step["function"]:
            case "regex":
                text = _extracted(text, step)
            case "lowercase":
                text = text.lower()
            case "strip":
                text = text.strip()
            case "remove_whitespace":
                text = text.lstrip()
            case "take_first":
                pass  # one answer is all there is
            case other:
                raise ValueError(f"there is no filter {other!r}")
    return text


def _extracted(text: str, step: Arguments) -> str:
    """lm-eval's RegexFilter: the match chosen by `group_select`, of its groups the first that is not empty."""
    found = re.findall(step.get("regex_pattern", r"#### (\-?[0-9\.\,]+)"), text)
    try:
        match = found[step.get("group_select", 0)]
    except IndexError:
        return str(step.get("fallback", "[invalid]"))
    groups = match if isinstance(match, tuple) else (match,)
    return str(next((group for group in groups if group), step.get("fallback", "[invalid]"))).strip()


def _normal(text: str, arguments: Arguments) -> str:
    if arguments.get("ignore_case"):
        text = text.casefold()
    if arguments.get("ignore_punctuation"):
        text = text.translate(_NO_PUNCTUATION)
    return text.strip() if arguments.get("ignore_space") else text


def _equals(text: str, arguments: Arguments) -> bool:
    values = arguments["value"] if isinstance(arguments["value"], list) else [arguments["value"]]
    return _normal(text, arguments) in {_normal(str(value), arguments) for value in values}


def _json(text: str, arguments: Arguments) -> bool:
    try:
        value = json.loads(_FENCED.sub(r"\1", text.strip()))
    except (ValueError, RecursionError):
        return False
    if not isinstance(schema := arguments.get("value"), dict):
        return True
    jsonschema: Any = import_module("jsonschema")  # half a second, needed by this assertion alone
    validator = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    return bool(validator(schema).is_valid(value))


def _many(join: Callable[[list[bool]], bool], fold: bool) -> Callable[[str, Arguments], bool]:
    def check(text: str, arguments: Arguments) -> bool:
        text, values = (text.lower() if fold else text), [str(value) for value in arguments["value"]]
        return join([(value.lower() if fold else value) in text for value in values])

    return check


TYPES: dict[str, tuple[type | tuple[type, ...], Callable[[str, Arguments], bool]]] = {
    "equals": ((str, int, float, list), _equals),
    "contains": ((str, int, float), lambda text, a: str(a["value"]) in text),
    "icontains": ((str, int, float), lambda text, a: str(a["value"]).lower() in text.lower()),
    "contains-any": (list, _many(any, False)),
    "contains-all": (list, _many(all, False)),
    "icontains-any": (list, _many(any, True)),
    "icontains-all": (list, _many(all, True)),
    "starts-with": (str, lambda text, a: text.startswith(a["value"])),
    "regex": (str, lambda text, a: re.search(a["value"], text) is not None),
    "is-json": ((dict, type(None)), _json),
}


def _grade(item: Item, response: Response) -> Grade:
    asserts: list[Arguments] = item.gold["asserts"]
    text = filtered(response.text, item.gold)
    answered = response.finish != "error"
    held = [answered and TYPES[one["type"]][1](text, one) != one.get("not", False) for one in asserts]
    broken = [one["type"] for one, ok in zip(asserts, held, strict=True) if not ok]
    note = f"did not hold: {', '.join(broken)}" if broken else ""
    return Grade(score=float(not broken), parts={"held": sum(held) / len(held)}, note=note)


GRADER = Grader(name="asserts", version=2, judge=_grade)
