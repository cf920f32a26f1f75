"""The answer gives these fields, as "field: value" lines or as a JSON object.

`gold`: {"fields": {name: value}}. The score is the share of fields that are right, so that a long record is not lost
with one slip; part "all_right" says whether every one is, part "given" which share of the fields was given at all.
Values are compared without case, quotes and emphasis; numbers and amounts by value ("$1,240.50" is 1240.5). Where one
field is asked for, the value alone is an answer too. A field given twice with different values is not right.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction

from bitproof.evaluate.graders.answer_line import answer_line, bare, normalized
from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "read_fields"]

_AMOUNT = re.compile(r"[$€£]?\s?(\d{1,300}(?:\.\d{1,300})?)")


def read_fields(text: str, names: list[str]) -> dict[str, set[str]]:
    """Every value that a text gives to each of the named fields, normalized."""
    found: dict[str, set[str]] = {}
    for name, value in [*_of_json(text), *_of_lines(text, names)]:
        known = next((each for each in names if _key(each) == _key(name)), None)
        if known is not None and value:
            found.setdefault(known, set()).add(value)
    if not found and len(names) == 1 and (line := bare(answer_line(text))):
        found[names[0]] = {normalized(line)}
    return found


def _of_json(text: str) -> list[tuple[str, str]]:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return []
    try:
        value = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return []
    return [(name, normalized(str(each))) for name, each in value.items()] if isinstance(value, dict) else []


def _of_lines(text: str, names: list[str]) -> list[tuple[str, str]]:
    """`name: value`, `**name:** value`, `name = value`, `| name | value |`; several on a line are cut at the names."""
    name = "|".join(re.escape(name).replace(r"\ ", "[ _]") for name in sorted(names, key=len, reverse=True))
    field = re.compile(rf"[-*•\d.)\s]*(?P<name>{name})\s*(?::|=|\|| is )\s*(?P<value>.+)", re.IGNORECASE)
    cut = re.compile(rf"[,;]\s*(?=(?:{name})\s*[:=])", re.IGNORECASE)
    found = []
    for line in text.splitlines():
        for part in cut.split(line.replace("**", "").replace("`", "").strip().strip("|").strip()):
            match = field.fullmatch(part)
            if match:
                found.append((match["name"], normalized(bare(match["value"]))))
    return found


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _same(found: str, gold: str) -> bool:
    wanted = normalized(gold)
    if found == wanted:
        return True
    one, other = _AMOUNT.fullmatch(found), _AMOUNT.fullmatch(wanted)
    return bool(one and other and Fraction(one[1]) == Fraction(other[1]))


def grade(item: Item, response: Response) -> Grade:
    """The share of fields that are right."""
    gold: dict[str, str] = item.gold["fields"]
    found = {} if response.finish == "error" else read_fields(response.text, list(gold))
    right = [all(_same(value, gold[name]) for value in values) for name, values in found.items()]
    score = sum(right) / len(gold)
    return Grade(score=score, parts={"all_right": float(score == 1), "given": len(found) / len(gold)})


GRADER = Grader(name="fields", version=2, judge=grade)
