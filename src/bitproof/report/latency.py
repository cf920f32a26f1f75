"""Speed for a page: a drawing of the latency under load, and the rows of tables."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import altair
from markupsafe import Markup

from bitproof.report import figures
from bitproof.report.safe import one_line
from bitproof.report.speed_terminal import NO_BOUND, drafted, no_bound, speed_notes
from bitproof.report.svg import ACCENT, INK, data, draw, styled
from bitproof.types import Estimate, NotMeasured

if TYPE_CHECKING:
    from bitproof.evaluate.speed_results import GuidedEffect, LoadSpeed, SpeedReport, TargetSpeed

WIDTH, ROW = 520, 24


def latency(report: SpeedReport) -> dict[str, Any]:
    """What the section shows: a `chart`, the rows of its tables, and `notes`; `stages` are the columns of one."""
    loads = [(target.name, load) for target in report.targets for load in target.loads]
    stages = list(dict.fromkeys((stage.name, stage.by) for _, load in loads for stage in load.stages))
    return {
        "chart": Markup(latency_chart(loads)),  # drawn here; its text is escaped by vl-convert
        "rows": [_row(name, load) for name, load in loads],
        "stages": stages,
        "stage_rows": [_stage_row(name, load, [stage for stage, _ in stages]) for name, load in loads],
        "drafts": [_draft_row(target) for target in drafted(report)],
        "guided": [_guided_row(row) for row in report.guided],
        "notes": speed_notes(report),
    }


def latency_chart(loads: list[tuple[str, LoadSpeed]]) -> str:
    """Whole requests, p50 to p99, one row for each target and load; empty where no median was measured."""
    rows = []
    for number, (name, load) in enumerate(loads):
        found = [load.whole_s.p50, load.whole_s.p95, load.whole_s.p99]
        known = [point.value for point in found if isinstance(point, Estimate) and math.isfinite(point.value)]
        if isinstance(found[0], Estimate) and known:
            values = {key: point.value for key, point in zip("abc", found, strict=True) if isinstance(point, Estimate)}
            label = f"{one_line(name, 30)}, {load.load.name}"
            rows.append({"row": f"{number:03d}", "label": label, "end": max(known), **values})
    if not rows:
        return ""
    names = {row["row"]: row["label"] for row in rows}
    scale = altair.Scale(domain=(0, 1.05 * max(float(str(row["end"])) for row in rows)), nice=False)
    names_axis = altair.Axis(
        title=None,
        labelExpr=f"{json.dumps(names)}[datum.value]",
        labelLimit=280,
        labelPadding=8,
        ticks=False,
        domain=False,
    )
    y = altair.Y("row:O", axis=names_axis)
    axis = altair.Axis(title="whole request, seconds", tickCount=7, format="~f")
    base = data(rows)
    layers = [
        base.mark_rule(color=ACCENT, strokeWidth=2, opacity=0.5).encode(
            x=altair.X("a:Q", scale=scale, axis=axis), x2="end:Q", y=y
        ),
        *(
            base.transform_filter(f"isValid(datum.{key})")
            .mark_point(shape=shape, filled=True, size=size, color=colour, opacity=1)
            .encode(x=altair.X(f"{key}:Q", scale=scale), y=y)
            for key, shape, size, colour in (
                ("a", "circle", 60, INK),
                ("b", "square", 45, ACCENT),
                ("c", "triangle-right", 55, ACCENT),
            )
        ),
    ]
    chart = styled(altair.layer(*layers), width=WIDTH, height=ROW * len(rows))
    return draw(chart, "Latency of whole requests under load", natural=True)


def _row(name: str, load: LoadSpeed) -> dict[str, Any]:
    first, whole = load.first_token_s, load.whole_s
    return {
        "name": name,
        "load": load.load.name,
        "answered": f"{load.n_answered:,} of {load.n_answered + load.n_failed:,}",
        "first": [_figure(point) for point in (first.p50, first.p95)],
        "between": _figure(load.between_tokens_s.p50, 1000),
        "whole": [_figure(point) for point in (whole.p50, whole.p95, whole.p99)],
        "speed": _figure(load.tokens_per_s),
    }


def _stage_row(name: str, load: LoadSpeed, stages: list[str]) -> dict[str, Any]:
    found = {stage.name: stage.seconds for stage in load.stages}
    return {
        "name": name,
        "load": load.load.name,
        "stages": [_figure(found.get(stage, NotMeasured("not told")), 1000) for stage in stages],
    }


def _draft_row(target: TargetSpeed) -> dict[str, Any]:
    return {
        "name": target.name,
        "taken": _written(target.draft_acceptance, figures.percent),
        "changed": _written(target.answers_changed, figures.percent),
        "speedup": _written(target.draft_speedup, figures.ratio),
    }


def _guided_row(row: GuidedEffect) -> dict[str, Any]:
    return {
        "name": row.target,
        "slice": row.slice,
        "n_items": row.n_items,
        "valid": [_written(figure, figures.percent) for figure in (row.valid_free, row.valid_guided)],
        "right": [_written(figure, figures.percent) for figure in (row.score_free, row.score_guided)],
        "difference": _written(row.score_difference, figures.points),
        "moved": f"{row.repaired}, {row.broken}",
        "ratios": [
            _written(figure, figures.ratio) for figure in (row.time_ratio, row.token_ratio, row.token_time_ratio)
        ],
    }


def _written(value: Estimate | NotMeasured, write: Callable[[Estimate], tuple[str, str]]) -> tuple[str, str]:
    if isinstance(value, NotMeasured):
        return "–", ""
    return (write(value)[0], "") if math.isnan(value.low) else write(value)


def _figure(value: Estimate | NotMeasured, scale: float = 1.0) -> tuple[str, str]:
    """A figure and its interval, which may have no upper bound."""
    if isinstance(value, NotMeasured):
        return "–", ""
    shown = figures.number(scale * value.value)
    if math.isnan(value.low):
        return shown, ""
    places = figures.decimals(scale * value.value)
    high = NO_BOUND if no_bound(value) else f"{scale * value.high:.{places}f}"
    return shown, f"[{scale * value.low:.{places}f}, {high}]"
