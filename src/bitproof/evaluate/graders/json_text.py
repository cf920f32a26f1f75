"""JSON in a free text: the document itself, in a code fence, or with words around it."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["Absent", "find_json", "same_json"]

_FENCE = re.compile(r"```[\w-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_STARTS = re.compile(r"[{\[]")
_TRIES = 64  # brackets at which a document is looked for


class Absent:
    """What `find_json` returns where there is no document; None is one ("null")."""


def find_json(text: str) -> tuple[Any | Absent, bool]:
    """The JSON document of a text, and whether the text is nothing else (a code fence around it aside).

    Where words stand around it, the longest object or array is taken. NaN and Infinity are no JSON.
    """
    text = text.strip()
    fenced = _FENCE.search(text)
    whole = fenced[1].strip() if fenced and fenced.start() == 0 and fenced.end() == len(text) else text
    value = _load(whole)
    if not isinstance(value, Absent):
        return value, True
    best: tuple[int, Any] = (0, Absent())
    position = 0
    for _ in range(_TRIES):
        start = _STARTS.search(text, position)
        if start is None:
            break
        value, end = _decode(text, start.start())
        best = max(best, (end - start.start(), value), key=lambda found: found[0])
        position = max(end, start.end())
    return best[1], False


def same_json(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0 but not true; blanks around strings do not count, order of arrays does."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, str) and isinstance(other, str):
        return one.strip() == other.strip()
    return bool(one == other)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _load(text: str) -> Any | Absent:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return Absent()


def _decode(text: str, start: int) -> tuple[Any | Absent, int]:
    """The document that begins at `start` and where it ends; (Absent, start) where none does."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return Absent(), start
