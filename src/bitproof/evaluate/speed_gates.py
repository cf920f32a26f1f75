"""Requirements of speed: decided by what `bitproof bench` measured under load, not by how long an evaluation's answers
took. Those come from a closed load with scoring between them, some of them from an earlier run, failures left out.

A bound of a percentile holds at 95 % (`speed_figures`), so a requirement is met where the whole interval meets it.
"""

from __future__ import annotations

from collections.abc import Callable

from bitproof.evaluate.results import NO_SPEED, Requirement
from bitproof.evaluate.speed_results import Figure, LoadSpeed, SpeedReport
from bitproof.stats.decision import Gate
from bitproof.types import NotMeasured

__all__ = ["SPEEDS", "load_of", "speed_gate", "tokens_per_s"]

CONFIDENCE = 0.95  # of each bound
SPEEDS: dict[str, Callable[[LoadSpeed], Figure]] = {
    "p95_latency_s": lambda load: load.whole_s.p95,
    "p95_first_token_s": lambda load: load.first_token_s.p95,
    "tokens_per_s": lambda load: load.tokens_per_s,
}


def load_of(report: SpeedReport | None, variant: str) -> LoadSpeed | NotMeasured:
    """A variant's first load with a rate, else its first load; `bitproof bench` names targets by their folders."""
    if report is None:
        return NO_SPEED
    target = next((target for target in report.targets if target.name == variant), None)
    if target is None or not target.loads:
        return NotMeasured(f"the speed record has no {variant}: it has {', '.join(one.name for one in report.targets)}")
    return next((load for load in target.loads if load.load.rate_per_s is not None), target.loads[0])


def tokens_per_s(report: SpeedReport | None, variant: str) -> Figure:
    """Answer tokens per second under that load."""
    load = load_of(report, variant)
    return load if isinstance(load, NotMeasured) else load.tokens_per_s


def speed_gate(requirement: Requirement, load: LoadSpeed | NotMeasured, *, alpha: float) -> tuple[Gate, Figure]:
    """The gate of a requirement in SPEEDS, and the figure it was decided on.

    A bound has no p-value of its own, and is a claim apart from those about slices: its p-values are 0 where it decides
    and 1 where it does not. At an alpha below 1 - CONFIDENCE no bound decides.
    """
    figure = load if isinstance(load, NotMeasured) else SPEEDS[requirement.subject](load)
    if isinstance(figure, NotMeasured):
        return Gate(name=requirement.text, unmeasurable=figure.reason), figure
    within, beyond = figure.high <= requirement.limit, figure.low > requirement.limit
    if requirement.kind == "at least":
        within, beyond = figure.low >= requirement.limit, figure.high < requirement.limit
    decides = alpha >= 1 - CONFIDENCE - 1e-12
    p_pass, p_fail = (0.0 if decides and holds else 1.0 for holds in (within, beyond))
    return Gate(name=requirement.text, p_pass=p_pass, p_fail=p_fail), figure
