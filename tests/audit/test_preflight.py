"""What answers are fit for: how many logprobs, which of them are none, and how they are rounded."""

from __future__ import annotations

import math

import pytest

from bitproof.audit.preflight import alternatives, charged, degenerate, findings, logprob_fault, rounding
from bitproof.engines.generation import Completion, Request, Retry, TokenLogprob
from bitproof.types import Message

FINE = [-0.123456789 * i for i in range(1, 12)]


def asked(top: int = 20, max_tokens: int = 4) -> Request:
    return Request(key="0", messages=(Message(role="user", content="?"),), max_tokens=max_tokens, top_logprobs=top)


def answer(values: list[float], *, tops: int = 3, counted: int = 0) -> Completion:
    top = tuple(TokenLogprob(str(i), value) for i, value in enumerate(values))
    return Completion(
        key="0", logprobs=tuple(TokenLogprob("0", values[0], None, top[:tops]) for _ in range(2)), answer_tokens=counted
    )


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
    assert alternatives([answer([-1.0, -2.0, -3.0], tops=2), *[answer([-1.0, -2.0, -3.0])] * 2]) == 3


@pytest.mark.parametrize("step", [1.0, 0.5, 0.125, 0.1, 0.05, 0.01, 0.001, 0.0001])
def test_rounding_is_seen(step):
    rounded = [round(value * 7 / step) * step for value in FINE]
    assert rounding([answer(rounded, tops=11)]) == step


def test_what_is_not_rounded_is_not_said_to_be():
    assert rounding([answer(FINE, tops=11)]) is None
    assert rounding([answer([-1.25], tops=1)]) is None  # too few to tell


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "gives no logprobs"),
        ([-9999.0, math.nan, 1.0], "are not finite, above 0, or placeholders"),
        ([0.0, 0.0, 0.0], "all of them are 0"),
        ([-1.0, -1.0, -1.0], "all of them are -1"),
        ([-0.101, -0.202, -0.303], "add up to a probability of 2.5"),
        ([-1.1, -2.2, -3.3, -4.5], "rounded to steps of 0.1 nats, and benign engines differ by 0.03"),
        ([-1.11, -2.22, -3.33, -4.51], ""),
        ([-1.101, -2.202, -9999.0], ""),
        ([-0.0001], ""),
    ],
)
def test_logprobs_that_no_test_can_rely_on(values, words):
    completions = [answer(values, tops=len(values))] if values else [Completion(key="0", text="a")]
    fault = logprob_fault(completions, floor_nats=0.03)
    assert words in fault
    assert bool(words) == bool(fault)


@pytest.mark.parametrize(
    ("completion", "tokens"),
    [
        (Completion(key="0", text="a b", answer_tokens=2), 2),
        (Completion(key="0", text="a b", answer_tokens=16), 16),  # longer than asked for
        (Completion(key="0", text="a b"), 4),  # not counted
        (Completion(key="0", text="a b c", answer_tokens=1), 3),  # fewer than came
        (Completion(key="0", text="a b", answer_tokens=1, finish="length"), 4),
        (Completion(key="0", finish="error", error="HTTP 500", retries=(Retry("HTTP 429: wait", 1.0),)), 0),
        (Completion(key="0", finish="error", error="the connection was cut (x)"), 4),
        (Completion(key="0", text="a", answer_tokens=1, retries=(Retry("the connection was cut (x)", 1.0),)), 5),
        (Completion(key="0", finish="error", error="ended its answer with 'content_filter'", answer_tokens=3), 3),
    ],
)
def test_what_an_answer_costs(completion, tokens):
    assert charged(completion, asked()) == tokens


def test_findings_say_what_was_seen():
    completions = [answer([-0.123456, -9999.0, math.nan]), Completion(key="1", finish="error")]
    found = findings(completions, [asked(), asked()], top=3)
    assert found == [
        "it gives 3 logprobs a token where 20 were asked for",
        "4 of 6 logprobs are none (not finite, above 0, or a placeholder): left out",
        "1 of 2 questions were not answered",
        "it counts fewer tokens than it sends",
    ]
    assert findings([answer(FINE[:3], counted=2)], [asked(top=3)], top=3) == []


def test_findings_of_answers():
    filtered = Completion(key="0", finish="error", error="the engine ended its answer with 'content_filter'")
    empty = Completion(key="0", answer_tokens=1)
    long = Completion(key="0", text="a b", answer_tokens=1600)
    uncounted = Completion(key="0", text="a b")
    cut = Completion(key="0", text="a", answer_tokens=1, retries=(Retry("the connection was cut", 0.5),) * 2)
    completions = [filtered, empty, long, uncounted, cut]
    assert findings(completions, [asked(top=0)] * 5, top=0) == [
        "1 of 5 questions were refused by a filter",
        "1 of 5 answers are empty",
        "it counts more tokens than it was asked for: 1,600 where 4 were",
        "it does not count the tokens of its answers: what was asked for is taken as the cost",
        "2 requests had to be made again, the first because the connection was cut",
    ]


def test_tokens_with_fewer_logprobs_than_others_are_said():
    completions = [answer(FINE[:3], tops=3, counted=2), answer(FINE[:3], tops=2, counted=2)]
    assert findings(completions, [asked(top=3)] * 2, top=3) == [
        "2 of 4 tokens came with fewer logprobs than the others: left out"
    ]
