"""What an audit is to do: fixed before the first request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bitproof.audit.purse import Price

__all__ = ["BUDGETS", "DRAWN", "NAMED_AFTER", "TESTS", "AuditPlan", "TestName"]

TestName = Literal["prompt-logprobs", "top-logprobs", "logprob", "text", "seeded", "sampled"]
TESTS: tuple[TestName, ...] = ("prompt-logprobs", "top-logprobs", "logprob", "text", "seeded", "sampled")
DRAWN: tuple[TestName, ...] = ("seeded", "sampled")
"""Tests of first tokens that are drawn at temperature 1."""
BUDGETS: dict[TestName, int] = {
    "prompt-logprobs": 60,
    "top-logprobs": 60,
    "logprob": 200,
    "text": 2000,
    "seeded": 1000,
    "sampled": 5000,
}
"""Answer tokens, at most, by test."""
NAMED_AFTER: dict[TestName, int] = {
    "prompt-logprobs": 5,
    "top-logprobs": 40,
    "logprob": 120,
    "text": 400,
    "seeded": 0,
    "sampled": 0,
}
"""Answer tokens after which it is not asked further for a name, where the reference is ruled out."""


@dataclass(frozen=True, kw_only=True)
class AuditPlan:
    """The test (None: the best there is), its level, and the most it may cost.

    An answer that was lost on its way is asked for again, and counts again. `price` is US dollars for a million prompt
    tokens and for a million answer tokens; a limit in dollars needs it.
    """

    alpha: float = 0.01
    test: TestName | None = None
    top: int = 20
    max_tokens: int | None = None  # of answers; default: by test, `BUDGETS`
    seed: int = 0
    max_cost_usd: float | None = None
    price: Price | None = None
