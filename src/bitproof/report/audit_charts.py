"""Drawings of an audit: residual profiles, the noise meter on the scale of the ladder, and the posterior.

Blue is the reference, orange the closest variant, ink what was seen; each has a shape of its own too. An empty text
where there is nothing to draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import altair

from bitproof.audit.meter import MOST_BITS
from bitproof.audit.profile import REFERENCE
from bitproof.audit.results import AuditReport
from bitproof.report.safe import one_line
from bitproof.report.svg import ACCENT, BAD, FAINT, INK, LINE, SOFT, data, draw, log_ticks, pixels, styled

__all__ = ["closest_variant", "meter", "posterior", "residual_profile"]

ROW, WIDTH = 24, 540  # pixels
METER = (680, 96)
NAME = 34  # characters of a name in a drawing
FEWEST, BARS = 5, 12  # bars
LEAST = 0.0005  # posterior of a bar beyond the fewest
APART = 52.0  # pixels between two labels of the meter's scale


def closest_variant(report: AuditReport) -> str:
    """The likeliest of the credible names that is a variant with a residual profile; empty where none is."""
    return next((name for name in report.closest if name in report.expected and name != REFERENCE), "")


def residual_profile(report: AuditReport) -> str:
    """Distance from every model, one row each: as seen, and as it would be if the reference or another were served."""
    order = [n for n in _order(report) if math.isfinite(report.residuals[n])]
    if not order:
        return ""
    named = closest_variant(report)
    labels = _labels(report.names[n] for n in order)
    values = [
        {"of": f"{number}", "row": row, "name": labels[row], "nats": math.exp(profile[n]), "kind": _kind(of, named)}
        for number, (of, profile) in enumerate([("", report.residuals), *report.expected.items()])
        for row, n in enumerate(order)
        if math.isfinite(profile[n])
    ]
    domain = _widened([math.exp(r) for one in (report.residuals, *report.expected.values()) for r in one], 1.2)
    axis = altair.Axis(
        values=log_ticks(*domain), format="~g", title="distance from the model in this row, nats (root mean square)"
    )
    x = altair.X("nats:Q", scale=altair.Scale(type="log", domain=domain, nice=False), axis=axis)
    y = altair.Y(
        "name:N",
        sort=labels,
        axis=altair.Axis(title=None, labelLimit=250, labelPadding=10, ticks=False, domain=False, grid=True),
    )
    base = data(values)

    def line(kind: str, **mark: Any) -> Any:
        made = base.transform_filter(f"datum.kind == '{kind}'").mark_line(**mark)
        return made.encode(x=x, y=y, detail="of:N", order=altair.Order("row:Q"))

    def points(kind: str, **mark: Any) -> Any:
        return base.transform_filter(f"datum.kind == '{kind}'").mark_point(opacity=1, **mark).encode(x=x, y=y)

    layers = [
        line("other", color=FAINT, strokeWidth=1, opacity=0.35),
        line("reference", color=ACCENT, strokeWidth=1.6, strokeDash=[5, 3]),
        line("closest", color=BAD, strokeWidth=1.6),
        points("reference", color=ACCENT, shape="square", size=110, strokeWidth=1.6),
        points("closest", color=BAD, shape="circle", size=150, strokeWidth=1.8),
        points("seen", color=INK, shape="circle", filled=True, size=42),
    ]
    spoken = "Distance of what was served from every model, and what it would be if each model were served"
    return draw(styled(altair.layer(*layers), width=WIDTH, height=ROW * len(order)), spoken, natural=True)


def _order(report: AuditReport) -> list[int]:
    """Numbers of the models, by their distance from the reference: so its own line rises."""
    if not report.residuals:
        return []
    own = report.expected.get(REFERENCE, report.residuals)
    return sorted(range(len(report.names)), key=lambda n: own[n])


def _kind(of: str, named: str) -> str:
    return {named: "closest", REFERENCE: "reference", "": "seen"}.get(of, "other")


def meter(report: AuditReport) -> str:
    """The noise in nats with its interval, on the noises that 3 to 8 bits make; shaded where these say no more."""
    if report.meter is None:
        return ""
    reading, scale = report.meter, {bits: nats for bits, nats in report.scale.items() if nats > 0}
    low, high = reading.noise_interval
    domain = _widened([low, high, reading.noise_nats, *scale.values()], 1.25)
    width, height = METER

    def place(nats: float) -> float:
        return width * math.log(nats / domain[0]) / math.log(domain[1] / domain[0])

    axis = altair.Axis(values=log_ticks(*domain), format="~g", title="noise on logits, nats", grid=False)
    x_scale = altair.Scale(type="log", domain=domain, nice=False)
    measured = data([{"low": low, "value": reading.noise_nats, "high": high}])
    at = {"y": altair.value(height - 28)}
    layers = [
        measured.mark_rule(color=INK, strokeWidth=3).encode(
            x=altair.X("low:Q", scale=x_scale, axis=axis), x2="high:Q", **at
        ),
        measured.mark_point(color=INK, filled=True, opacity=1, size=110, shape="diamond").encode(
            x=altair.X("value:Q", scale=x_scale), **at
        ),
    ]
    ticks = data([{"px": place(nats)} for nats in scale.values()])
    labels = data([{"px": px, "text": text} for px, text in _scale_labels(scale, place)])
    layers = (
        [
            ticks.mark_rule(color=FAINT, strokeWidth=1).encode(
                x=pixels("px"), y=altair.value(20), y2=altair.value(height)
            ),
            labels.mark_text(color=INK, fontSize=12, baseline="top").encode(
                x=pixels("px"), y=altair.value(2), text="text:N"
            ),
            *layers,
        ]
        if scale
        else layers
    )
    if MOST_BITS in scale:
        shaded = data([{"from": domain[0], "to": scale[int(MOST_BITS)]}])
        layers.insert(
            0, shaded.mark_rect(color=LINE, opacity=0.8).encode(x=altair.X("from:Q", scale=x_scale), x2="to:Q")
        )
    return draw(styled(altair.layer(*layers), width=width, height=height), "Noise meter", natural=True)


def _scale_labels(scale: dict[int, float], place: Any) -> list[tuple[float, str]]:
    """Where labels stand and what they say; numbers of bits whose labels would meet share one."""
    groups: list[list[int]] = []
    for bits in sorted(scale):
        if groups and abs(place(scale[groups[-1][-1]]) - place(scale[bits])) < APART:
            groups[-1].append(bits)
        else:
            groups.append([bits])
    return [
        (
            sum(place(scale[bits]) for bits in group) / len(group),
            f"{group[0]} bits" if len(group) == 1 else f"{group[-1]}–{group[0]} bits",
        )
        for group in groups
    ]


def posterior(report: AuditReport) -> str:
    """The likeliest names, most first, with what is ruled out."""
    names = sorted(report.probability, key=lambda name: -report.probability[name])
    shown = [name for n, name in enumerate(names[:BARS]) if n < FEWEST or report.probability[name] >= LEAST]
    if not shown:
        return ""
    labels = _labels(shown)
    accused = report.closest if report.outcome == "inconsistent" else ()
    values = [
        {
            "name": label,
            "share": 100 * report.probability[name],
            "text": f"{100 * report.probability[name]:.1f} %" + ("  ruled out" if name in report.excluded else ""),
            "colour": ACCENT if name == REFERENCE else BAD if name in accused else SOFT,
        }
        for name, label in zip(shown, labels, strict=True)
    ]
    y = altair.Y(
        "name:N", sort=labels, axis=altair.Axis(title=None, labelLimit=250, labelPadding=8, ticks=False, domain=False)
    )
    axis = altair.Axis(title="posterior, %", values=[0, 25, 50, 75, 100])
    x = altair.X("share:Q", scale=altair.Scale(domain=(0, 118), nice=False), axis=axis)
    base = data(values)
    layers = [
        base.mark_bar(size=13).encode(x=x, y=y, color=altair.Color("colour:N", scale=None)),
        base.mark_text(align="left", dx=6, color=INK, fontSize=11).encode(x=x, y=y, text="text:N"),
    ]
    chart = styled(altair.layer(*layers), width=WIDTH, height=ROW * len(shown))
    return draw(chart, "Posterior of every model", natural=True)


def _labels(names: Iterable[str]) -> list[str]:
    """Names cut for a drawing, those that are then alike numbered."""
    made: list[str] = []
    for name in names:
        cut = one_line(name, NAME)
        again = sum(one.startswith(cut) for one in made)
        made.append(f"{cut} ({again + 1})" if cut in made else cut)
    return made


def _widened(values: list[float], factor: float) -> tuple[float, float]:
    """A logarithmic axis with room at both ends."""
    drawn = [value for value in values if math.isfinite(value) and value > 0]
    return min(drawn) / factor, max(drawn) * factor
