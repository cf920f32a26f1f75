"""An answer from numbered sources: the right fact, the right citation, and no source that does not exist.

`gold`: {"expected": [words], "not": [words of the twin fact], "source": number, "sources": how many there are}. Scored
1 where the answer is right and cites that source alone. Parts: "right"; "cites", the right source and no other;
"invented_citation", 1 where a source is cited that is not there.
"""

from __future__ import annotations

import re

from bitproof.evaluate.graders.contains import stated
from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "citations"]

# [2], [1, 3], [1][3], [Source 2], [^2], 【2】, (source 2)
_CITATION = re.compile(
    r"(?:\[|【)\s*\^?(?:sources?\s*)?(?P<square>\d+(?:\s*(?:,|;|and|&)\s*\^?(?:source\s*)?\d+)*)[^\]】\w]*(?:\]|】)"
    r"|\(\s*sources?\s*(?P<round>\d+(?:\s*(?:,|;|and|&)\s*\d+)*)\s*\)",
    re.IGNORECASE,
)


def citations(text: str) -> set[int]:
    """The numbers of the sources that a text cites."""
    found = (match["square"] or match["round"] for match in _CITATION.finditer(text))
    return {int(number) for numbers in found for number in re.findall(r"\d+", numbers)}


def grade(item: Item, response: Response) -> Grade:
    """1 where the fact is right and its source is the one that is cited, else 0."""
    gold = item.gold
    text = response.text if response.finish != "error" else ""
    found = stated(_CITATION.sub(" ", text), [*gold["expected"], *gold["not"]])
    right = found == set(gold["expected"])
    cited = citations(text)
    invented = any(not 1 <= number <= gold["sources"] for number in cited)
    cites = cited == {gold["source"]}
    return Grade(
        score=float(right and cites),
        parts={"right": float(right), "cites": float(cites), "invented_citation": float(invented)},
    )


GRADER = Grader(name="cited", version=2, judge=grade)
