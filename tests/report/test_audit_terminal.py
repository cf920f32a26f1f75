"""An audit on a terminal: everything fits, nothing that the endpoint said moves or colours it."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from bitproof.audit.results import AuditReport
from bitproof.audit.standing import MIXED
from bitproof.report.audit_terminal import audit_parts

MakeAudit = Callable[..., AuditReport]


def printed(report: AuditReport, width: int) -> list[str]:
    stream = io.StringIO()
    target = Console(file=stream, width=width, highlight=False)
    for part in audit_parts(report, width=width):
        target.print(part, markup=False)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 160])
def test_every_figure_is_whole(make_audit: MakeAudit, width: int):
    lines = printed(make_audit(cost_usd=0.01), width)
    assert max(len(line.rstrip()) for line in lines) <= width
    row = next(line.split() for line in lines if line.startswith("w4 "))
    assert row[:6] == ["w4", "97.0", "%", "0.62", "0.034", "0.030"]
    assert row[-1] == "closest"
    assert ("0.800" in row) == (width == 160)
    text = " ".join(" ".join(lines).split())
    for said in (
        "Inconsistent with made/tiny: the closest is w4.",
        "effective bits 3.6 [1 or fewer to 7 or more]",
        "Top logprobs: 5 tokens read, of 8 answered to 2 questions (1,234 prompt tokens); 0.0100 USD.",
        "3 looks after 3, 5, 10 tokens",
        "rounded to 2 decimals",
        "Other causes: another engine",
        "--out FILE.html",
    ):
        assert said in text, said


def test_rows_stand_likeliest_first_with_what_is_no_model(make_audit: MakeAudit):
    made = make_audit(
        test="text", residuals=(), expected={}, fit={}, probability={"reference": 0.1, "w4": 0.2, MIXED: 0.7}
    )
    lines = printed(made, 80)
    rows = [line.rsplit("%")[0].split("  ")[0] for line in lines if " %" in line]
    assert rows == [MIXED, "w4", "reference"]
    assert "seen" not in "".join(lines)


def test_without_a_look_there_are_distances_but_no_posterior(make_audit: MakeAudit):
    made = make_audit(outcome="inconclusive", closest=(), excluded=(), equals=(), probability={}, fit={})
    row = next(line.split() for line in printed(made, 80) if line.startswith("w8"))
    assert row == ["w8", "-", "-", "0.805", "0.030"]


def test_nothing_read_says_no_noise_and_names_no_other_cause(make_audit: MakeAudit):
    made = make_audit(outcome="inconclusive", test="none", n_places=0, meter=None, residuals=(), probability={})
    text = " ".join(printed(made, 160))
    assert "No test: 0 tokens read" in text
    assert "Logit noise" not in text
    assert "Other causes" not in text


def test_no_model_is_shown_where_something_is_missing(make_audit: MakeAudit):
    made = make_audit(outcome="inconclusive", words="Inconclusive: it fails.", missing=("it fails",), closest=())
    text = "\n".join(printed(made, 80))
    assert "w4" not in text
    assert "5 tokens read" in text


def test_what_the_endpoint_says_neither_colours_nor_fills_the_screen(make_audit: MakeAudit):
    hostile = "\x1b[2J[red]\u202e" + "x" * 100_000
    lines = printed(make_audit(words=hostile, findings=(hostile,), how={"rates": hostile}), 80)
    text = "".join(lines)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "⟨U+001B⟩[2J[red]" in text
    assert len(lines) < 60
