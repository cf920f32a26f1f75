"""An audit for a terminal: the verdict, what was seen against every model, what it cost, and what else could be."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bitproof.audit.results import AuditReport
from bitproof.report.audit_words import OTHER_CAUSES, TESTS, cost, meter_words, model_rows, spending
from bitproof.report.evaluation_terminal import folded
from bitproof.report.safe import one_line
from bitproof.report.terminal import WIDE, Column, table

__all__ = ["audit_parts"]

NAME = 30  # characters of a name on a line, where there is little room
LIMIT = 600  # characters of a sentence that may hold the endpoint's words
DISTANCES = "Distances of logprobs from each model, root mean square in nats: seen; expected if it is served"


def audit_parts(report: AuditReport, *, width: int = WIDE) -> list[RenderableType]:
    """The parts to print, in their order; strings are lines, to be printed with markup=False."""
    parts: list[RenderableType] = [Text(one_line(report.words, LIMIT), style="bold"), ""]
    if model_rows(report) and not report.missing:  # with something missing they would be misread as a verdict
        parts += [_models(report, width), *_key(report, width), ""]
    return [*parts, *_lines(report)]


def _key(report: AuditReport, width: int) -> list[str]:
    more = "; expected if the reference is" if width >= WIDE else ""
    return [f"{DISTANCES}{more}."] if report.residuals else []


def _models(report: AuditReport, width: int) -> Table:
    wide, distances = width >= WIDE, bool(report.residuals)
    columns = [Column("model", figures=False), Column("posterior")]
    columns += [Column("fit, p"), Column("seen"), Column("if it")] if distances else []
    columns += [Column("if reference")] if distances and wide else []
    columns += [Column("", figures=False)]
    rows = []
    for row in model_rows(report):
        name = one_line(row.name) if wide else folded(one_line(row.name), NAME)
        figures = [row.fit.replace("\u00a0", ""), row.seen, row.if_it, *([row.if_reference] if wide else [])]
        rows.append([name, row.posterior, *(figures if distances else []), row.standing])
    return table(columns, rows)


def _lines(report: AuditReport) -> Iterator[str]:
    if report.n_places:
        yield meter_words(report)
    spent = cost(report)
    price = f"; {spent['USD']} USD" if report.cost_usd is not None else ""
    yield (
        f"{TESTS.get(report.test, 'No test')}: {spent['tokens read']} tokens read, of {spent['answer tokens']} answered"
        f" to {spent['questions']} questions ({spent['prompt tokens']} prompt tokens){price}."
    )
    yield spending(report)
    if report.how.get("rates"):
        yield one_line(report.how["rates"], LIMIT)
    if report.findings:
        yield f"Of the endpoint: {one_line('; '.join(report.findings), LIMIT)}."
    if report.outcome == "inconsistent":
        yield f"This says what was measured, not why. Other causes: {'; '.join(OTHER_CAUSES)}."
        yield "The raw answers, and the line that repeats this: --out FILE.html, or --out FILE.json."
