r"""The answer is this number.

`gold`: {"value": number, "tolerance": 0, "words": false}. The tolerance is absolute; 0 asks for the exact value in any
form: "$1,234.50", "1 234.5", "= 12", "12.", "**12.0**", "\boxed{12}", "1/2" for 0.5. A comma divides thousands, a point
decimals. With "words", "twenty-one" is 21 where the answer holds no digit.

Which number is meant: the one right after the last "answer is", "answer:" or "\boxed", or where a calculation stands
there what follows its last "=", else the last number of that line; without such a mark, the last number of the text.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER", "final_number"]

# Of bounded length, because Python refuses to read integers of more than 4,300 digits.
_DIGITS = r"(?<!\d)(?:\d{1,3}(?:(?:,\d{3}){1,99}|(?: \d{3}){1,99})(?!\d)|\d{1,400}(?!\d))(?:\.\d{1,400})?|\.\d{1,400}"
_NUMBER = re.compile(
    rf"(?P<sign>-?)[$€£¥]?(?P<inner>-?)(?P<digits>{_DIGITS})(?P<exponent>[eE][-+]?\d{{1,3}}\b)?(?:/(?P<over>[1-9]\d{{0,99}})(?![/\d]))?"
)
_MARK = re.compile(r"\banswer\W{0,6}?(?:\bis\b|:|=)|\\boxed", re.IGNORECASE)
_OPERATOR = re.compile(r"\s*[a-z%$°]*\s*[-+*/×÷=]", re.IGNORECASE)
_MARKS = str.maketrans({"−": "-", "–": "-", "‐": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'"})
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: n for n, word in enumerate(_UNITS.split())} | {
    word: 10 * n for n, word in enumerate(_TENS.split(), start=2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}


def final_number(text: str, *, words: bool = False) -> Fraction | None:
    """The number that a text ends up with, exactly; None where it holds none."""
    text = unicodedata.normalize("NFKC", text).translate(_MARKS).replace("\\$", "$")
    for mark in reversed(list(_MARK.finditer(text))):
        line = next((line for line in text[mark.end() :].splitlines() if _NUMBER.search(line)), None)
        if line is not None:
            return _of_line(line)
    found = list(_NUMBER.finditer(text))
    if found:
        return _value(found[-1], text)
    return _in_words(text) if words else None


def _of_line(line: str) -> Fraction:
    """The number meant by what stands after "answer:"; the line holds at least one."""
    found = list(_NUMBER.finditer(line))
    first = found[0]
    leads = not re.search(r"\w", line[: first.start()])
    if leads and not _OPERATOR.match(line, first.end()):
        return _value(first, line)
    after = _NUMBER.search(line, line.rfind("=") + 1)
    return _value(after if after and "=" in line else found[-1], line)


def _value(match: re.Match[str], text: str) -> Fraction:
    before = text[: match.start()]
    # A minus after a number or a word is an operator or a hyphen; one inside, as in "$-5", is a sign.
    operator = before[-1:].isalnum() or before.rstrip()[-1:] in tuple("0123456789)")
    negative = (match["sign"] == "-" and not operator) or match["inner"] == "-"
    value = Fraction(match["digits"].replace(",", "").replace(" ", "") + (match["exponent"] or ""))
    value /= int(match["over"] or 1)
    return -value if negative else value


def _in_words(text: str) -> Fraction | None:
    """The last number written in English words."""
    total, part, last = 0, 0, None
    for word in [*re.findall(r"[a-z]+", text.casefold()), ""]:
        if word in _WORDS:
            part += _WORDS[word]
        elif word in _SCALES and part:
            part *= _SCALES[word]
            if word != "hundred":
                total, part = total + part, 0
        elif word == "and" and (total or part >= 100):
            continue
        else:
            last = last if not (total or part) else Fraction(total + part)
            total, part = 0, 0
            continue
    return last


def grade(item: Item, response: Response) -> Grade:
    """1 where the final number is `value` within `tolerance`, else 0; part "answered": a number was given at all."""
    found = None if response.finish == "error" else final_number(response.text, words=item.gold.get("words", False))
    if found is None:
        return Grade(score=0.0, parts={"answered": 0.0}, note="no number")
    difference = abs(found - Fraction(str(item.gold["value"])))
    right = difference <= Fraction(str(item.gold.get("tolerance", 0)))
    return Grade(score=float(right), parts={"answered": 1.0})


GRADER = Grader(name="number", version=2, judge=grade)
