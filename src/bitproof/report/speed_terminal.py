"""A speed measurement as tables for a terminal: a row for each target and load; stages and reasons below.

Narrow terminals get the figures that decide: first token, p95, tokens per second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from bitproof.evaluate.speed_results import NO_DRAFT
from bitproof.report import figures
from bitproof.report.terminal import WIDE, Column, table
from bitproof.types import Estimate, NotMeasured

if TYPE_CHECKING:
    from bitproof.evaluate.speed_results import LoadSpeed, Percentiles, SpeedReport, TargetSpeed

NO_BOUND = "no bound"


def speed_parts(report: SpeedReport, *, width: int) -> list[Table | str]:
    """Everything that a terminal shows of a report."""
    parts: list[Table | str] = []
    if any(target.loads for target in report.targets):
        parts += [speed_table(report, width=width), "", stage_table(report), ""]
    if drafted(report):
        parts += [draft_table(report), ""]
    if report.guided:
        parts += [guided_table(report, width=width), ""]
    return [*parts, *speed_notes(report)]


def speed_table(report: SpeedReport, *, width: int) -> Table:
    """Latency and throughput of every target under every load, in seconds and tokens per second."""
    wide = width >= WIDE
    columns = [Column("target and load", figures=False), *([Column("answered")] if wide else [])]
    columns += [Column("first\ntoken, s"), *([Column("between\ntokens, ms"), Column("whole\np50, s")] if wide else [])]
    columns += [Column("whole\np95, s"), *([Column("whole\np99, s")] if wide else []), Column("tokens/s")]
    rows = []
    for name, load in _loads(report):
        answered = f"{load.n_answered}" + (f" of {load.n_answered + load.n_failed}" if load.n_failed else "")
        cells = [f"{name}, {load.load.name}", *([answered] if wide else []), _cell(load.first_token_s.p50, wide)]
        if wide:
            cells += [_cell(load.between_tokens_s.p50, wide, 1000), _cell(load.whole_s.p50, wide)]
        cells += [_cell(load.whole_s.p95, wide), *([_cell(load.whole_s.p99, wide)] if wide else [])]
        rows.append([*cells, _cell(load.tokens_per_s, wide)])
    return table(columns, rows)


def stage_table(report: SpeedReport) -> Table:
    """Mean milliseconds of a request in each stage."""
    names = list(dict.fromkeys(stage.name for _, load in _loads(report) for stage in load.stages))
    columns = [
        Column("stage, mean ms", figures=False),
        *(Column(name.replace(" ", "\n").replace(",", ""), figures=True) for name in names),
    ]
    rows = []
    for name, load in _loads(report):
        found = {stage.name: stage.seconds for stage in load.stages}
        rows.append([f"{name}, {load.load.name}", *(_plain(found.get(stage), 1000) for stage in names)])
    return table(columns, rows)


def draft_table(report: SpeedReport) -> Table:
    """What a draft model did for each target that had one."""
    columns = [Column("speculative decoding", figures=False), Column("of the draft's\ntokens taken, %")]
    columns += [Column("answers\nchanged, %"), Column("speed, times\nwithout draft")]
    rows = []
    for target in drafted(report):
        shares = (_two_lines(figure, _share) for figure in (target.draft_acceptance, target.answers_changed))
        rows.append([target.name, *shares, _two_lines(target.draft_speedup, figures.ratio)])
    return table(columns, rows)


def drafted(report: SpeedReport) -> list[TargetSpeed]:
    """The targets that had a draft model."""
    return [target for target in report.targets if target.draft_acceptance != NO_DRAFT]


def guided_table(report: SpeedReport, *, width: int) -> Table:
    """Guided against free decoding: what it repairs, and what it costs."""
    wide = width >= WIDE
    columns = [Column("target and slice", figures=False), *([Column("items")] if wide else [])]
    columns += [Column("valid, %\nfree"), Column("valid, %\nguided")]
    columns += [*([Column("right,\npoints")] if wide else []), Column("repaired,\nbroken"), Column("seconds,\nratio")]
    columns += [Column("tokens,\nratio"), Column("seconds a\ntoken, ratio")] if wide else []
    rows = []
    for row in report.guided:
        cells = [f"{row.target}, {row.slice}", *([f"{row.n_items}"] if wide else [])]
        cells += [_two_lines(figure, _share) for figure in (row.valid_free, row.valid_guided)]
        cells += [
            *([_two_lines(row.score_difference, figures.points)] if wide else []),
            f"{row.repaired}, {row.broken}",
        ]
        ratios = [row.time_ratio, *([row.token_ratio, row.token_time_ratio] if wide else [])]
        rows.append([*cells, *(_two_lines(figure, figures.ratio) for figure in ratios)])
    return table(columns, rows)


def speed_notes(report: SpeedReport) -> list[str]:
    """What the figures rest on, and why some are missing, each reason once."""
    lines = []
    if any(target.loads for target in report.targets):
        lines.append(
            f"Prompts of about {report.prompt_tokens} and answers of {report.answer_tokens} tokens on average, the "
            f"same for every target; Poisson arrivals at the same times (seed {report.seed}, sha256 "
            f"{report.prompts_digest[:12]}). At a rate, time counts from when a request was due."
        )
    for target in report.targets:
        lines.append(f"{target.name}: {target.engine} {target.version}".rstrip() + f"; {_memory(target)}.")
        if target.stopped:
            lines.append(f"{target.name}: stopped, because {target.stopped}.")
    for name, load in _loads(report):
        for why, n in load.failures.items():
            lines.append(f"{name}, {load.load.name}: {n} failed: {why}")
        if isinstance(load.invalid, int):
            lines.append(f"{name}, {load.load.name}: {load.invalid} of {load.n_answered} answers break the schema.")
        if load.load.rate_per_s and load.client_late_s > 0.05:
            lines.append(
                f"{name}, {load.load.name}: requests were sent up to {load.client_late_s:.2f} s late: "
                "this machine is too busy to measure this rate."
            )
    return [*lines, *_beside(report), *_reasons(report)]


def _beside(report: SpeedReport) -> Iterator[str]:
    """What is to be known of drafts and of guiding, and what was left out."""
    if drafted(report):
        yield (
            "A draft's tokens are verified several at a time, in another order of arithmetic than one by one: at "
            "temperature 0 an answer changes where two tokens are nearly as likely."
        )
    if report.guided:
        yield (
            f"Guided less free decoding at temperature 0, the same items (seed {report.seed}); right: valid, with the "
            "right values. Seconds are of whole answers, the compiling of the schema included."
        )
    for row in report.guided:
        where = f"{row.target}, {row.slice}"
        if row.cut_free or row.cut_guided:
            yield f"{where}: cut at their limit of tokens: {row.cut_free} free and {row.cut_guided} guided answers."
        if not row.n_items:
            yield f"{where}: not measured: no item was answered both ways."
        elif row.n_clusters < 2:
            yield f"{where}: no intervals, which need items of at least two clusters."
        if row.failed:
            why = "; ".join(f"{n} x {reason}" for reason, n in row.failures.items())
            yield f"{where}: {row.failed} items were not answered both ways: {why}"
    for what, how in report.how.items():
        yield f"{what}: {how}"


def _reasons(report: SpeedReport) -> list[str]:
    """Why figures of the table are missing or have no upper bound: reason -> where."""
    where: dict[str, list[str]] = {}
    for name, load in _loads(report):
        place = f"{name}, {load.load.name}"
        for stage in load.stages:
            if isinstance(stage.seconds, NotMeasured):
                where.setdefault(f"{stage.name} {figures.not_measured(stage.seconds)}", []).append(place)
        shown = [load.first_token_s.p50, *_all(load.whole_s), load.tokens_per_s]
        for figure in shown:
            if isinstance(figure, NotMeasured):
                where.setdefault(figures.not_measured(figure), []).append(place)
            elif no_bound(figure):
                where.setdefault(f"no upper bound: {figure.method}", []).append(place)
    every = len(list(_loads(report)))
    return [
        f"{reason} ({'every load' if len(set(places)) == every else '; '.join(dict.fromkeys(places))})"
        for reason, places in where.items()
    ]


def _all(found: Percentiles) -> tuple[Estimate | NotMeasured, ...]:
    return found.p50, found.p95, found.p99


def _loads(report: SpeedReport) -> Iterator[tuple[str, LoadSpeed]]:
    for target in report.targets:
        for load in target.loads:
            yield target.name, load


def _cell(figure: Estimate | NotMeasured, wide: bool, scale: float = 1.0) -> str:
    if isinstance(figure, NotMeasured):
        return "-"
    return f"{figures.number(scale * figure.value)}{' ' if wide else chr(10)}{_bounds(figure, scale)}"


def no_bound(figure: Estimate) -> bool:
    """Whether its interval is open above. JSON has no infinity: a report read back has NaN in its place."""
    return not math.isnan(figure.low) and not math.isfinite(figure.high)


def _bounds(figure: Estimate, scale: float) -> str:
    if math.isnan(figure.low):
        return ""
    places = figures.decimals(scale * figure.value)
    high = NO_BOUND if no_bound(figure) else f"{scale * figure.high:.{places}f}"
    return f"[{scale * figure.low:.{places}f}, {high}]"


def _plain(figure: Estimate | NotMeasured | None, scale: float) -> str:
    return "-" if figure is None or isinstance(figure, NotMeasured) else figures.number(scale * figure.value)


def _two_lines(figure: Estimate | NotMeasured, write: Callable[[Estimate], tuple[str, str]]) -> str:
    """`52.0` over `[31.3, 72.2]`; without an interval where there is none."""
    if isinstance(figure, NotMeasured):
        return "-"
    return write(figure)[0] if math.isnan(figure.low) else "\n".join(write(figure))


def _share(figure: Estimate) -> tuple[str, str]:
    value, interval = figures.percent(figure)
    return value.removesuffix(" %"), interval


def _memory(target: TargetSpeed) -> str:
    return f"peak memory {figures.size(target.peak_memory_bytes)}"
