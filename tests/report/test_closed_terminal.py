"""A comparison without a reference in a terminal: verdict first, every figure or why there is none, nothing hidden."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from bitproof.audit.closed_results import UNKNOWABLE, Channel, ClosedReport
from bitproof.report.closed_terminal import closed_parts
from bitproof.report.json_ import to_json
from bitproof.stats.estimate import Estimate
from bitproof.types import NotMeasured


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.01, high=value + 0.01, n=40, n_clusters=40)


LOGPROBS = Channel(
    name="logprobs",
    n_probes=40,
    own=estimate(0.002),
    between=estimate(0.124),
    p_value=0.0012,
    found=True,
    smallest=0.0123,
    unit="nats on every logprob",
    sittings_p_value=0.7,
)
SAMPLED = replace(
    LOGPROBS,
    name="sampled",
    own=NotMeasured("no question could be compared"),
    between=estimate(0.6),
    found=False,
    smallest=NotMeasured("it is cached"),
    sittings_p_value=NotMeasured("asked in turn"),
    spoiled="it is cached",
)
REPORT = ClosedReport(
    endpoint="https://host/v1",
    model="m",
    against="m as recorded",
    recording_digest="0" * 64,
    sittings=("2026-01-02T03:04:05+00:00", "2026-01-03T03:04:05+00:00"),
    outcome="different",
    words="Different from m as recorded, in its logprobs.",
    channels=(LOGPROBS, SAMPLED),
    n_requests=50,
    answer_tokens=1234,
    prompt_tokens=900,
    alpha=0.01,
    least_nats=0.01,
    seed=0,
    missing=("the endpoint counts 9 prompt tokens",),
)


def shown(report: ClosedReport) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in closed_parts(report):
        console.print(part, markup=False)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_verdict_comes_first_and_what_cannot_be_known_last():
    text = shown(REPORT)
    assert text.startswith("Different from m as recorded, in its logprobs.\n")
    assert "0.124 [0.114, 0.134]" in text
    assert "60 % [59, 61]" in text
    assert "would have been found" not in text
    assert [line.split()[-1] for line in text.splitlines()[4:6]] == ["different", "spoiled"]
    assert "- Without the reference's weights nobody can say which precision" in text
    assert "1,234 tokens answered to 50 requests" in text
    assert "Besides: the endpoint counts 9 prompt tokens." in text
    assert all(line.split(",")[0] in text for line in UNKNOWABLE)


def test_what_would_have_been_found_is_said_where_nothing_was():
    text = shown(replace(REPORT, outcome="consistent", channels=(LOGPROBS, SAMPLED, replace(LOGPROBS, n_probes=0))))
    assert "0.012 nats on every logprob would have been found in 95 of 100 comparisons; less may be there." in text
    assert "not measured (it is cached)" in text
    assert "not compared" in text


def test_where_nothing_was_compared_there_is_no_table():
    bare = replace(REPORT, channels=(replace(LOGPROBS, n_probes=0),), outcome="inconclusive")
    assert "with itself" not in shown(bare)
    assert "Distances" not in shown(bare)


@pytest.mark.parametrize("words", ["a\x1b[31mred", "b\u202ereversed", "c\nd", "[bold]e"])
def test_words_of_an_endpoint_move_nothing(words):
    text = shown(replace(REPORT, words=f"Inconclusive: {words}.", findings=(words,), missing=(words,)))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "c\nd" not in text
    if words.startswith("["):
        assert "[bold]e" in text


def test_json_has_the_same_figures():
    plain = json.loads(to_json(REPORT))
    assert plain["channels"][0]["between"]["value"] == 0.124
    assert plain["channels"][1]["smallest"] == {"not_measured": "it is cached"}
    assert plain["unknowable"] == list(UNKNOWABLE)
