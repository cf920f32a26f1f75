"""The answer is a letter of a multiple-choice question.

`gold`: {"label": "B", "options": {"A": "Rome", "B": "Oslo", ...}}. The letter may stand alone, in brackets, before the
option ("B. Oslo"), or after "answer is"; or the text of exactly one option stands there without a letter. In running
text "A" is an article and "I" a pronoun, so letters inside sentences do not count.

Part: `named`, whether one option was named at all.
"""

from __future__ import annotations

import re

from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.graders.texts import has_phrase, unwrapped
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "letter_of"]

_SAID = re.compile(
    r"\b(?:answer|option|choice)\b(?:\s+(?:is|would be|should be))?\s*:?\s*\(?([A-Z])\b(?!')", re.IGNORECASE
)
_ALONE = re.compile(r"^\(?([A-Za-z])(?:\)|[.:](?=\s|$)|\s*$|\s*\n)")


def letter_of(text: str, options: dict[str, str]) -> str | None:
    """The letter that an answer names, or None where it names none or several."""
    text = unwrapped(text)
    said: set[str] = {letter.upper() for letter in _SAID.findall(text)} & options.keys()
    if len(said) == 1:
        return said.pop()
    if match := _ALONE.match(text):
        letter = str(match.group(1)).upper()
        return letter if letter in options and not said - {letter} else None
    stated = [letter for letter, option in options.items() if option and has_phrase(text, option)]
    longest = max((options[letter] for letter in stated), key=len, default="")
    inside = all(options[letter] in longest for letter in stated)
    return next(letter for letter in stated if options[letter] == longest) if stated and inside and not said else None


def _grade(item: Item, response: Response) -> Grade:
    label, options = item.gold["label"], item.gold["options"]
    found = letter_of(response.text, dict(options))
    return Grade(score=float(found == label), parts={"named": float(found is not None)})


GRADER = Grader(name="letter", version=2, judge=_grade)
