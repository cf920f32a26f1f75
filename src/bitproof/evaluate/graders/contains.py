"""The answer says what is expected, and none of what would be wrong.

`gold`: {"expected": [strings], "any": false, "not": [distractors]}. All of `expected` must stand in the text (one of
them with "any"), as words of their own, whatever the case; none of `not` may. A distractor that is part of an expected
string ("twenty" of "twenty-two"), or the other way round, counts only where it stands by itself.
"""

from __future__ import annotations

from bitproof.evaluate.graders.answer_line import normalized, occurs, without
from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "stated"]


def stated(text: str, strings: list[str]) -> set[str]:
    """Those of `strings` that stand in a text, each only where it is not part of a longer one of them."""
    rest, found = normalized(text), set()
    for string in sorted(set(strings), key=len, reverse=True):
        part = normalized(string)
        if occurs(part, rest):
            found.add(string)
            rest = without(part, rest)
    return found


def grade(item: Item, response: Response) -> Grade:
    """1 where the expected strings stand in the answer and no distractor does, else 0."""
    expected, wrong = item.gold["expected"], item.gold.get("not", [])
    found = stated(response.text, [*expected, *wrong])
    there = [each in found for each in expected]
    said = any(there) if item.gold.get("any", False) else all(there)
    clean = found.isdisjoint(wrong)
    answered = response.finish != "error"
    return Grade(score=float(answered and said and clean), note="" if clean else "names a distractor")


GRADER = Grader(name="contains", version=2, judge=grade)
