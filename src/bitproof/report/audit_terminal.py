"""An audit for a terminal: the verdict, what was seen against every model, what it cost, and what else could be."""

from __future__ import annotations

import math
from typing import Any

from bitproof.audit.meter import MOST_BITS
from bitproof.audit.results import AuditReport
from bitproof.report.terminal import Column, table

OTHER_CAUSES = (
    "Other causes shift logprobs too: another engine or its kernels, other weights of the same name, a hidden prompt, a"
    " changed template. This says what was measured, not why."
)

DISTANCE = (
    "Distance: root mean square difference of logprobs from the model, over the tokens read; expected of it: where the"
    " model itself is served."
)
TESTS = {
    "top-logprobs": "Top logprobs",
    "logprob": "Logprobs of the chosen tokens",
    "text": "Text at temperature 0",
    "sampled": "Text at temperature 1",
}


def audit_parts(report: AuditReport) -> list[Any]:
    """The parts to print, in their order."""
    parts: list[Any] = [report.words, ""]
    if report.residuals:
        parts += [_by_logprobs(report), "", DISTANCE]
    elif report.probability:
        parts += [_by_text(report), ""]
    if report.meter and report.meter.bits is not None and report.meter.bits_interval is not None:
        low, high = report.meter.bits_interval
        parts.append(
            f"Logit noise {report.meter.noise_nats:.2f} nats over {report.meter.n_tokens} greedy tokens: effective bits"
            f" {bits(report.meter.bits)} [{low:.1f}, {bits(high)}]."
        )
    looks = f" over looks after {', '.join(map(str, report.looks))}" if report.looks else ", at any time"
    parts.append(
        f"{TESTS.get(report.test, report.test)}: {report.n_places} tokens read, of {report.answer_tokens} answered to"
        f" {report.n_probes} questions ({report.prompt_tokens:,} prompt tokens); alpha {report.alpha:g}{looks}."
    )
    if report.findings:
        parts.append(f"Of the endpoint: {'; '.join(report.findings)}.")
    parts.append(OTHER_CAUSES)
    return parts


def bits(value: float) -> str:
    """Effective bits, "7 or more" where the scale ends."""
    return f"{MOST_BITS:.0f} or more" if value >= MOST_BITS else f"{value:.1f}"


def _by_logprobs(report: AuditReport) -> Any:
    columns = [
        Column("model", figures=False),
        Column("posterior"),
        Column("fit, p"),
        Column("distance, nats"),
        Column("expected of it"),
    ]
    rows = [
        [
            name,
            f"{100 * report.probability[name]:.1f} %",
            f"{report.fit[name]:.2g}",
            f"{math.exp(report.residuals[number]):.3f}",
            f"{math.exp(report.expected[name][number]):.3f}",
        ]
        for number, name in enumerate(report.names)
        if report.fit
    ]
    return table(columns, rows)


def _by_text(report: AuditReport) -> Any:
    columns = [Column("model", figures=False), Column("posterior"), Column("ruled out", figures=False)]
    rows = [
        [name, f"{100 * value:.1f} %", "ruled out" if name in report.excluded else ""]
        for name, value in report.probability.items()
    ]
    return table(columns, rows)
