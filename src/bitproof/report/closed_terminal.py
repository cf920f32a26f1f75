"""A comparison without a reference, for a terminal: the verdict, what was seen, how much could be, and what cannot."""

from __future__ import annotations

import math
from typing import Any

from bitproof.audit.closed_results import WHAT, Channel, ClosedReport
from bitproof.report.safe import one_line
from bitproof.report.terminal import Column, table
from bitproof.stats.estimate import Estimate
from bitproof.types import NotMeasured

UNITS = {
    "logprobs": "mean absolute difference of a logprob, in nats",
    "greedy": "share of pairs of answers that are not alike",
    "sampled": "share of pairs of answers that do not begin alike",
}


def closed_parts(report: ClosedReport) -> list[Any]:
    """The parts to print, in their order."""
    parts: list[Any] = [one_line(report.words, 1000), ""]
    if any(channel.n_probes for channel in report.channels):
        parts += [_table(report), ""]
        parts.append("Distances: " + "; ".join(f"{WHAT[one.name]}, {UNITS[one.name]}" for one in report.channels) + ".")
    if report.outcome != "different":
        parts += [f"{_first_upper(WHAT[one.name])}: {_smallest(one)}" for one in report.channels]
    parts += ["", _cost(report)]
    if report.sittings:
        parts.append(f"Recorded in {len(report.sittings)} sittings, {report.sittings[0]} to {report.sittings[-1]}.")
    if report.findings:
        parts.append(f"Of the endpoint: {one_line('; '.join(report.findings), 1000)}.")
    if report.missing and report.outcome == "different":
        parts.append(f"Besides: {one_line('; '.join(report.missing), 1000)}.")
    return [*parts, *report.unknowable]


def _table(report: ClosedReport) -> Any:
    columns = [
        Column("evidence", figures=False),
        Column("questions"),
        Column("with itself"),
        Column("with each other"),
        Column("p"),
        Column("sittings, p"),
        Column("says", figures=False),
    ]
    rows = [
        [
            WHAT[channel.name],
            str(channel.n_probes),
            _figure(channel, channel.own),
            _figure(channel, channel.between),
            f"{channel.p_value:.2g}",
            "-" if isinstance(channel.sittings_p_value, NotMeasured) else f"{channel.sittings_p_value:.2g}",
            _says(channel),
        ]
        for channel in report.channels
    ]
    return table(columns, rows)


def _says(channel: Channel) -> str:
    if channel.spoiled:
        return "spoiled"
    if not channel.n_probes:
        return "not compared"
    return "different" if channel.found else "no difference"


def _figure(channel: Channel, figure: Estimate | NotMeasured) -> str:
    if isinstance(figure, NotMeasured):
        return "-"
    scale, digits = (1.0, 3) if channel.name == "logprobs" else (100.0, 0)
    value = f"{scale * figure.value:.{digits}f}{'' if channel.name == 'logprobs' else ' %'}"
    if math.isnan(figure.low):
        return value
    return f"{value} [{scale * figure.low:.{digits}f}, {scale * figure.high:.{digits}f}]"


def _smallest(channel: Channel) -> str:
    if isinstance(channel.smallest, NotMeasured):
        return (
            f"smallest difference that would have been found: not measured ({one_line(channel.smallest.reason, 300)})."
        )
    size = f"{channel.smallest:.2g}" if channel.name == "logprobs" else f"{100 * channel.smallest:.0f} %"
    return f"{size} {channel.unit} would have been found in 95 of 100 comparisons; less may be there."


def _cost(report: ClosedReport) -> str:
    return (
        f"{report.answer_tokens:,} tokens answered to {report.n_requests:,} requests ({report.prompt_tokens:,} prompt"
        f" tokens); alpha {report.alpha:g} over {len(report.channels)} kinds of evidence; differences of logprobs up to"
        f" {report.least_nats:g} nats are not counted."
    )


def _first_upper(words: str) -> str:
    return words[:1].upper() + words[1:]
