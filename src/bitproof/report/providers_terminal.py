"""Providers side by side for a terminal: what each serves, how good it is, what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bitproof.audit.provider_results import ProvidersReport
from bitproof.report.evaluation_terminal import folded
from bitproof.report.providers_words import NOT_WHY, Pair, ProviderRow, details, headline, notes, provider_row
from bitproof.report.terminal import WIDE, Column, table

__all__ = ["providers_parts"]

NAME, CLOSEST = 14, 16  # characters of a line, where there is little room
Cell = tuple[str, bool, Callable[[ProviderRow], str]]  # a heading, whether it holds figures, and what stands below


def providers_parts(report: ProvidersReport, *, width: int = WIDE) -> list[RenderableType]:
    """The parts to print, in their order; strings are lines, to be printed with markup=False."""
    rows = [provider_row(one) for one in report.providers]
    parts: list[RenderableType] = [Text(headline(report), style="bold"), "", _precision(rows, width), ""]
    if report.suite:
        parts += [_quality(rows, width), ""]
    parts += [_money(rows, width), ""]
    for one in report.providers:
        parts += [Text(f"{one.name}:", style="bold"), *(Padding(Text(line), (0, 0, 0, 2)) for line in details(one))]
    return [*parts, "", *notes(report), *([NOT_WHY] if report.reference else [])]


def _precision(rows: Sequence[ProviderRow], width: int) -> Table:
    cells: list[Cell] = [
        (
            "verdict",
            False,
            lambda row: _joined((row.outcome, _folded(row.closest, CLOSEST, width)), width, between=": "),
        ),
        ("effective bits", True, lambda row: _joined(row.bits, width)),
        ("agreement", True, lambda row: _joined(row.agreement, width)),
        ("disclosed", False, lambda row: _joined(_disclosed(row), width, between=", ")),
    ]
    may_be: list[Cell] = [("may be", False, lambda row: row.worst)] if width >= WIDE else []
    return _table([*cells, *may_be], rows, width)


def _quality(rows: Sequence[ProviderRow], width: int) -> Table:
    difference: list[Cell] = [("difference", True, lambda row: _joined(row.difference, width))]
    cells: list[Cell] = [
        ("retained", True, lambda row: _joined(row.retained, width)),
        ("completed", True, lambda row: _joined(row.completed, width)),
        ("tool calls", True, lambda row: _joined(row.tool_calls, width)),
        ("JSON", True, lambda row: _joined(row.schema, width)),
    ]
    score: Cell = ("score", True, lambda row: _joined(row.score, width))
    return _table([score, *(difference if width >= WIDE else []), *cells], rows, width)


def _money(rows: Sequence[ProviderRow], width: int) -> Table:
    per_thousand: Cell = ("per 1,000", True, lambda row: row.per_thousand)
    per_retained: Cell = ("per retained", True, lambda row: _joined(row.per_retained, width))
    if width < WIDE:
        narrow: list[Cell] = [
            ("p50, s\np95", True, lambda row: f"{row.p50[0]}\n{row.p95[0]}"),
            ("USD in\nout", True, lambda row: row.price.replace(" / ", "\n")),
            per_thousand,
            per_retained,
            ("margin claimed\nmeasured", True, lambda row: "\n".join(row.margins)),
        ]
        return _table(narrow, rows, width)
    wide: list[Cell] = [
        ("p50, s", True, lambda row: _joined(row.p50, width)),
        ("p95, s", True, lambda row: _joined(row.p95, width)),
        ("USD in / out", True, lambda row: row.price),
        per_thousand,
        per_retained,
        ("margin claimed", True, lambda row: row.margins[0]),
        ("measured", True, lambda row: row.margins[1]),
    ]
    return _table(wide, rows, width)


def _disclosed(row: ProviderRow) -> Pair:
    return row.disclosed, "" if row.standing == row.disclosed else row.standing


def _table(cells: Sequence[Cell], rows: Sequence[ProviderRow], width: int) -> Table:
    columns = [Column("endpoint", figures=False), *(Column(heading, figures=numbers) for heading, numbers, _ in cells)]
    return table(
        columns,
        [
            [_joined((_folded(row.name, NAME, width), row.mark), width), *(write(row) for *_, write in cells)]
            for row in rows
        ],
    )


def _folded(text: str, limit: int, width: int) -> str:
    return text if width >= WIDE else folded(text, limit)


def _joined(parts: Pair, width: int, *, between: str = " ") -> str:
    """A figure and what belongs to it, on one line where there is room."""
    return (between if width >= WIDE else "\n").join(part for part in parts if part)
