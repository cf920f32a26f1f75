"""Whether an answer asks back where it must, and answers where it can.

`gold` is `{"expect": "ask", "guesses": ["17", "42"]}` or `{"expect": "answer", "answer": "42", "others": ["17"]}`.
Asking means a question to the user that is more than an offer ("Anything else?") or an echo of a question of their own,
without one of the values that only a guess could give. Answering means that the gold value stands in the text, no other
value does, and no question is asked back. Numbers are compared as numbers ("1,250" is 1250).

Part: `asked`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bitproof.evaluate.graders.grader import Grader
from bitproof.evaluate.graders.languages import words_of
from bitproof.evaluate.graders.texts import has_phrase, plain, sentences_of, straight
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "asks"]

_OFFER = re.compile(
    r"\b(?:anything else|something else|any (?:other|more|further) |help you (?:further|with (?:anything|something))"
    r"|(?:may|can|could) I (?:help|assist|do)|would you like me to|does (?:this|that) help|okay\?|right\?)",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\b(?:please|(?:could|can) you|kindly|I need you to|you (?:have|need) to)\b[^.?!]{0,20}\b"
    r"(?:specify|clarify|tell me|let me know|give me|provide|confirm|state)\b",
    re.IGNORECASE,
)
_ECHO = 0.75  # of the words of both questions together
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")


def asks(text: str, *, asked: Sequence[str] = ()) -> bool:
    """Whether the text asks the user for something: a real question, or "Please tell me which ...".

    A question that repeats most of the words of one of `asked`, the user's own, is an echo and asks for nothing.
    """
    own = [set(words_of(question)) for question in asked]
    return any(
        (sentence.rstrip("\"' *)").endswith("?") and not _OFFER.search(sentence) and not _echoes(sentence, own))
        or _REQUEST.search(sentence) is not None
        for sentence in sentences_of(straight(plain(text)))
    )


def _echoes(sentence: str, own: list[set[str]]) -> bool:
    words = set(words_of(sentence))
    return any(len(words & other) >= _ECHO * len(words | other) for other in own)


def _grade(item: Item, response: Response) -> Grade:
    text = _THOUSANDS.sub("", plain(response.text))
    users = [message.content for message in item.messages if message.role == "user"]
    asked = asks(text, asked=[sentence for content in users for sentence in sentences_of(content)[-1:]])
    if item.gold["expect"] == "ask":
        guessed = [value for value in item.gold.get("guesses", ()) if has_phrase(text, value)]
        good = asked and not guessed
        note = f"guessed {guessed[0]}" if guessed else "" if asked else "did not ask"
    else:
        found = has_phrase(text, item.gold["answer"])
        other = [value for value in item.gold.get("others", ()) if has_phrase(text, value)]
        good = found and not asked and not other
        note = "asked" if asked else "" if found and not other else "another value" if other else "without the value"
    return Grade(score=float(good), parts={"asked": float(asked)}, note=note)


GRADER = Grader(name="asks_back", version=2, judge=_grade)
