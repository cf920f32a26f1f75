"""The answer is one of the given labels.

`gold`: {"label": "refund", "options": ["refund", "invoice", ...]}. The answer may stand in quotes or emphasis, or in a
sentence; whoever names two labels has not chosen, and is wrong. A label inside a longer one ("mail" in "mail order")
is not named by it. Part "named": exactly one of the options was named, right or wrong.
"""

from __future__ import annotations

from bitproof.evaluate.graders.answer_line import answer_line, bare, normalized
from bitproof.evaluate.graders.contains import stated
from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "chosen"]


def chosen(text: str, options: list[str]) -> str | None:
    """The one option that a text names; None where it names none, or more than one."""
    line = answer_line(text)
    said = normalized(bare(line))
    alone = [option for option in options if normalized(option) == said]
    if alone:
        return alone[0]
    found = stated(line, options) or stated(text, options)
    return found.pop() if len(found) == 1 else None


def grade(item: Item, response: Response) -> Grade:
    """1 where the right label alone is named, else 0."""
    found = None if response.finish == "error" else chosen(response.text, item.gold["options"])
    note = "" if found else "names none of the options, or several"
    return Grade(score=float(found == item.gold["label"]), parts={"named": float(found is not None)}, note=note)


GRADER = Grader(name="choice", version=2, judge=grade)
