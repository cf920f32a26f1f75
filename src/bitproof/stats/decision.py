"""Which is the smallest rung of a ladder that is proven good enough: gates, their outcomes, and the order of tests.

**A gate** asks one question, "does this slice lose less than its margin?", of one rung, and has four outcomes.

- pass: a loss of the margin or more is rejected (the lower bound lies above -margin).
- fail: a loss of the margin or less is rejected (the upper bound lies below -margin).
- inconclusive: neither; with how many fresh items would decide it.
- not measurable: the question has no answer on these items, see `quality_gate`. Never taken for a pass.

**Which family needs a correction.** Let alpha be the chance, over the whole decision, of calling a rung good enough
that is not.

- A rung passes only if *every* gate does (an intersection-union test, Berger 1982). A rung that is not good enough has
  a gate that should not pass, and that one passes with a chance of at most alpha: every gate at alpha, no correction.
- Rungs are tested in an order that was fixed beforehand, largest first, and testing stops at the first that does not
  pass (fixed sequence, Maurer 1995). A false claim needs the first rung that is not good enough to pass: alpha again,
  no correction. Gates of later rungs may be described, and are labelled not tested.
- A rung that is looked at more than once, with further items, is tested at the levels of an alpha-spending plan
  (`sequential`): over its looks it passes wrongly with a chance of at most alpha, and one that passed stays passed.
- To *blame* a slice is another claim, made of whichever gate looks worst. So failures are Holm-adjusted over the gates
  of the rung. Passing needs no such thing, so a gate may never gain from having company.
- Cliffs are a family of their own (`cliffs`), under Holm; what is only looked at goes under Benjamini-Hochberg.

References: Berger, Technometrics 24:295, 1982; Maurer, Hothorn and Lehmacher 1995; Westfall and Krishen, JSPI 99:25,
2001 (fixed sequences); Holm 1979.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bitproof.stats.clustered import PairedDifference
from bitproof.stats.estimate import Estimate
from bitproof.stats.multiple import holm
from bitproof.stats.power import items_to_decide

__all__ = ["Decision", "Gate", "GateResult", "Outcome", "Rung", "RungResult", "decide", "judge", "quality_gate"]

Outcome = Literal["pass", "fail", "inconclusive", "not measurable"]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What was measured of one requirement: p-values against "it is not met" and against "it is met".

    A figure that is known exactly (a size) has p-values 0 and 1. `unmeasurable` is the reason where there is none.
    """

    name: str
    p_pass: float = math.nan
    p_fail: float = math.nan
    items_needed: int | None = None  # fresh items that would decide; None: no affordable number, or not known
    unmeasurable: str = ""


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """A gate with its outcome; `p_fail_holm` is adjusted over the measurable gates of its rung."""

    gate: Gate
    outcome: Outcome
    p_fail_holm: float


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A variant with its gates. `alpha` is the level of this look at it, where it is looked at more than once."""

    name: str
    gates: tuple[Gate, ...]
    alpha: float | None = None


@dataclass(frozen=True, kw_only=True)
class RungResult:
    """A rung; `tested` is False for those below the first that did not pass: their outcomes are descriptive."""

    name: str
    outcome: Outcome
    tested: bool
    gates: tuple[GateResult, ...]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """All rungs in their order; `chosen` is the last that was proven, None where not even the first was."""

    chosen: str | None
    rungs: tuple[RungResult, ...]
    alpha: float


def quality_gate(
    name: str,
    seen: PairedDifference,
    margin: float,
    reference: Estimate,
    *,
    floor: float = 0.2,
    ceiling: float = 0.95,
    alpha: float = 0.05,
) -> Gate:
    """The gate "this slice loses less than `margin`" from its paired differences and the reference's own score.

    Not measurable where
    - there are fewer than two clusters;
    - the reference is at the floor: the interval of its score lies below `floor`, or reaches down to the margin. A
      model that can hardly do something can hardly lose it, and would pass;
    - the reference is at the ceiling: the interval lies above `ceiling`. Items that easy flip long after others do.
      No wrong pass comes of it (what flips counts in full), only a test that sees little, hence the wider limit.
    The choice of items aims at 20 to 80 %; slices with guessing need a floor above chance. Raises ValueError for a
    margin outside (0, 1).
    """
    if not 0 < margin < 1:
        raise ValueError(f"gate {name}: the margin {margin} must lie between 0 and 1")
    reason = ""
    if seen.n_clusters < 2 or math.isnan(reference.low):
        reason = "fewer than two clusters"
    elif reference.high < floor or reference.low <= margin:
        reason = f"the reference is at the floor: it scores {reference.value:.0%}, and can lose no more than that"
    elif reference.low > ceiling:
        reason = f"the reference is at the ceiling: it scores {reference.value:.0%}, the items are too easy"
    if reason:
        return Gate(name=name, unmeasurable=reason)
    return Gate(
        name=name,
        p_pass=seen.p_above(-margin),
        p_fail=seen.p_below(-margin),
        items_needed=items_to_decide(seen, margin, alpha=alpha),
    )


def judge(gates: Sequence[Gate], *, alpha: float = 0.05) -> tuple[GateResult, ...]:
    """The outcome of every gate of one rung. Raises ValueError for p-values that are not in [0, 1]."""
    measured = [gate for gate in gates if not gate.unmeasurable]
    for gate in measured:
        if not (0 <= gate.p_pass <= 1 and 0 <= gate.p_fail <= 1):
            raise ValueError(f"gate {gate.name}: p-values {gate.p_pass} and {gate.p_fail} must lie in [0, 1]")
    adjusted = iter(holm([gate.p_fail for gate in measured]).tolist())
    return tuple(_result(gate, math.nan if gate.unmeasurable else next(adjusted), alpha) for gate in gates)


def decide(rungs: Sequence[Rung], *, alpha: float = 0.05) -> Decision:
    """Test `rungs` in their order, largest first, until one does not pass.

    A rung passes where all of its gates do. It fails where one does; else, with a gate that is inconclusive or not
    measurable, it is inconclusive: not proven. A rung without a gate is "not measurable", and so not proven either.
    """
    results: list[RungResult] = []
    chosen, tested = None, True
    for rung in rungs:
        gates = judge(rung.gates, alpha=alpha if rung.alpha is None else rung.alpha)
        outcome = _rung_outcome([result.outcome for result in gates])
        results.append(RungResult(name=rung.name, outcome=outcome, tested=tested, gates=gates))
        tested = tested and outcome == "pass"
        chosen = rung.name if tested else chosen
    return Decision(chosen=chosen, rungs=tuple(results), alpha=alpha)


def _result(gate: Gate, p_fail_holm: float, alpha: float) -> GateResult:
    outcome: Outcome = "inconclusive"
    if gate.unmeasurable:
        outcome = "not measurable"
    elif gate.p_pass <= alpha:
        outcome = "pass"
    elif p_fail_holm <= alpha:
        outcome = "fail"
    return GateResult(gate=gate, outcome=outcome, p_fail_holm=p_fail_holm)


def _rung_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    if "fail" in outcomes:
        return "fail"
    if outcomes and all(outcome == "pass" for outcome in outcomes):
        return "pass"
    if all(outcome == "not measurable" for outcome in outcomes):
        return "not measurable"
    return "inconclusive"
