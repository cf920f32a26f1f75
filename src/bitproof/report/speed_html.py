"""A speed measurement as one self-contained page: no request, nothing that runs, on screen and on paper."""

from __future__ import annotations

from bitproof.evaluate.speed_results import SpeedReport
from bitproof.report.latency import latency
from bitproof.report.page import environment

__all__ = ["render"]


def render(report: SpeedReport, *, version: str) -> str:
    """The page as text; `version` is bitproof's own. Everything that comes from outside is escaped."""
    names = [target.name for target in report.targets]
    title = f"Speed of {names[0]}" if len(names) == 1 else f"Speed of {len(names)} targets"
    return (
        environment()
        .get_template("speed.html")
        .render(title=title, report=report, latency=latency(report), version=version)
    )
