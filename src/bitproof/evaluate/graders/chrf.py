"""A translation against its reference: chrF2, the F-score of character n-grams.

Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015), section 2, with beta = 2 (recall counts
four times as much), n = 1..6, blanks removed; as in sacreBLEU, n-grams longer than either text are left out of the
mean. Deviation: both texts are put in NFKC with one kind of dash and quote. Unlike word metrics it needs no words, so
scripts without spaces are scored too.

`gold`: {"reference": text, "language": ISO 639-1}. Parts: "language", 1 where the answer is in the language asked for
(left out where that cannot be told), and "length", 1 where it is half as long to twice as long as the reference.
"""

from __future__ import annotations

import re
from collections import Counter

from bitproof.evaluate.graders.answer_line import normalized
from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.graders.languages import LANGUAGES, language_of
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "chrf", "translated"]

_LABEL = re.compile(
    r"\s*(?:\*\*)?(?:translation|[\w ]{1,40} translation|answer)(?:\*\*)?\s*:(?:\*\*)?\s*", re.IGNORECASE
)


def chrf(text: str, reference: str, *, order: int = 6, beta: float = 2.0) -> float:
    """chrF of a text against one reference, from 0 to 1; 0 where either is empty."""
    found, wanted = ("".join(each.split()) for each in (text, reference))
    precisions, recalls = [], []
    for n in range(1, min(order, len(found), len(wanted)) + 1):
        ours, theirs = _ngrams(found, n), _ngrams(wanted, n)
        matches = (ours & theirs).total()
        precisions.append(matches / ours.total())
        recalls.append(matches / theirs.total())
    if not precisions or not any(precisions):
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def translated(text: str) -> str:
    """The translation in an answer: without a label before it and without what stands after the first blank line."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text.strip())]
    if len(paragraphs) > 1 and paragraphs[0].endswith((":", "：")):
        paragraphs = paragraphs[1:]
    return _LABEL.sub("", paragraphs[0], count=1).strip().strip('"“”«»„「」')


def grade(item: Item, response: Response) -> Grade:
    """chrF2 of the answer."""
    answer = translated(response.text) if response.finish != "error" else ""
    reference: str = item.gold["reference"]
    parts = {"length": float(0.5 <= len(answer) / len(reference) <= 2)}
    language = language_of(answer)
    if item.gold["language"] in LANGUAGES and language is not None:
        parts["language"] = float(language == item.gold["language"])
    return Grade(score=chrf(normalized(answer), normalized(reference)), parts=parts)


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[start : start + n] for start in range(len(text) - n + 1))


GRADER = Grader(name="chrf", version=2, judge=grade)
