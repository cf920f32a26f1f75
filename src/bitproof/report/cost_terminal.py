"""Costs as tables for a terminal; a mark behind each column's heading says what its figures rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from bitproof.report import figures
from bitproof.report.terminal import WIDE, Column, table
from bitproof.types import NotMeasured

if TYPE_CHECKING:
    from bitproof.evaluate.cost_results import CostReport, CostRow, Figure

MARKS = {
    "measured": "M",
    "roofline": "R",
    "list price": "L",
    "unverified": "U",
    "computed": "C",
    "files": "F",
    "given": "G",
}
KEY = (
    "M measured, R roofline (speed at most, cost at least), L list price, U list price not verified, C computed, "
    "F from files, G given"
)


def cost_table(report: CostReport, *, width: int) -> Table:
    """Every model on every device."""
    rows = report.rows
    names = [[row.model for row in rows], [_device(row) for row in rows]]
    numbers: list[tuple[str, Iterable[Figure | NotMeasured], Callable[[float], str]]] = [
        ("weights\nGiB", (row.weights_gib for row in rows), figures.number),
        ("KV a user\nGiB", (row.kv_gib_per_user for row in rows), figures.number),
        ("users\nfit", (row.users_that_fit for row in rows), _whole),
        ("tokens/s", (row.tokens_per_s for row in rows), _speed),
        ("first\ntoken s", (row.first_token_s for row in rows), figures.number),
        ("kWh/M", (row.kwh_per_million for row in rows), figures.number),
        ("rented\nUSD/M", (row.usd_per_million for row in rows), figures.number),
        ("owned\nUSD/M", (row.own_usd_per_million for row in rows), figures.number),
        ("input\nUSD/M", (row.usd_per_million_input for row in rows), figures.number),
        ("output\nUSD/M", (row.usd_per_million_output for row in rows), figures.number),
    ]
    if width < WIDE:
        numbers = [numbers[place] for place in (0, 3, 6, 7)]
    columns = [Column("model", figures=False), Column("on", figures=False)]
    cells = names
    for heading, values, write in numbers:
        marks, column = _column(list(values), write)
        columns.append(Column(f"{heading} {marks}".rstrip()))
        cells.append(column)
    columns.insert(3 if width < WIDE else 5, Column("users\nserved"))
    cells.insert(3 if width < WIDE else 5, [f"{row.batch}" for row in rows])
    return table(columns, zip(*cells, strict=True))


def _device(row: CostRow) -> str:
    return f"{row.n_devices} x {row.device}" if row.n_devices > 1 else row.device


def _column(values: Sequence[Figure | NotMeasured], write: Callable[[float], str]) -> tuple[str, list[str]]:
    """The marks that all figures of a column share, and its cells; the cells carry their own where they differ."""
    found = {_marks(value.basis) for value in values if not isinstance(value, NotMeasured)}
    if len(found) != 1:
        return "", [_cell(value, write) for value in values]
    return found.pop(), ["-" if isinstance(value, NotMeasured) else write(value.value) for value in values]


def break_even_table(report: CostReport) -> Table:
    """Devices against APIs: from which volume they are cheaper."""
    columns = [Column("model", figures=False), Column("on", figures=False), Column("against", figures=False)]
    columns += [
        Column("USD a\nmonth"),
        Column("break-even\nM tokens a month", figures=False),
        Column("serves\nat most"),
    ]
    rows = []
    for pair in report.break_even:
        volume = pair.million_tokens_per_month
        said = volume.reason if isinstance(volume, NotMeasured) else _cell(volume, _whole)
        rows.append(
            [
                pair.model,
                f"{pair.device}, {pair.how}",
                pair.api,
                _cell(pair.fixed_usd_per_month, _whole),
                said,
                _cell(pair.capacity_million_tokens, _whole),
            ]
        )
    return table(columns, rows)


def margin_table(report: CostReport) -> Table:
    """What a provider keeps of its price."""
    columns = [Column("API", figures=False), Column("on", figures=False), Column("served at", figures=False)]
    columns += [Column("price, USD\nper 1,000"), Column("cost"), Column("margin")]
    rows = []
    for each in report.margins:
        for label, variant, cost, kept in (
            ("claimed", each.claimed, each.cost_claimed_usd, each.margin_claimed),
            ("detected", each.detected, each.cost_detected_usd, each.margin_detected),
        ):
            rows.append(
                [
                    each.api,
                    each.device,
                    f"{variant} ({label})",
                    _cell(each.usd_per_request, _per_thousand),
                    _cell(cost, _per_thousand),
                    _cell(kept, _percent),
                ]
            )
    return table(columns, rows)


def cost_notes(report: CostReport) -> list[str]:
    """The terms, the sources, and why figures are missing."""
    terms = report.terms
    lines = [
        f"{KEY}.",
        f"Requests of {terms.prompt_tokens:,} + {terms.answer_tokens:,} tokens; memory for {terms.context:,} tokens a "
        f"user; rented and owned are a million answer tokens with the prompts they need, input and output a million of "
        "each, as APIs price them. "
        f"{100 * terms.efficiency:g} % of the roofline, {100 * terms.usable:g} % of the memory, PUE {terms.pue:g}, "
        f"{terms.years:g} years, {100 * terms.utilisation:g} % utilisation.",
    ]
    lines += [f"{name}: {source}." for name, source in report.sources.items()]
    lines += [f"{what}: {why}." for what, why in report.refused.items()]
    reasons: dict[str, None] = {}
    for row in report.rows:
        reasons |= dict.fromkeys(f"{note}." for note in row.notes)
        for figure in (row.usd_per_million, row.own_usd_per_million):
            if isinstance(figure, NotMeasured):
                reasons[f"{figures.not_measured(figure)}."] = None
    return [*lines, *reasons]


def _cell(figure: Figure | NotMeasured, write: Callable[[float], str] = figures.number) -> str:
    """`0.286 RL`: the figure, and what it rests on."""
    if isinstance(figure, NotMeasured):
        return "-"
    return f"{write(figure.value)} {_marks(figure.basis)}"


def _marks(basis: Sequence[str]) -> str:
    return "".join(MARKS[each] for each in basis)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else figures.number(value)


def _per_thousand(value: float) -> str:
    return figures.number(1000 * value)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
