"""A long text that holds together, and a summary of it: no loop, the length asked for, on its topic to the end.

`gold`: {"words": asked for, "terms": [words of the topic]}. The first answer is the text, the second its summary.
Score = coherent x mean(length, topic, steady, summary), each in [0, 1]:

- coherent: 0 where the text is no language, or more than a quarter of its 4-word sequences stood in it before, or a run
  of 24 words stands in it twice;
- length: 1 from 60 % to 150 % of the words asked for, falling in proportion outside;
- topic: 1 where three of the topic's words (or forms of them) occur, in proportion below;
- steady: how much the last third speaks of what the first two thirds and the topic speak of: the share of its content
  words (five letters or more) that occur there, over .1 (of a text of 100 words; growing with the root of the length,
  to .32 of one of 1,000), at most 1; drift into something else lowers it;
- summary: coherent, shorter than half the text (or 60 words), and half of its content words are those of the text; in
  proportion below.

The limits are this grader's own; the tests show what passes them. "distinct" and "repeat" (share of the text that its
longest repeated run covers) are reported beside the five.
"""

from __future__ import annotations

import math

from bitproof.evaluate.graders.diversity import distinct, longest_repeat
from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.graders.language_gate import incoherence, repeated_share
from bitproof.evaluate.graders.languages import words_of
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER"]

MAX_REPEATED, MAX_RUN = 0.25, 24
ENOUGH_TERMS, OF_TEXT = 3, 0.5


def grade(item: Item, response: Response) -> Grade:
    """The declared rule, over the text and its summary."""
    if response.finish == "error" or not response.texts:
        return Grade(score=0.0, note=response.error)
    text, summary = response.texts[0], response.texts[1] if len(response.texts) > 1 else ""
    words = words_of(text)
    terms: list[str] = item.gold["terms"]
    why = _broken(text)
    repeat = longest_repeat(words)
    parts = {
        "coherent": float(why is None),
        "length": _length(len(words), item.gold["words"]),
        "topic": min(1.0, len(_mentioned(words, terms)) / min(ENOUGH_TERMS, len(terms))),
        "steady": _steady(words, terms),
        "summary": _summary(words_of(summary), words) if incoherence(summary) is None else 0.0,
    }
    score = parts["coherent"] * sum(parts[name] for name in ("length", "topic", "steady", "summary")) / 4
    parts |= {"distinct": distinct(words), "repeat": repeat / len(words) if words else 0.0}
    return Grade(score=score, parts=parts, note=why or "")


def _broken(text: str) -> str | None:
    """Why a text does not hold together, or None."""
    words = words_of(text)
    why = incoherence(text)
    if why is None and (repeated_share(words) > MAX_REPEATED or longest_repeat(words) >= MAX_RUN):
        why = "loops"
    return why


def _length(found: int, asked: float) -> float:
    low, high = 0.6 * asked, 1.5 * asked
    if found > high:
        return high / found
    return min(1.0, found / low)


def _mentioned(words: list[str], terms: list[str]) -> set[str]:
    stems = {_stem(word) for word in words}
    return {term for term in terms if _stem(term.casefold()) in stems}


def _steady(words: list[str], terms: list[str]) -> float:
    cut = len(words) * 2 // 3
    before = {_stem(word) for word in words[:cut] if len(word) >= 5} | {_stem(term.casefold()) for term in terms}
    last = [_stem(word) for word in words[cut:] if len(word) >= 5]
    expected = 0.01 * math.sqrt(len(words))  # excerpts of prose have .16 at 100 words, .25 at 300; mixed ones 0 and .10
    return min(1.0, sum(stem in before for stem in last) / len(last) / expected) if last else 0.0


def _summary(summary: list[str], words: list[str]) -> float:
    content = [_stem(word) for word in summary if len(word) >= 5]
    if not content or len(summary) > max(60, len(words) // 2):
        return 0.0
    of_text = {_stem(word) for word in words}
    return min(1.0, sum(stem in of_text for stem in content) / len(content) / OF_TEXT)


def _stem(word: str) -> str:
    """The first five letters: enough to join "bee" and "bees", "pollinate" and "pollination"."""
    return word[:5] if len(word) > 5 else word.rstrip("s")


GRADER = Grader(name="long_text", version=1, judge=grade)
