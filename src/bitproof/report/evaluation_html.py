"""An evaluation as one self-contained page: no request, nothing that runs, light and dark, on screen and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from bitproof.audit.reveal_results import Reveal
from bitproof.evaluate.results import Curve, Evaluation, VariantResult
from bitproof.evaluate.speed_results import SpeedReport
from bitproof.report import evaluation as words
from bitproof.report import evaluation_charts as charts
from bitproof.report import figures, reveal_words
from bitproof.report.answers import Example, example
from bitproof.report.bands import divergence_bands, floor_nats
from bitproof.report.gates import gate_row, p_value
from bitproof.report.html import table_of
from bitproof.report.json_ import script_json
from bitproof.report.ladder import LadderReport
from bitproof.report.latency import latency
from bitproof.report.page import environment
from bitproof.report.safe import one_line
from bitproof.types import Estimate, NotMeasured

__all__ = ["EXTRACT", "embedded", "render"]

PANELS = 32  # curves drawn; the others are in the data
EXAMPLES = 3  # worst items shown of each variant
DATA_ID = "bitproof-data"
EXTRACT = (  # what takes the data out of a page: no "<" can stand in them
    "python3 -c \"import re, sys; page = open(sys.argv[1], encoding='utf-8').read(); "
    f"print(re.search(r'id=.{DATA_ID}.>([^<]*)', page)[1])\" report.html > report.json"
)


def render(
    evaluation: Evaluation,
    *,
    ladder: LadderReport | None,
    version: str,
    speed: SpeedReport | None = None,
    reveal: Reveal | NotMeasured | None = None,
) -> str:
    """The page as text; `version` is bitproof's own. Everything that comes from outside is escaped.

    `ladder`, `speed` and `reveal` add the divergence of the whole ladder, latency under load, and the demo's providers.
    """
    found = evaluation.recommendation
    chosen = next((row for row in evaluation.variants if found and row.name == found.chosen), None)
    by_size, unsized = charts.tradeoff(
        evaluation.variants,
        by_speed=False,
        reference_bytes=evaluation.reference_bytes,
        chosen=found.chosen if found else None,
    )
    by_speed, _ = charts.tradeoff(
        evaluation.variants,
        by_speed=True,
        reference_bytes=evaluation.reference_bytes,
        chosen=found.chosen if found else None,
    )
    curves = list(_curves(evaluation))
    return (
        environment()
        .get_template("evaluation.html")
        .render(
            evaluation=evaluation,
            verdict=words.verdict(evaluation),
            chosen=chosen and _overview(evaluation, chosen),
            missing=words.missing(evaluation) + _left_out(reveal),
            overview=[_overview(evaluation, row) for row in evaluation.variants],
            noise=[_overview(evaluation, row) for row in evaluation.noise],
            grid=words.grid(evaluation),
            diverges=words.diverges(words.grid(evaluation)),
            undecidable=list(words.undecidable(evaluation)),
            undecided=words.UNDECIDED,
            steps=[100 * step for step in words.STEPS],
            marks=words.MARKS,
            rungs=_rungs(evaluation),
            cliffs=list(_cliffs(evaluation)),
            curves=curves,
            n_curves=sum(len(row.curves) for row in evaluation.variants),
            n_drawn=sum(len(panels) for *_, panels in curves),
            by_size=Markup(by_size),  # drawn here, as are the others; their text is escaped by vl-convert
            by_speed=Markup(by_speed),
            unsized=unsized,
            bands=Markup(divergence_bands(evaluation.variants, evaluation.noise)),
            floor=floor_nats(evaluation.noise),
            examples=[(row.name, shown, len(row.worst)) for row in evaluation.variants if (shown := _examples(row))],
            latency=speed and latency(speed),
            title=lambda name: words.title(evaluation, name),
            ladder=ladder and table_of(ladder),
            reveal=_reveal(reveal),
            sub="h3",
            size=figures.size,
            data=Markup(embedded(evaluation, ladder, speed, reveal)),  # escaped by embedded()
            data_id=DATA_ID,
            extract=EXTRACT,
            version=version,
        )
    )


def embedded(
    evaluation: Evaluation,
    ladder: LadderReport | None = None,
    speed: SpeedReport | None = None,
    reveal: Reveal | NotMeasured | None = None,
) -> str:
    """The data for a script element, see `script_json`."""
    return script_json({"evaluation": evaluation, "ladder": ladder, "speed": speed, "reveal": reveal})


def _reveal(reveal: Reveal | NotMeasured | None) -> dict[str, Any] | None:
    if not isinstance(reveal, Reveal):
        return None
    return {
        "intro": reveal_words.intro(reveal),
        "command": reveal_words.command(reveal),
        "rows": [reveal_words.provider_row(one) for one in reveal.providers],
        "headline": reveal_words.headline(reveal),
        "others": [(one.name, reveal_words.revealed(one)) for one in reveal.providers if one.finding != "named"],
        "seal": reveal.seal,
        "check": reveal_words.check(reveal),
    }


def _left_out(reveal: Reveal | NotMeasured | None) -> list[tuple[str, str]]:
    return [("Three providers", reveal.reason)] if isinstance(reveal, NotMeasured) else []


def _overview(evaluation: Evaluation, row: VariantResult) -> dict[str, Any]:
    overall = row.overall
    size, whole = row.size_bytes, evaluation.reference_bytes
    share = f"{100 * size / whole:.0f} %" if isinstance(size, int) and isinstance(whole, int) and whole else ""
    mark, standing = words.standing(evaluation, row.name)
    return {
        "name": row.name,
        "describe": row.describe,
        "size": "–" if isinstance(size, NotMeasured) else figures.size(size),
        "share": share,
        "bits": "–" if isinstance(row.bits_per_parameter, NotMeasured) else figures.bits(row.bits_per_parameter),
        "difference": _pair(overall.difference, figures.points),
        "lost": overall.lost,
        "gained": overall.gained,
        "kl": _pair(overall.kl_nats, lambda kl: (figures.number(kl.value), figures.interval(kl))),
        "changed": _pair(overall.answers_changed, figures.percent),
        "draft": row.as_draft
        and {
            "acceptance": _pair(row.as_draft.acceptance, figures.percent),
            "taken": _pair(row.as_draft.taken, figures.percent),
            "tokens_per_pass": _pair(
                row.as_draft.tokens_per_pass, lambda mean: (figures.number(mean.value), figures.interval(mean))
            ),
            "proposed": row.as_draft.draft_tokens,
        },
        "speed": _pair(row.tokens_per_s, lambda speed: (figures.number(speed.value), figures.interval(speed))),
        "has_speed": isinstance(row.tokens_per_s, Estimate),
        "mark": mark,
        "standing": standing,
    }


def _pair(value: Estimate | NotMeasured, write: Any) -> tuple[str, str]:
    return ("–", "") if isinstance(value, NotMeasured) else write(value)


def _rungs(evaluation: Evaluation) -> list[dict[str, Any]]:
    found = evaluation.recommendation
    if found is None:
        return []
    sizes = {row.name: figures.size(row.size_bytes) for row in evaluation.variants if isinstance(row.size_bytes, int)}
    return [
        {
            "variant": rung.variant,
            "size": sizes.get(rung.variant, ""),
            "outcome": rung.outcome if rung.tested else "not tested",
            "tested": rung.tested,
            "chosen": rung.variant == found.chosen,
            "standing": words.standing(evaluation, rung.variant),
            "why": rung.why,
            "gates": [gate_row(gate) for gate in rung.gates],
        }
        for rung in found.rungs
    ]


def _cliffs(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for variant in evaluation.variants:
        for cliff in variant.cliffs:
            if cliff.found:
                yield {
                    "variant": variant.name,
                    "name": words.cliff_name(evaluation, cliff.name),
                    "contrast": figures.points(cliff.contrast),
                    "group": figures.points(cliff.group),
                    "rest": figures.points(cliff.rest),
                    "p": p_value(cliff.p_holm),
                }


def _curves(evaluation: Evaluation) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(slice, unit of its panels, panels), those with a cliff or a trend first, until there are enough panels."""
    by_slice: dict[str, list[Curve]] = {}
    for variant in evaluation.variants:
        for curve in variant.curves:
            by_slice.setdefault(curve.slice, []).append(curve)
    fallen = {cliff.name for variant in evaluation.variants for cliff in variant.cliffs if cliff.found}
    order = sorted(
        by_slice,
        key=lambda name: (
            not any(group == name or group.startswith(f"{name} ") for group in fallen),
            not any(_trends(curve) for curve in by_slice[name]),
        ),
    )
    left = PANELS
    for name in order:
        domain = charts.curve_domain(by_slice[name])
        panels = []
        for curve in by_slice[name][:left]:
            if drawn := charts.curve_panel(curve, domain):
                panels.append({"variant": one_line(curve.variant, 60), "svg": Markup(drawn), "trend": _trend(curve)})
        left -= len(panels)
        if panels:
            difference = any(charts.measured(curve)[1] for curve in by_slice[name])
            yield name, "points" if difference else "nats per token", panels
        if left <= 0:
            return


def _trends(curve: Curve) -> bool:
    return isinstance(curve.trend, Estimate) and curve.trend.high < 0


def _trend(curve: Curve) -> str:
    if isinstance(curve.trend, NotMeasured):
        return ""
    value, interval = figures.points(curve.trend)
    return f"{value} {interval} {curve.trend_unit}"


def _examples(row: VariantResult) -> list[Example]:
    return [example(pair) for pair in row.worst[:EXAMPLES]]
