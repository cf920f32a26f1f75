"""The code of the answer, run in the sandbox, passes the item's tests.

`gold`: {"entry": name of the function, "stub": its first line, "prefix": code that stands before it, "test": code that
raises where the function is wrong}. Parts: "completed" (the function is there, parses and was not cut off) and, where
there is code, "invented_api" (it uses a module, an attribute or a function that does not exist; see `code_inside`). The
share of answers with either is the part's mean. Without a sandbox the score is not measured: code is never run bare.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from bitproof.errors import EnvironmentFailed
from bitproof.evaluate.graders.code_inside import MARK
from bitproof.evaluate.graders.code_text import extract
from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.sandbox import Ran, sandbox
from bitproof.types import Grade, Item, NotMeasured, Response

__all__ = ["GRADER"]

CPU_S = 3.0  # the slowest of HumanEval's own solutions takes a fifth of it
_INSIDE = Path(__file__).with_name("code_inside.py")
_NO_ATTRIBUTE = re.compile(
    r"(?:type object )?'(\w+)' object has no attribute '(\w+)'|type object '(\w+)' has no .*'(\w+)'"
)
_TYPES = (str, bytes, int, float, bool, complex, list, tuple, set, frozenset, dict, range, zip, map, filter)
_BUILT_IN = frozenset(kind.__name__ for kind in _TYPES)


def grade(item: Item, response: Response) -> Grade:
    """1 where all tests pass within the limits; of time it is the processor's, as a grade must not depend on load."""
    gold = item.gold
    code = extract(response.text, entry=gold["entry"], stub=gold["stub"])
    if code is None:
        return Grade(score=0.0, parts={"completed": 0.0}, note=f"no function {gold['entry']} that parses")
    completed = float(code.ended or response.finish != "length")
    box = sandbox()
    if isinstance(box, NotMeasured):
        return Grade(score=box, parts={"completed": completed})
    try:
        ran = box.run(_program(gold["prefix"], code.source, gold["test"]), cpu_s=CPU_S, time_s=10 * CPU_S)
    except EnvironmentFailed as error:
        return Grade(score=NotMeasured(str(error)), parts={"completed": completed})
    invented = _invented(ran)
    return Grade(
        score=float(ran.status == "ok"),
        parts={"completed": completed} | ({} if invented is None else {"invented_api": float(bool(invented))}),
        note="; ".join([*_ending(ran), *(f"invented: {name}" for name in invented or ())]),
    )


def _program(prefix: str, answer: str, test: str) -> str:
    given = {"prefix": prefix, "answer": answer, "test": test}
    return _INSIDE.read_text().replace('globals().get("GIVEN", {})', repr(given), 1)


def _invented(ran: Ran) -> list[str] | None:
    """Invented APIs, found before and while it ran; None where it ended before that was said."""
    line = next((line for line in ran.stdout.splitlines() if line.startswith(MARK)), None)
    if line is None:
        return None
    found: list[str] = ast.literal_eval(line.removeprefix(MARK))
    missing = _NO_ATTRIBUTE.match(ran.message) if ran.error == "AttributeError" else None
    if missing:
        kind, name = (part for part in missing.groups() if part)
        found += [f"{kind}.{name}"] if kind in _BUILT_IN and f"{kind}.{name}" not in found else []
    return found


def _ending(ran: Ran) -> list[str]:
    if ran.status == "ok":
        return []
    return [f"{ran.error or ran.status}: {ran.message[:200]}".rstrip(": ")]


GRADER = Grader(name="code", version=2, judge=grade)
