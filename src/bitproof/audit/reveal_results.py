"""What the demo's reveal found, for reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from bitproof.audit.results import AuditReport
from bitproof.errors import UsageError
from bitproof.evaluate.plain import AGAIN, read_as
from bitproof.types import NotMeasured

__all__ = ["REVEAL", "Finding", "Provider", "Reveal", "read_reveal"]

REVEAL = "reveal.json"  # in the folder of a demo
Finding = Literal["named", "equal", "among", "unnamed", "undecided", "missed"]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """An endpoint, the verdict on it, and what it served: the profile's name, and the GGUF type of its linears.

    `finding` compares the two. `named`: the one name of an inconsistent endpoint, or the reference called consistent;
    `equal`: consistent, of a variant that no engine tells from the reference; `among`: one of the names given;
    `unnamed`: inconsistent, and no name fits; `undecided`: the audit was inconclusive; `missed`: anything else.
    """

    name: str
    url: str
    audit: AuditReport
    seconds: float
    behind: str
    stored_as: str
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class Reveal:
    """All of them; `opening` hashed is `seal`, which was given out before the first question.

    `pool` is what was drawn from, without replacement; `seed` is None where the system's entropy drew.
    """

    model: str
    providers: tuple[Provider, ...]
    pool: tuple[str, ...]
    seal: str
    opening: str
    seed: int | None


def read_reveal(plain: Any, *, where: str) -> Reveal | NotMeasured:
    """What JSON holds, a reveal or why there was none; raises UsageError for anything else."""
    kinds: Any = Reveal | NotMeasured
    found: Reveal | NotMeasured = read_as(kinds, plain, where=where)
    if isinstance(found, NotMeasured):
        return found
    try:
        return replace(found, providers=tuple(replace(one, audit=_with_scale(one.audit)) for one in found.providers))
    except ValueError as error:
        raise UsageError(f"bits are whole numbers ({error})", where=where, remedy=AGAIN) from error


def _with_scale(report: AuditReport) -> AuditReport:
    """Numbers of bits are keys of an object in JSON, and so texts."""
    return replace(report, scale={int(bits): noise for bits, noise in report.scale.items()})
