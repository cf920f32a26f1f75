"""The answer is this fact; and how sure the model said it was.

`gold`: {"accept": [forms], "options": [...]}. The answer is what stands after the last "Answer:", the confidence taken
out. With options exactly one of them must be named; else one of the accepted forms must stand there, in at most a
sentence. Accents do not count.

Parts: "stated_confidence" (1 where one was given); and, where it was, "confidence" (percent / 100) and "brier", the
squared difference between confidence and score: 0 is best, 0.25 is what always saying 50 gets.
"""

from __future__ import annotations

import re
import unicodedata

from bitproof.evaluate.graders.answer_line import answer_line, bare, normalized, occurs
from bitproof.evaluate.graders.choice import chosen
from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "stated_confidence"]

_CONFIDENCE = re.compile(
    r"\bconfiden\w*\W{0,8}(?:(?:is|of)\W{1,4})?(?P<number>\d{1,3}(?:\.\d{1,9})?)\s*(?P<percent>%?)", re.IGNORECASE
)
_WORDS = 14  # longest answer, so that a list of guesses is none


def stated_confidence(text: str) -> float | None:
    """The first confidence of a text in [0, 1]: "80", "80%", "80.5 %" or "0.8"; None where there is none."""
    first = next((match for match in _CONFIDENCE.finditer(text) if float(match["number"]) <= 100), None)
    if first is None:
        return None
    number = float(first["number"])
    fraction = "." in first["number"] and number <= 1 and not first["percent"]
    return number if fraction else number / 100


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", normalized(text).replace("ø", "o").replace("ł", "l"))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _right(text: str, accept: list[str], options: list[str] | None) -> bool:
    answer = bare(answer_line(_CONFIDENCE.sub("", text)))
    if options:
        return chosen(answer, options) in accept
    said = _plain(answer)
    return len(said.split()) <= _WORDS and any(occurs(_plain(form), said) for form in accept)


def grade(item: Item, response: Response) -> Grade:
    """1 where the fact is right, else 0."""
    text = "" if response.finish == "error" else response.text
    score = float(_right(text, item.gold["accept"], item.gold.get("options")))
    confidence = stated_confidence(text)
    if confidence is None:
        return Grade(score=score, parts={"stated_confidence": 0.0}, note="states no confidence")
    parts = {"stated_confidence": 1.0, "confidence": confidence, "brier": (confidence - score) ** 2}
    return Grade(score=score, parts=parts)


GRADER = Grader(name="fact", version=2, judge=grade)
