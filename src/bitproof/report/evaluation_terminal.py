"""An evaluation for a terminal: the verdict and what was not measured, slices x variants, requirements, cliffs.

Only ASCII marks and words: they survive every terminal, pipe and `grep`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bitproof.evaluate.results import Evaluation, VariantResult
from bitproof.report import evaluation as words
from bitproof.report import figures
from bitproof.report.evaluation import Cell, Row
from bitproof.report.gates import gate_row, p_value
from bitproof.report.safe import one_line
from bitproof.report.terminal import WIDE, Column, table
from bitproof.stats.decision import Outcome
from bitproof.types import Estimate, NotMeasured

__all__ = ["cliff_table", "evaluation_parts", "gate_table", "overview_table", "slice_tables"]

MARKS: dict[Outcome, str] = {"pass": "pass", "fail": "FAIL", "inconclusive": "?", "not measurable": "n/m"}
LEGEND = f"Differences of scores in points, variant less reference. ~ {words.UNDECIDED}."
DIVERGENCE = " KL: not measurable by outcome; divergence in nats per token."
GAP = 2  # columns between two columns of a table


def evaluation_parts(evaluation: Evaluation, *, width: int) -> list[RenderableType]:
    """Everything, in the order to be read; strings are lines, to be printed with markup=False."""
    parts: list[RenderableType] = [*_verdict(evaluation), ""]
    parts += _spaced(slice_tables(evaluation, width=width))
    parts += [LEGEND + (DIVERGENCE if words.diverges(words.grid(evaluation)) else "")]
    parts += [*(f"{one_line(where)}: {one_line(why)}" for where, why in words.undecidable(evaluation)), ""]
    if evaluation.variants:
        parts += [overview_table(evaluation, width=width), ""]
    if evaluation.recommendation:
        parts += [gate_table(evaluation, width=width), *(() if width >= WIDE else _evidence(evaluation)), ""]
    if any(cliff.found for row in evaluation.variants for cliff in row.cliffs):
        parts += [cliff_table(evaluation, width=width), ""]
    return [*parts, *(one_line(caveat, 1000) for caveat in evaluation.caveats)]


def _verdict(evaluation: Evaluation) -> Iterator[RenderableType]:
    found = words.verdict(evaluation)
    yield Text(f"{found.label}: {one_line(found.headline)}", style="bold")
    if found.words:
        yield one_line(found.words, 1000)
    for what, why in words.missing(evaluation):
        yield f"Not measured: {one_line(what)}: {one_line(why, 500)}"


def _spaced(tables: Sequence[Table]) -> Iterator[RenderableType]:
    for made in tables:
        yield made
        yield ""


def slice_tables(evaluation: Evaluation, *, width: int) -> list[Table]:
    """Slices x variants; several tables where the variants do not fit beside each other."""
    rows = words.grid(evaluation)
    wide = width >= WIDE
    name = min(max((len(row.title) for row in rows), default=5), 34 if wide else 22)
    cells = [[_cell(cell, wide) for cell in row.cells] for row in rows]
    longest = max((len(line) for row in cells for cell in row for line in cell.split("\n")), default=8)
    fits = max(1, (width - name - GAP - (len("reference") + GAP)) // (longest + GAP))
    return [
        _slice_table(rows, cells, evaluation.variants[start : start + fits], start, max(longest, 12))
        for start in range(0, len(evaluation.variants), fits)
    ]


def _slice_table(
    rows: Sequence[Row], cells: Sequence[Sequence[str]], variants: Sequence[VariantResult], start: int, width: int
) -> Table:
    headings = [folded(one_line(row.name), width) for row in variants]
    columns = [Column("slice", figures=False), Column("reference"), *(Column(heading) for heading in headings)]
    shown = [
        [one_line(row.title), row.reference[0], *line[start : start + len(variants)]]
        for row, line in zip(rows, cells, strict=True)
    ]
    return table(columns, shown, best=len(shown) - 1)


def _cell(cell: Cell, wide: bool) -> str:
    mark = MARKS[cell.outcome] if cell.outcome else "~" if cell.undecided else ""
    value = f"KL {cell.value}" if cell.kind == "divergence" else cell.value.replace("–", "-")
    if wide:
        return " ".join(part for part in (value, cell.interval, mark) if part)
    interval = cell.interval.replace(", ", ",\n") if cell.kind == "divergence" else cell.interval
    return "\n".join(part for part in (f"{value} {mark}".rstrip(), interval) if part)


def folded(name: str, width: int) -> str:
    """`name` on lines of at most `width`, broken after its punctuation where possible."""
    lines = [""]
    for part in re.findall(r"[^-._+/:]*[-._+/:]|[^-._+/:]+", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line[start : start + width] for line in lines for start in range(0, max(len(line), 1), width))


def overview_table(evaluation: Evaluation, *, width: int) -> Table:
    """One row a variant: what it costs and what it loses over all items."""
    wide = width >= WIDE
    columns = [Column("variant", figures=False), *([Column("size")] if wide else []), Column("all items")]
    columns += [Column("lost, gained"), Column("other words")] if wide else []
    columns += [Column("KL, nats/token")]
    speed = any(isinstance(row.tokens_per_s, Estimate) for row in evaluation.variants)
    columns += [Column("tokens/s")] if speed else []
    columns += [Column("", figures=False)] if wide else []
    rows = []
    for row in evaluation.variants:
        overall, standing = row.overall, words.standing(evaluation, row.name)[1]
        size = "-" if isinstance(row.size_bytes, NotMeasured) else figures.size(row.size_bytes)
        below = ", ".join(part for part in (size, standing) if part)
        cells = [one_line(row.name), size] if wide else [f"{one_line(row.name)}\n{below}"]
        cells.append(_figure(overall.difference, "points", wide))
        if wide:
            cells += [f"{overall.lost}, {overall.gained}", _figure(overall.answers_changed, "percent", wide)]
        cells.append(_figure(overall.kl_nats, "number", wide))
        cells += [_figure(row.tokens_per_s, "number", wide)] if speed else []
        rows.append([*cells, *([standing] if wide else [])])
    chosen = evaluation.recommendation.chosen if evaluation.recommendation else None
    names = [row.name for row in evaluation.variants]
    return table(columns, rows, best=names.index(chosen) if chosen in names else None)


def _figure(value: Estimate | NotMeasured, how: str, wide: bool) -> str:
    if isinstance(value, NotMeasured):
        return "-"
    if how == "number":
        pair = figures.number(value.value), figures.interval(value)
    else:
        pair = figures.points(value) if how == "points" else figures.percent(value)
    return (" " if wide else "\n").join(pair)


def gate_table(evaluation: Evaluation, *, width: int) -> Table:
    """Every requirement of every variant; where there is room, with the evidence."""
    wide = width >= WIDE
    columns = [Column("variant", figures=False), Column("requirement", figures=False), Column("outcome", figures=False)]
    columns += [Column("measured")]
    columns += [Column("evidence", figures=False), Column("what would decide it", figures=False)] if wide else []
    rows = []
    for rung in evaluation.recommendation.rungs if evaluation.recommendation else ():
        for number, gate in enumerate(rung.gates):
            row = gate_row(gate)
            name = one_line(rung.variant) + ("" if rung.tested else " (not tested)")
            name = "" if number else name if wide else folded(name, 23)
            outcome = row.outcome.upper() if row.outcome == "fail" else row.outcome
            figure = " ".join(part for part in row.figure if part).replace("–", "-")
            cells = [name, one_line(row.requirement), outcome, figure]
            rows.append([*cells, *((one_line(row.evidence, 400), row.decides) if wide else ())])
    return table(columns, rows)


def _evidence(evaluation: Evaluation) -> Iterator[str]:
    """The evidence of what was not met, as lines: where there is no room in the table."""
    for rung in evaluation.recommendation.rungs if evaluation.recommendation else ():
        for gate in rung.gates:
            row = gate_row(gate)
            if row.outcome != "pass" and rung.tested:
                decides = f"; would decide it: {row.decides}" if row.decides else ""
                yield f"{one_line(rung.variant)}, {one_line(row.requirement)}: {one_line(row.evidence, 400)}{decides}"


def cliff_table(evaluation: Evaluation, *, width: int) -> Table:
    """Where variants lose significantly more than elsewhere."""
    wide = width >= WIDE
    columns = [Column("variant", figures=False), Column("cliff", figures=False), Column("beyond the rest")]
    columns += [Column("there"), Column("the rest")] if wide else []
    columns += [Column("p, Holm")]
    rows = []
    for variant in evaluation.variants:
        for cliff in (one for one in variant.cliffs if one.found):
            found = [_figure(cliff.contrast, "points", wide)]
            found += [_figure(cliff.group, "points", wide), _figure(cliff.rest, "points", wide)] if wide else []
            where = one_line(words.cliff_name(evaluation, cliff.name))
            rows.append([one_line(variant.name), where, *found, p_value(cliff.p_holm).replace("\u00a0", " ")])
    return table(columns, rows)
