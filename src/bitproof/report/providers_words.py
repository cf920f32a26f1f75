"""A comparison of providers in words and figures, for every form of its report; computes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bitproof.audit.provider_results import ProviderResult, ProvidersReport, Share
from bitproof.audit.standing import MIXED, NOISE
from bitproof.evaluate.cost_results import Figure, Value
from bitproof.report import figures
from bitproof.report.audit_words import bits
from bitproof.report.safe import one_line
from bitproof.types import Estimate, NotMeasured

__all__ = ["NOT_WHY", "Pair", "ProviderRow", "details", "headline", "notes", "provider_row"]

Pair = tuple[str, str]  # a figure, and its interval
DASH = "-"
NOT_WHY = (
    "This says what was measured, not why: another engine, other weights of the same name, a hidden prompt, a changed"
    " template, settings of a sampler or a cache shift answers too."
)


@dataclass(frozen=True, kw_only=True)
class ProviderRow:
    """One endpoint; a figure that was not measured is a dash, which a note explains."""

    name: str
    mark: str
    outcome: str
    closest: str
    bits: Pair
    agreement: Pair
    disclosed: str
    standing: str
    worst: str
    score: Pair
    difference: Pair
    retained: Pair
    completed: Pair
    tool_calls: Pair
    schema: Pair
    p50: Pair
    p95: Pair
    price: str
    per_thousand: str
    per_retained: Pair
    margins: Pair  # at what is claimed, at what was measured


def provider_row(found: ProviderResult) -> ProviderRow:
    """The figures of one endpoint."""
    quality, money, disclosure = found.quality, found.money, found.disclosure
    asked = None if isinstance(quality, NotMeasured) else quality
    return ProviderRow(
        name=one_line(found.name, 80),
        mark="(reference)" if found.reference else "",
        outcome=found.outcome,
        closest=_closest(found),
        bits=_bits(found),
        agreement=_share(found.agreement),
        disclosed="undisclosed" if disclosure.disclosed == "unknown" else disclosure.disclosed,
        standing=disclosure.standing,
        worst=DASH if found.outcome == "unreachable" else one_line(disclosure.worst, 60),
        score=_share(asked.score) if asked else (DASH, ""),
        difference=_pair(asked.difference, figures.points) if asked else (DASH, ""),
        retained=_share(asked.retained) if asked else (DASH, ""),
        completed=_share(asked.completed) if asked else (DASH, ""),
        tool_calls=_share(asked.tool_calls) if asked else (DASH, ""),
        schema=_share(asked.schema) if asked else (DASH, ""),
        p50=_pair(found.latency_p50_s, _number),
        p95=_pair(found.latency_p95_s, _number),
        price=DASH
        if isinstance(money.usd_per_million, NotMeasured)
        else " / ".join(f"{one:g}" for one in money.usd_per_million),
        per_thousand=DASH if isinstance(money.per_thousand, NotMeasured) else figures.number(money.per_thousand),
        per_retained=_pair(money.per_retained, _number),
        margins=(_margin(money.margin_claimed), _margin(money.margin_measured)),
    )


def headline(report: ProvidersReport) -> str:
    """How many endpoints came out how, in a sentence."""
    counts: dict[str, int] = {}
    for one in report.providers:
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    n = len(report.providers)
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    against = f" against {report.reference}" if report.reference else ""
    return f"{n} endpoint{'s' * (n != 1)}{against}: {said}."


def details(found: ProviderResult) -> list[str]:
    """What is to be known of one endpoint, a sentence each: the verdict, the claims, what was found."""
    lines = [found.words, found.disclosure.words]
    for claim in found.disclosure.claims:
        kept = "" if claim.counts else " (recorded, never believed)"
        lines.append(f"Claim: {claim.precision}, by {claim.source}{kept}: {claim.words or 'no words'}")
    if found.audit:
        lines += [f"Found: {finding}." for finding in found.audit.findings]
    if not isinstance(found.quality, NotMeasured) and found.quality.stopped:
        lines.append(f"Not every item was asked: {found.quality.stopped}.")
    spent = "" if isinstance(found.spent_usd, NotMeasured) else f", {figures.number(found.spent_usd)} USD"
    lines.append(
        f"Asked: {found.n_requests:,} requests, {found.prompt_tokens:,} prompt and {found.answer_tokens:,} answer"
        f" tokens{spent}."
    )
    return [one_line(line, 600) for line in lines]


def notes(report: ProvidersReport) -> list[str]:
    """What the figures rest on, a sentence each, and why some are missing."""
    lines = []
    if report.reference:
        n, levels = len(report.providers), sorted({one.level for one in report.providers if one.level is not None})
        rates = ", ".join(f"{level:.2g}" for level in levels)
        lines.append(
            f"Verdicts: the chance of calling any endpoint inconsistent that serves the reference is at most"
            f" {report.alpha:g} over all {n} (Holm; each at {rates}), on engines that differ from the profile's"
            " arithmetics no more than those among each other."
        )
        lines.append("Agreement: probes answered as the reference answers them, as far as both go.")
    if report.suite:
        against = f", against {report.scored_against}" if report.scored_against else ""
        lines.append(
            f"Quality: suite {report.suite}, seed {report.seed}{against}. Completed: neither failed nor cut. Tool"
            " calls: of those made, such as can be executed. JSON: of answers that should fit a schema, those that do."
        )
    latency = next((one.latency_of for one in report.providers if one.n_requests), "")
    if latency:
        lines.append(f"Latency: seconds to a whole answer, of {latency}, one request at a time at each endpoint.")
    terms = report.terms
    lines.append(
        f"Prices: US dollars for a million prompt / answer tokens, and for 1,000 requests of {terms.prompt_tokens:,} +"
        f" {terms.answer_tokens:,} tokens; per retained: that over the share of the reference's score. Margins: of"
        f" the price, on rented {report.device} at {100 * terms.utilisation:g} % utilisation, by the roofline: an upper"
        " bound."
    )
    return [*lines, *_missing(report)]


def _missing(report: ProvidersReport) -> list[str]:
    """Each reason why a figure is missing, once, with the endpoints it is missing for."""
    reasons: dict[str, list[str]] = {}
    for one in report.providers:
        for what, value in _figures(one):
            if isinstance(value, NotMeasured):
                reasons.setdefault(f"{what} not measured: {value.reason}", []).append(one.name)
    n = len(report.providers)
    return [
        one_line(f"{reason}." if len(names) == n else f"{', '.join(names)}: {reason}.", 400)
        for reason, names in reasons.items()
    ]


def _figures(one: ProviderResult) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    if one.outcome == "unreachable":
        return found
    if one.audit is not None:
        found.append(("agreement", one.agreement))
    if not isinstance(one.quality, NotMeasured):
        names = ("score", "difference", "retained", "completed", "tool_calls", "schema")
        found += [(name.replace("_", " "), getattr(one.quality, name)) for name in names]
    money = one.money
    found += [
        ("price", money.usd_per_million),
        ("margin as claimed", money.margin_claimed),
        ("margin as measured", money.margin_measured),
    ]
    return found


def _closest(found: ProviderResult) -> str:
    """The names that an audit left, other than the reference alone."""
    report = found.audit
    if report is None or found.outcome == "consistent":
        return ""
    named = ["more than one" if name == MIXED else name for name in report.closest if name != NOISE]
    return one_line(" or ".join(named[:3]) + (" ..." if len(named) > 3 else ""), 90)


def _bits(found: ProviderResult) -> Pair:
    meter = found.audit.meter if found.audit else None
    if meter is None or meter.bits is None or meter.bits_interval is None:
        return DASH, ""
    low, high = map(bits, meter.bits_interval)
    return bits(meter.bits), "" if low == high else f"[{low}, {high}]"


def _share(value: Share) -> Pair:
    return _pair(value, figures.percent)


def _pair(value: Share, write: Callable[[Estimate], Pair]) -> Pair:
    if isinstance(value, NotMeasured):
        return DASH, ""
    figure, interval = write(value)
    return figure, "" if math.isnan(value.low) else interval


def _number(value: Estimate) -> Pair:
    return figures.number(value.value), f"[{figures.number(value.low)}, {figures.number(value.high)}]"


def _margin(value: Value) -> str:
    return f"{100 * value.value:.0f} %" if isinstance(value, Figure) else DASH
