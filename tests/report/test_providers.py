"""Providers side by side, shown: on narrow and wide terminals, and as a page; what others wrote does no harm."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from bitproof.audit.provider_claims import Claim
from bitproof.audit.provider_disclosed import Disclosure
from bitproof.audit.provider_results import Money, ProviderResult, ProvidersReport, Quality
from bitproof.evaluate.cost_results import Figure
from bitproof.report.providers_html import render
from bitproof.report.providers_terminal import providers_parts
from bitproof.types import Estimate, NotMeasured

HOSTILE = "<script>alert(1)</script>\u202e[bold]x[/bold]"


def share(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, n=40, n_clusters=20)


@pytest.fixture
def make(make_audit: Any) -> Any:
    """A report of four endpoints: one of each outcome."""

    def one(name: str, outcome: Any, **more: Any) -> ProviderResult:
        audit = make_audit(outcome=outcome) if outcome in ("consistent", "inconsistent", "inconclusive") else None
        quality = Quality(
            score=share(0.71),
            difference=share(-0.031),
            retained=share(0.958),
            completed=share(0.99, 0.005),
            tool_calls=NotMeasured("no answer calls a function"),
            schema=share(0.9),
            n_items=40,
        )
        money = Money(
            usd_per_million=(0.18, 0.6),
            source="the endpoints file",
            per_thousand=0.338,
            per_retained=share(0.353, 0.02),
            claimed="fp8",
            measured="w4a16",
            margin_claimed=Figure(0.41, ("roofline",)),
            margin_measured=NotMeasured("no precision was measured"),
        )
        claims = (Claim(precision="bf16", source="the model, asked", words=HOSTILE, counts=False),)
        found = ProviderResult(
            name=name,
            url="https://host.example/v1",
            model="some/model",
            preset="",
            reference=False,
            outcome=outcome,
            words=audit.words if audit else "It cannot be asked: nothing answers there.",
            level=0.0025 if audit else None,
            audit=audit,
            agreement=share(0.62) if audit else NotMeasured("no probe was asked"),
            disclosure=Disclosure(
                disclosed="unknown", standing="undisclosed", worst="w4a16-rtn-g64", words="Undisclosed.", claims=claims
            ),
            quality=quality,
            latency_p50_s=share(0.52),
            latency_p95_s=Estimate(value=1.9, low=float("nan"), high=float("nan"), n=9, n_clusters=9),
            latency_of="the suite's answers",
            money=money,
            n_requests=44,
            prompt_tokens=9000,
            answer_tokens=1200,
            spent_usd=0.002,
        )
        return replace(found, **more)

    def report(*outcomes: str, **more: Any) -> ProvidersReport:
        names = [f"{outcome.replace(' ', '-')}-cloud/region-{n}" for n, outcome in enumerate(outcomes)]
        found = ProvidersReport(
            providers=tuple(one(name, outcome) for name, outcome in zip(names, outcomes, strict=True)),
            reference="some-model",
            profile_digest="0" * 64,
            alpha=0.01,
            seed=0,
            suite="core/quick",
            suite_digest="1" * 64,
            scored_against="the reference",
            device="h100-sxm",
            command="bitproof providers e.yaml",
        )
        return replace(found, **more)

    return report


OUTCOMES = ("consistent", "inconsistent", "inconclusive", "unreachable")


def printed(report: ProvidersReport, width: int) -> str:
    target = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    for part in providers_parts(report, width=width):
        target.print(part, markup=False)
    return target.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_is_cut_or_too_wide(make: Any, width: int):
    text = printed(make(*OUTCOMES), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text.replace("⟨U+", "")
    together = re.sub(r"\s+", "", text)
    for outcome in OUTCOMES:
        assert f"{outcome}-cloud/region-" in together
    wide = ("-3.1", "0.18 / 0.6") if width > 80 else ("0.18", "0.6")
    for figure in ("71.0 %", "95.8", "41 %", "0.520", *wide):
        assert figure.replace(" ", "") in together, figure


def test_the_sentence_counts_and_the_notes_say_what_is_missing(make: Any):
    text = " ".join(printed(make(*OUTCOMES), 160).split())
    assert "4 endpoints against some-model: 1 consistent, 1 inconsistent, 1 inconclusive, 1 unreachable." in text
    assert "tool calls not measured: no answer calls a function." in text
    assert "Holm; each at 0.0025" in text
    assert "not why" in text
    assert "fraud" not in text.lower()


def test_without_a_suite_there_is_no_table_of_quality(make: Any):
    text = printed(make("consistent", suite=""), 160)
    assert "completed" not in text.partition("Verdicts:")[0]


def test_the_page_has_one_row_an_endpoint_and_makes_no_request(make: Any):
    page = render(make(*OUTCOMES), version="0")
    assert page.count('<tr class="outcome-') == 4
    assert "http://" not in page
    assert not re.search(r"<(script|img|link|iframe)|\son\w+=|url\(", page)
    assert "default-src 'none'" in page
    assert "bitproof providers e.yaml" in page
    assert "The whole audit" not in page


def test_the_page_leads_to_whole_audits(make: Any):
    report = make("inconsistent", "unreachable")
    page = render(report, version="0", audits={report.providers[0].name: "audits/01-x.html"})
    assert page.count('<a href="audits/01-x.html">The whole audit</a>') == 1


def test_what_others_wrote_is_shown_and_does_nothing(make: Any):
    page = render(make("inconsistent"), version="0")
    assert "<script" not in page
    assert "\u202e" not in page
    assert "⟨U+202E⟩" in page
    text = printed(make("inconsistent"), 160)
    assert "\u202e" not in text
    assert "[bold]x[/bold]" in text
