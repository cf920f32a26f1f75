"""An answer where the sources have one, and a plain "not stated" where they do not.

`gold`: {"answerable": bool, "expected": [words], "not": [words of the twin fact]}. Parts: "abstains", 1 where the
answer says that it cannot be known; "right", 1 where it states the fact (only of answerable items).
"""

from __future__ import annotations

import re

from bitproof.evaluate.graders.answer_line import normalized
from bitproof.evaluate.graders.contains import stated
from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "abstains"]

_KNOWN = r"(?:stated|mentioned|specified|given|provided|said|found|known|indicated|included|listed|available|disclosed)"
_SAYS = r"(?:say|state|mention|specify|give|provide|tell|indicate|include|contain|answer|list|disclose|address)"
_ABSTENTION = re.compile(
    "|".join(
        (
            rf"\b(?:not|isn't|aren't|wasn't) (?:\w+ )?{_KNOWN}\b",
            rf"\b(?:do|does|did) ?(?:not|n't) (?:\w+ )?{_SAYS}\b",
            r"\b(?:cannot|can't|could not|couldn't) (?:be |\w+ )?(?:answer|determine|find|tell|say|know)",
            r"\b(?:i|we) (?:do not|don't) know\b",
            r"\bno (?:\w+ )?(?:information|mention)\b",
            r"\b(?:not enough|insufficient) information\b",
            r"\b(?:unknown|unanswerable|none of the sources)\b",
        )
    )
)


def abstains(text: str) -> bool:
    """Whether a text says that the answer is not to be had."""
    return _ABSTENTION.search(normalized(text)) is not None


def grade(item: Item, response: Response) -> Grade:
    """1 where an answerable question is answered, or an unanswerable one declined; else 0."""
    gold = item.gold
    text = response.text if response.finish != "error" else ""
    says_so = abstains(text)
    if not gold["answerable"]:
        return Grade(score=float(says_so), parts={"abstains": float(says_so)})
    right = stated(text, [*gold["expected"], *gold["not"]]) == set(gold["expected"])
    return Grade(score=float(right and not says_so), parts={"abstains": float(says_so), "right": float(right)})


GRADER = Grader(name="abstains", version=2, judge=grade)
