"""A summary by its keyed facts: how many of them it tells, less the numbers that it invents.

`gold`: {"facts": [[words]], "text": the text that is summarized, "words": how many the summary may have}. A fact is
told where all its words stand within the first `words` words (a tenth more is forgiven), so that copying the text does
not count. Score: (facts told - numbers that the text does not hold) / facts, at least 0. Parts: "coverage", facts told
/ facts; "invented", the share of the summary's numbers that the text does not hold; "length", 1 where it keeps to its
words.
"""

from __future__ import annotations

import re

from bitproof.evaluate.graders.answer_line import normalized, occurs
from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "numbers_of"]

_NUMBER = re.compile(r"\d+(?:[.:]\d+)*")
_BULLET = re.compile(r"^\s*\d+[.)]\s", re.MULTILINE)


def numbers_of(text: str) -> list[str]:
    """The numbers of a text, clock times included, without thousands separators and the numbers of list entries."""
    return _NUMBER.findall(normalized(_BULLET.sub("", text)))


def grade(item: Item, response: Response) -> Grade:
    """Coverage less inventions."""
    gold = item.gold
    text = response.text if response.finish != "error" else ""
    words = text.split()
    limit = round(1.1 * gold["words"])
    kept = normalized(" ".join(words[:limit]))
    facts: list[list[str]] = gold["facts"]
    told = sum(all(occurs(normalized(word), kept) for word in fact) for fact in facts)
    given = set(numbers_of(gold["text"]))
    numbers = numbers_of(text)
    invented = [number for number in numbers if number not in given]
    return Grade(
        score=max(0.0, (told - len(invented)) / len(facts)),
        parts={
            "coverage": told / len(facts),
            "invented": len(invented) / len(numbers) if numbers else 0.0,
            "length": float(0 < len(words) <= limit),
        },
        note=f"invented: {', '.join(invented[:5])}" if invented else "",
    )


GRADER = Grader(name="keyed_facts", version=2, judge=grade)
