"""The demo's reveal in words and figures, for every form of its report; computes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from bitproof.audit.profile import REFERENCE
from bitproof.audit.reveal_results import Provider, Reveal
from bitproof.audit.standing import NOISE
from bitproof.report.audit_words import bits

__all__ = ["ProviderRow", "check", "command", "headline", "intro", "provider_row", "revealed"]

RIGHT = ("named", "equal")
FINDINGS = {
    "named": "named",
    "equal": "right, as an equal",
    "among": "one of those named",
    "unnamed": "found, not named",
    "undecided": "not decided",
    "missed": "missed",
}


@dataclass(frozen=True, kw_only=True)
class ProviderRow:
    """One provider: the verdict on it, and what it was."""

    name: str
    outcome: str
    closest: str  # what holds 95 % of the posterior
    bits: str  # effective bits, their 95 % interval: of a few tokens, the likeliest value alone would mislead
    tokens: str
    seconds: str
    behind: str
    finding: str


def provider_row(one: Provider) -> ProviderRow:
    """The figures of one provider."""
    found = one.audit
    return ProviderRow(
        name=one.name,
        outcome=found.outcome,
        closest=" or ".join(name for name in found.closest if name != NOISE) or "none of the profile",
        bits=_bits(one),
        tokens=str(found.answer_tokens),
        seconds=f"{one.seconds:.1f}",
        behind=_behind(one),
        finding=FINDINGS[one.finding],
    )


def intro(reveal: Reveal) -> str:
    """What was set up."""
    return (
        f"Three llama.cpp servers on this machine, all under the name {reveal.model}. Behind each stands another one"
        f" of {', '.join(reveal.pool)}, drawn at random."
    )


def command(reveal: Reveal) -> str:
    """The line that asks an endpoint as each of them was asked."""
    return f"bitproof audit URL --reference {reveal.model}"


def headline(reveal: Reveal) -> str:
    """How many verdicts are right."""
    right = sum(one.finding in RIGHT for one in reveal.providers)
    equal = sum(one.finding == "equal" for one in reveal.providers)
    more = f", {equal} of them as an equal of the reference" if equal else ""
    return f"{right} of {len(reveal.providers)} verdicts are right{more}."


def revealed(one: Provider) -> str:
    """What a provider was, and how the verdict stands to it."""
    return f"{_behind(one)}: {_standing(one)}"


def check(reveal: Reveal) -> str:
    """What hashes it again in a shell, on short lines."""
    lines = reveal.opening.split()
    parts = ["printf '%s\\n'", *lines[:1]], lines[1:3], [*lines[3:], "| sha256sum"]
    return " \\\n  ".join(" ".join(part) for part in parts)


def _behind(one: Provider) -> str:
    if one.behind == REFERENCE:
        return f"the reference, in {one.stored_as}"
    native = one.behind.startswith("gguf-")
    return f"{one.behind}, {'in' if native else 'its rounded weights in'} {one.stored_as}"


def _standing(one: Provider) -> str:
    match one.finding:
        case "named":
            return "consistent is right." if one.behind == REFERENCE else "named."
        case "equal":
            return (
                "consistent is right, and all that can be said: it lies as near to the reference as engines lie to"
                " each other."
            )
        case "among":
            return f"one of the {len(one.audit.closest)} that were named."
        case "unnamed":
            return "rightly found inconsistent, and not named."
        case "undecided":
            return "the audit did not decide."
        case _:
            return "missed."


def _bits(one: Provider) -> str:
    meter = one.audit.meter
    if meter is None or meter.bits_interval is None:
        return "–"
    low, high = map(bits, meter.bits_interval)
    return low if low == high else f"{low} to {high}"
