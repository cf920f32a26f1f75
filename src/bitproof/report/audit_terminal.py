"""An audit for a terminal: the verdict, what was seen against every model, what it cost, and what else could be."""

from __future__ import annotations

import math
from typing import Any

from bitproof.audit.results import AuditReport
from bitproof.report.terminal import Column, table

OTHER_CAUSES = (
    "Other causes shift logprobs too: another engine or its kernels, other weights of the same name, a hidden prompt, a"
    " changed template. This says what was measured, not why."
)


def audit_parts(report: AuditReport) -> list[Any]:
    """The parts to print, in their order."""
    parts: list[Any] = [report.words, ""]
    if report.residuals:
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
        ]
        parts += [table(columns, rows), ""]
        parts.append(
            "Distance: root mean square difference of logprobs from the model, over the tokens compared; expected of"
            " it: where the model itself is served."
        )
    parts.append(
        f"{report.n_places} tokens compared, of {report.answer_tokens} answered to {report.n_probes} questions"
        f" ({report.prompt_tokens:,} prompt tokens); alpha {report.alpha:g} over looks after"
        f" {', '.join(map(str, report.looks)) or 'none'}."
    )
    if report.findings:
        parts.append(f"Of the endpoint: {'; '.join(report.findings)}.")
    parts.append(OTHER_CAUSES)
    return parts
