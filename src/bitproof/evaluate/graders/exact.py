"""The answer is this string, character for character.

`gold`: {"accept": [strings], "fold": false}. The line that holds the answer is compared, without the quotes, emphasis
full stop or label ("Name: ...") around it; case, accents and spaces inside count. With "fold"
case and digit scripts do not.
"""

from __future__ import annotations

from bitproof.evaluate.graders.answer_line import answer_line, bare, normalized
from bitproof.evaluate.graders.grader import Grader
from bitproof.types import Grade, Item, Response

__all__ = ["GRADER"]


def grade(item: Item, response: Response) -> Grade:
    """1 where the answer is one of the accepted strings, else 0."""
    line = answer_line(response.text)
    accept: list[str] = item.gold["accept"]
    _, _, unlabelled = line.partition(": ")
    found = {response.text.strip(), line, bare(line), bare(unlabelled)}
    if item.gold.get("fold", False):
        found = {normalized(each) for each in found}
        accept = [normalized(each) for each in accept]
    right = response.finish != "error" and not found.isdisjoint(accept)
    return Grade(score=float(right))


GRADER = Grader(name="exact", version=2, judge=grade)
