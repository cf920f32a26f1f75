"""The verdict of an audit in a sentence or two: what was measured, never why."""

from __future__ import annotations

from bitproof.audit.profile import REFERENCE
from bitproof.audit.results import AuditReport
from bitproof.audit.standing import MIXED, NOISE

__all__ = ["words"]

MOST_NAMED = 3  # of those that it may be
FEWEST_BITS = 3.0  # noisier than this, logits are hardly the reference's


def words(report: AuditReport) -> str:
    """The verdict of a report."""
    if report.missing:
        read = f" {report.n_places} tokens could be read." if report.n_places else ""
        return f"Inconclusive: {'; '.join(report.missing)}.{read}"
    sampler = f" Its tokens are drawn with {report.sampler}, not as asked for." if report.sampler else ""
    if report.outcome == "consistent":
        alike = f" {_list(report.equals)} lie as near to it as engines to each other." if report.equals else ""
        if report.closest and REFERENCE not in report.closest:
            alike += f" The closest is {_list(report.closest)}."
        return f"Consistent with {report.reference}.{alike}{sampler}"
    if report.outcome == "inconsistent":
        return f"Inconsistent with {report.reference}: {_closest(report)}.{sampler}"
    named = [name for name in report.closest if name != MIXED]
    maybe = f" it may be {_few(named)}; more tokens would decide." if named else " more tokens would decide."
    return f"Inconclusive after {report.answer_tokens} tokens:{maybe}{sampler}"


def _closest(report: AuditReport) -> str:
    if report.closest and report.closest[0] == MIXED:
        return "it answers some requests as the reference would and others not: more than one variant behind one name"
    if report.test == "seeded":
        return "which variant or model answers, this test does not say"
    named = [name for name in report.closest if name != MIXED]
    if named and report.probability.get(NOISE, 0.0) < 0.5:
        return f"the closest is {_list(named)}"
    bits = report.meter.bits if report.meter else None
    if bits is None:
        return "no variant of the profile fits either: another variant, another model or another prompt"
    if bits < FEWEST_BITS:
        return (
            "no variant of the profile fits, and its logits are noisier than 3 bits make them: another model or prompt"
        )
    return (
        f"no variant of the profile fits; its logits are as noisy as {bits:.1f} bits make them (another variant, or"
        " other weights)"
    )


def _few(names: list[str]) -> str:
    """The likeliest, and how many more there are."""
    rest = len(names) - MOST_NAMED
    return _list(names) if rest < 2 else f"{', '.join(names[:MOST_NAMED])} or one of {rest} others"


def _list(names: tuple[str, ...] | list[str]) -> str:
    return " or ".join(names)
