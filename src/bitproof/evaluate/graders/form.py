"""Whether an answer keeps a form given as a pattern: what sampling at a high temperature loses first.

`gold`: {"pattern": regular expression that the whole answer must match}; blanks around it and a code fence are left
out. Scored 1 where it matches and the text is no loop and no noise. Parts: "valid", it matches; "coherent", it is no
loop and no noise; "repetition", share of its word pairs that stood in it before. How much several answers to the same
prompt differ is no property of one answer: see `diversity.distinct_among` and `diversity.self_overlap`.
"""

from __future__ import annotations

import re

from bitproof.evaluate.graders.diversity import distinct
from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.graders.language_gate import incoherence
from bitproof.evaluate.graders.languages import words_of
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER"]

_FENCED = re.compile(r"```[\w+-]*\n(.*?)\n?```", re.DOTALL)
_BROKEN = ("empty", "loops")  # short strings of symbols (a colour code, an address) may look like noise


def grade(item: Item, response: Response) -> Grade:
    """1 where the answer has the form, else 0."""
    text = response.text.strip() if response.finish != "error" else ""
    fenced = _FENCED.fullmatch(text)
    text = fenced[1].strip() if fenced else text
    valid = re.fullmatch(item.gold["pattern"], text) is not None
    why = incoherence(text)
    coherent = why not in _BROKEN and (valid or why is None)
    parts = {"valid": float(valid), "coherent": float(coherent), "repetition": 1 - distinct(words_of(text))}
    return Grade(score=float(valid and coherent), parts=parts, note=why or "")


GRADER = Grader(name="form", version=2, judge=grade)
