"""What is disclosed of an endpoint's precision against what was measured: differences are stated, not judged.

A label names numbers, not a method: "fp8" may be weights alone or weights and activations, "int4" any algorithm. For a
model that was released in FP8 or FP4, that label is the reference itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bitproof.audit.provider_claims import Claim, Precision
from bitproof.audit.results import AuditReport
from bitproof.audit.standing import MIXED, NOISE

__all__ = ["Disclosure", "Standing", "compare"]

Standing = Literal["as disclosed", "below", "above", "otherwise", "undisclosed", "not decided"]
BITS: dict[str, int] = {name: int(name.lstrip("intbfp")) for name in get_args(Precision) if name != "unknown"}
VARIANT = re.compile(r"w(\d)a\d+|fp(8)|(?:nf|mxfp|nvfp|mix)(\d)|gguf-q(\d)")
UNMEASURED = "4 bits or fewer"


@dataclass(frozen=True, kw_only=True)
class Disclosure:
    """`disclosed` is the precision that counts, "unknown" where nobody names one; `worst` is the least that has neither
    been disclosed against nor ruled out by measuring.
    """

    disclosed: Precision
    standing: Standing
    worst: str
    words: str
    claims: tuple[Claim, ...] = ()


def compare(claims: Sequence[Claim], report: AuditReport | None) -> Disclosure:
    """The claims against an audit, if there was one."""
    counted = [one for one in claims if one.counts and one.precision != "unknown"]
    disclosed = counted[0].precision if counted else "unknown"
    others = sorted({one.precision for one in counted} - {disclosed})
    standing, words = _standing(disclosed, report)
    worst = _worst(report) if report is not None else disclosed if counted else UNMEASURED
    if not counted:
        standing = "undisclosed"
        words = f"Undisclosed: it may be {worst}." if report is None else f"Undisclosed. {words}"
        if report is not None and report.outcome != "inconsistent":
            words += f" The least that was not ruled out: {worst}."
    if others:
        words += f" Its sources disagree: {', '.join([disclosed, *others])}."
    return Disclosure(disclosed=disclosed, standing=standing, worst=worst, words=words, claims=tuple(claims))


def _standing(disclosed: Precision, report: AuditReport | None) -> tuple[Standing, str]:
    if report is None:
        return "not decided", f"Disclosed as {disclosed}; not measured."
    if report.outcome == "inconclusive":
        said = "" if disclosed == "unknown" else f"Disclosed as {disclosed}; "
        return "not decided", f"{said}{'n' if said else 'N'}othing decided by measuring."
    if report.outcome == "consistent":
        measured, words = [16], "consistent with the reference"
    else:
        named = [name for name in report.closest if name not in (MIXED, NOISE)]
        measured = [bits for name in named if (bits := _bits(name)) is not None]
        words = _found(report, named)
    if disclosed == "unknown":
        return "undisclosed", f"Measured: {words}."
    said = f"Disclosed as {disclosed}, measured: {words}"
    standing = _against(disclosed, measured, report)
    if standing == "as disclosed" and disclosed == "fp8" and report.outcome == "inconsistent":
        words = "whether activations are quantized too, the label does not say"
        return standing, f"{said}; {words}."
    return standing, f"{said}."


def _found(report: AuditReport, named: Sequence[str]) -> str:
    if MIXED in report.closest[:1]:
        return "more than one variant behind one name"
    return f"closest to {' or '.join(named)}" if named else "unlike the reference and every variant of the profile"


def _against(disclosed: Precision, measured: list[int], report: AuditReport) -> Standing:
    """How the bits of what was measured compare; at 16 bits the reference is as disclosed."""
    bits = min(BITS[disclosed], 16)
    if not measured or (report.outcome == "inconsistent" and bits == 16 and 16 in measured):
        return "otherwise"
    if bits in measured:
        alike = report.outcome == "consistent" or any(
            _bits(name) == bits and _is_float(name) == (not disclosed.startswith("int")) for name in report.closest
        )
        return "as disclosed" if alike else "otherwise"
    return "below" if max(measured) < bits else "above" if min(measured) > bits else "otherwise"


def _worst(report: AuditReport) -> str:
    """The model of the profile with the fewest bits that an audit has not ruled out."""
    left = [name for name in report.names if name not in report.excluded]
    if report.outcome == "consistent":
        left = [report.names[0], *report.equals] if report.names else []
    if report.outcome == "inconsistent":
        left = [name for name in report.closest if name in report.names]
    known = [(bits, name) for name in left if (bits := _bits(name)) is not None]
    if known:
        return min(known)[1]
    low = report.meter.bits_interval[0] if report.meter and report.meter.bits_interval else None
    return UNMEASURED if low is None else f"effective bits from {low:.1f}"


def _bits(name: str) -> int | None:
    """Bits of the weights of a model of a profile, by its name: 16 for the reference and for a cache's variants."""
    if name.startswith(("reference", "bf16")):
        return 16
    match = VARIANT.match(name)
    return int(next(filter(None, match.groups()))) if match else None


def _is_float(name: str) -> bool:
    return name.startswith(("fp", "mxfp", "nvfp", "bf16", "reference"))
