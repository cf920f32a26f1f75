"""What a grader is: a deterministic function of an item and a response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bitproof.evaluate.graders.reasoning import answered
from bitproof.types import Grade, Item, Response

__all__ = ["Grader"]


@dataclass(frozen=True, kw_only=True)
class Grader:
    """`grade(item, response)` under a name that items refer to; `judge` sees the response without reasoning.

    `version` goes up when a grade can change: outcomes are kept by response and grader version, so that grading again
    never generates again. A grade is a function of its arguments alone. A response that failed or is empty is scored 0
    by the grader, like any other wrong answer; NotMeasured is for what cannot be graded at all (no sandbox here).
    """

    name: str
    version: int
    judge: Callable[[Item, Response], Grade]

    def grade(self, item: Item, response: Response) -> Grade:
        """The grade of an answer."""
        return self.judge(item, answered(response))
