"""A comparison without a reference, for a terminal: the verdict, what was seen, how much could be, and what cannot."""

from __future__ import annotations

import textwrap

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bitproof.audit.closed_results import ClosedReport, RecordReport
from bitproof.report.closed_words import (
    channel_rows,
    cost,
    error_rate,
    sittings_words,
    smallest_words,
    units_words,
)
from bitproof.report.safe import one_line
from bitproof.report.terminal import WIDE, Column, table

__all__ = ["closed_parts", "record_parts"]

NAME = 15  # characters of a line, where there is little room
LIMIT = 1000  # characters of a sentence that may hold the endpoint's words


def closed_parts(report: ClosedReport, *, width: int = WIDE) -> list[RenderableType]:
    """The parts to print, in their order; strings are lines, to be printed with markup=False."""
    parts: list[RenderableType] = [Text(one_line(report.words, LIMIT), style="bold"), ""]
    if any(channel.n_probes for channel in report.channels):
        parts += [_table(report, width), units_words(report), ""]
    parts += [*smallest_words(report), _spent(report), error_rate(report)]
    parts += [words for words in (sittings_words(report),) if words]
    if report.findings:
        parts.append(f"Of the endpoint: {one_line('; '.join(report.findings), LIMIT)}.")
    if report.missing and report.outcome == "different":
        parts.append(f"Besides: {one_line('; '.join(report.missing), LIMIT)}.")
    return [*parts, "", "What this cannot know:", *(f"- {words}" for words in report.unknowable)]


def record_parts(report: RecordReport) -> list[RenderableType]:
    """What was recorded, what it cost, and what it is good for."""
    n = len(report.sittings)
    name = one_line(report.model) or "a model"
    logprobs = f"{report.top_logprobs} logprobs a token" if report.top_logprobs else "without logprobs"
    parts: list[RenderableType] = [
        Text(f"Recorded: {name} at {one_line(report.endpoint)}, in {n} sittings.", style="bold"),
        f"{report.n_questions} questions, {logprobs}; the last sitting began {report.sittings[-1]}.",
        _spent(report),
        f"In {report.file}, sha256 {report.digest}.",
    ]
    if report.findings:
        parts.append(f"Of the endpoint: {one_line('; '.join(report.findings), LIMIT)}.")
    parts.append("Later: bitproof audit URL --against FILE. More sittings, on other days, show how much it varies.")
    return [*parts, "", "What this cannot know:", *(f"- {words}" for words in report.unknowable)]


def _table(report: ClosedReport, width: int) -> Table:
    wide = width >= WIDE
    sittings = wide and bool(report.sittings)
    columns = [Column("evidence", figures=False), Column("questions" if wide else "asked"), Column("with itself")]
    columns += [Column("with each other" if wide else "each other"), Column("p")]
    columns += [Column("sittings, p")] * sittings + [Column("says", figures=False)]
    rows = []
    for row in channel_rows(report):
        own, between = ((" " if wide else "\n").join(filter(None, pair)) for pair in (row.own, row.between))
        name = row.what if wide else textwrap.fill(row.what, NAME)
        figures = [own, between, *(p.replace("\u00a0", "") for p in (row.p, *[row.sittings_p] * sittings))]
        rows.append([name, row.n_probes, *figures, row.says])
    return table(columns, rows)


def _spent(report: ClosedReport | RecordReport) -> str:
    spent = cost(report)
    money = f"; {spent['USD']} USD" if report.cost_usd is not None else ""
    return (
        f"{spent['answer tokens']} tokens answered to {spent['requests']} requests ({spent['prompt tokens']} prompt"
        f" tokens){money}."
    )
