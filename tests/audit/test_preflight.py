"""What answers are fit for: how many logprobs, which of them are none, and how they are rounded."""

from __future__ import annotations

import math

import pytest

from bitproof.audit.preflight import alternatives, degenerate, findings, rounding
from bitproof.engines.generation import Completion, TokenLogprob


def answer(values: list[float], *, tops: int = 3) -> Completion:
    top = tuple(TokenLogprob(str(i), value) for i, value in enumerate(values))
    return Completion(key="0", logprobs=tuple(TokenLogprob("0", values[0], None, top[:tops]) for _ in range(2)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.5, -100.0, -999.0, -9999.0])
def test_placeholders_are_no_logprobs(value):
    assert degenerate(value)


@pytest.mark.parametrize("value", [0.0, -1e-9, -0.5, -35.0])
def test_logprobs_are(value):
    assert not degenerate(value)


def test_alternatives_are_counted():
    assert alternatives([]) == 0
    assert alternatives([Completion(key="0")]) == 0
    assert alternatives([answer([-1.0, -2.0], tops=0)]) == 1
    assert alternatives([answer([-1.0, -2.0, -3.0], tops=2), answer([-1.0, -2.0, -3.0])]) == 3


def test_rounding_is_seen():
    fine = [-0.123456789 * i for i in range(1, 12)]
    assert rounding([answer(fine, tops=11)]) is None
    assert rounding([answer([round(value, 2) for value in fine], tops=11)]) == 2
    assert rounding([answer([-float(i) for i in range(1, 12)], tops=11)]) == 0
    assert rounding([answer([-1.25], tops=1)]) is None  # too few to tell


def test_findings_say_what_was_seen():
    found = findings([answer([-0.123456, -9999.0, math.nan]), Completion(key="1", finish="error")], asked=20)
    assert found == [
        "it gives 3 logprobs a token where 20 were asked for",
        "4 of 6 logprobs are none (not finite, above 0, or a placeholder): left out",
        "1 of 2 questions were not answered",
    ]
    assert findings([answer([-0.123456, -1.234567, -2.345678])], asked=3) == []
