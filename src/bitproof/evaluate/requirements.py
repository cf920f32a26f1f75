"""What a variant must show, in words people use: `code>=-2pp`, `json>=-1pp`, `p95_latency_s<=1.5`, `memory_gib<=8`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from bitproof.errors import UsageError
from bitproof.evaluate.results import Requirement
from bitproof.evaluate.speed_gates import SPEEDS

__all__ = ["ALL", "QUANTITIES", "USES", "check_requirements", "parse_requirement"]

ALL = "all"  # every item of the suite
QUANTITIES = {
    "memory_gib": "bytes of the artifact's weights, in GiB",
    "size_mb": "bytes of the artifact's weights, in MB",
    "bits_per_parameter": "stored bits over parameters",
    "p95_latency_s": "95th percentile of the seconds that an answer takes under load, by bitproof bench",
    "p95_first_token_s": "95th percentile of the seconds to the first token under load, by bitproof bench",
    "tokens_per_s": "answer tokens per second under load, by bitproof bench",
}
USES: dict[str, tuple[str, ...]] = {
    "chat": ("all>=-2pp", "instructions>=-3pp", "multi-turn>=-5pp", "refusal>=-2pp", "over-refusal>=-3pp"),
    "extraction": ("extraction>=-2pp", "classification>=-2pp", "json>=-2pp"),
    "code": ("code-basic>=-2pp", "code>=-3pp", "json>=-3pp"),
    "long-context": ("long-context>=-2pp", "grounded>=-3pp", "unanswerable>=-3pp"),
    "agents": ("tools>=-2pp", "json>=-2pp", "multi-turn>=-3pp", "instructions>=-3pp"),
    "high-stakes": ("all>=-1pp", "grounded>=-1pp", "unanswerable>=-1pp", "refusal>=-1pp", "arithmetic>=-2pp"),
}
"""Requirements by use: starting points, to be replaced by a user's own margins."""

_FORM = re.compile(r"\s*([a-zA-Z][\w-]*)\s*(>=|<=)\s*([+-]?\d+(?:\.\d+)?)\s*(pp|%)?\s*")
_EXAMPLES = "Write it as code>=-2pp (a slice loses less than 2 points), p95_latency_s<=1.5 or memory_gib<=8."


def parse_requirement(text: str) -> Requirement:
    """One requirement; raises UsageError for a form or a sign that makes no sense."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError("is not a requirement", where=f"--require {text!r}", remedy=_EXAMPLES)
    subject, relation, number, unit = match[1], match[2], float(match[3]), match[4]
    if unit is None:
        if subject not in QUANTITIES:
            near = difflib.get_close_matches(subject, QUANTITIES, n=1)
            hint = f" Did you mean {near[0]}?" if near else " A slice takes points: code>=-2pp."
            raise UsageError(
                f"{subject} is no quantity that is measured", where=f"--require {text!r}", remedy=_EXAMPLES + hint
            )
        text = _plain(text)
        return Requirement(text=text, subject=subject, kind="at most" if relation == "<=" else "at least", limit=number)
    if relation != ">=" or not -100 < number < 0:
        raise UsageError(
            "a slice is required to lose less than some points",
            where=f"--require {text!r}",
            remedy=f"{_EXAMPLES} No sample can show that nothing at all is lost.",
        )
    return Requirement(text=_plain(text), subject=subject, kind="slice", limit=-number / 100)


def _plain(text: str) -> str:
    return "".join(text.split())


def check_requirements(requirements: Sequence[Requirement], slices: Sequence[str], *, speed: bool = False) -> None:
    """Raise UsageError for a requirement that nobody measures, or two of one subject.

    `speed` says whether there is a record of speed under load.
    """
    for requirement in requirements:
        if requirement.subject in SPEEDS and not speed:
            raise UsageError(
                "is a question of speed under load, which an evaluation does not measure",
                where=f"--require {requirement.text!r}",
                remedy="Measure the same folders with bitproof bench --out SPEED, and give --speed SPEED/speed.json.",
            )
        if requirement.kind == "slice" and requirement.subject not in (*slices, ALL):
            near = difflib.get_close_matches(requirement.subject, slices, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise UsageError(
                f"nothing measures {requirement.subject!r} in this suite",
                where=f"--require {requirement.text!r}",
                remedy=f"{hint}It has: {', '.join((*slices, ALL))}. A larger --profile may have more.",
            )
    subjects = [(requirement.subject, requirement.kind) for requirement in requirements]
    for subject, kind in subjects:
        if subjects.count((subject, kind)) > 1:
            raise UsageError(f"there are two requirements for {subject}", remedy="Keep the stricter one.")
