"""A comparison without a reference in words and figures, for every form of its report; computes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bitproof.audit.closed_results import WHAT, Channel, ClosedReport, RecordReport
from bitproof.report import figures
from bitproof.report.gates import p_value
from bitproof.report.safe import one_line
from bitproof.stats.estimate import Estimate
from bitproof.types import NotMeasured

__all__ = ["ChannelRow", "channel_rows", "cost", "error_rate", "sittings_words", "smallest_words", "units_words"]

UNITS = {
    "logprobs": "mean absolute difference of a logprob, in nats",
    "greedy": "share of pairs of answers that are not alike",
    "sampled": "share of pairs of answers that do not begin alike",
}
REASON = 300  # characters of why something was not measured


@dataclass(frozen=True, kw_only=True)
class ChannelRow:
    """One kind of evidence: its figures, each with its interval or a dash."""

    what: str
    n_probes: str
    own: tuple[str, str]
    between: tuple[str, str]
    p: str
    sittings_p: str
    says: str


def channel_rows(report: ClosedReport) -> list[ChannelRow]:
    return [
        ChannelRow(
            what=WHAT[one.name],
            n_probes=str(one.n_probes),
            own=_distance(one, one.own),
            between=_distance(one, one.between),
            p=p_value(one.p_value) if one.n_probes else "-",
            sittings_p="-" if isinstance(one.sittings_p_value, NotMeasured) else p_value(one.sittings_p_value),
            says=_says(one, report),
        )
        for one in report.channels
    ]


def _distance(channel: Channel, figure: Estimate | NotMeasured) -> tuple[str, str]:
    if isinstance(figure, NotMeasured):
        return "-", ""
    nats = channel.name == "logprobs"
    scale, digits = (1.0, 3) if nats else (100.0, 0)
    interval = "" if math.isnan(figure.low) else f"[{scale * figure.low:.{digits}f}, {scale * figure.high:.{digits}f}]"
    return f"{scale * figure.value:.{digits}f}{'' if nats else ' %'}", interval


def _says(channel: Channel, report: ClosedReport) -> str:
    if channel.spoiled:
        return "spoiled"
    if not channel.n_probes:
        return "not compared"
    unfound = "no difference" if report.outcome == "consistent" else "undecided"  # not all of it was asked
    return "different" if channel.found else unfound


def units_words(report: ClosedReport) -> str:
    """What the distances of each kind are."""
    return f"Distances: {'; '.join(f'{WHAT[one.name]}, {UNITS[one.name]}' for one in report.channels)}."


def smallest_words(report: ClosedReport) -> list[str]:
    """For each kind of evidence, what would have been found; nothing where something was."""
    return (
        [] if report.outcome == "different" else [f"{_upper(WHAT[one.name])}: {_least(one)}" for one in report.channels]
    )


def _least(channel: Channel) -> str:
    if isinstance(channel.smallest, NotMeasured):
        why = one_line(channel.smallest.reason, REASON)
        return f"smallest difference that would have been found: not measured ({why})."
    size = f"{channel.smallest:.2g}" if channel.name == "logprobs" else f"{100 * channel.smallest:.0f} %"
    return f"{size} {channel.unit} would have been found in 95 of 100 comparisons; less may be there."


def cost(report: ClosedReport | RecordReport) -> dict[str, str]:
    """What was asked for, by name."""
    return {
        "answer tokens": f"{report.answer_tokens:,}",
        "prompt tokens": f"{report.prompt_tokens:,}",
        "requests": f"{report.n_requests:,}",
        "USD": "not known: no price was given" if report.cost_usd is None else figures.number(report.cost_usd),
    }


def error_rate(report: ClosedReport) -> str:
    """What alpha is, and what it is spent on."""
    least = f" Differences of logprobs up to {report.least_nats:g} nats are not counted." * _has_logprobs(report)
    return (
        f"Alpha {report.alpha:g}: the chance of calling an endpoint different whose answers come as they did, split"
        f" evenly over {len(report.channels)} kinds of evidence.{least}"
    )


def sittings_words(report: ClosedReport) -> str:
    """When the recording was made; empty where two endpoints were asked."""
    if not report.sittings:
        return ""
    return f"Recorded in {len(report.sittings)} sittings, {report.sittings[0]} to {report.sittings[-1]}."


def _has_logprobs(report: ClosedReport) -> bool:
    return any(one.name == "logprobs" for one in report.channels)


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]
