"""What every report on an evaluation says, in words and figures: the verdict, the cells of the table.

Terminal, page and markdown all show these, so that they cannot disagree. Nothing is estimated here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bitproof.evaluate.results import Evaluation, RungOutcome, VariantResult
from bitproof.report import figures
from bitproof.stats.decision import Outcome
from bitproof.types import Estimate, NotMeasured, SliceComparison

__all__ = [
    "ALL",
    "MARKS",
    "STEPS",
    "Cell",
    "Row",
    "Verdict",
    "cliff_name",
    "diverges",
    "grid",
    "missing",
    "rung_of",
    "standing",
    "title",
    "undecidable",
    "verdict",
]

ALL = "all"
MARKS: dict[Outcome, str] = {"pass": "✓", "fail": "✗", "inconclusive": "?", "not measurable": "–"}
STEPS = (0.01, 0.03, 0.06, 0.12)  # shares at which a difference gets a stronger colour
UNDECIDED = (
    "undecided: the test of what is required of the slice is inconclusive; where nothing is required, the interval "
    f"holds both 0 and a change of more than {100 * STEPS[0]:g} point"
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A slice of a variant. `step` is from -4 (a great loss) to 4; `value` is in points, or a divergence in nats.

    `undecided` marks a difference that is not one yet; `moved` is the divergence beside a difference. `reason` says why
    there is no difference, or no divergence.
    """

    kind: Literal["difference", "divergence", "nothing"]
    value: str
    interval: str
    step: int = 0
    undecided: bool = False
    moved: str = ""
    outcome: Outcome | None = None  # of the slice's gate, where it has one that was tested
    reason: str = ""
    comparison: SliceComparison | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A slice over all variants; `reference` is the reference's own score in per cent."""

    slice: str
    title: str
    reference: tuple[str, str]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`outcome` is None where nothing was required."""

    outcome: Outcome | None
    label: str
    headline: str
    words: str


def verdict(evaluation: Evaluation) -> Verdict:
    """What is recommended, or why nothing is."""
    found = evaluation.recommendation
    if found is None:
        words = "No requirement was given: --require 'code>=-2pp' names a slice and the loss it may show."
        return Verdict(outcome=None, label="Nothing required", headline="Measured, not decided", words=words)
    if found.chosen is None:
        labels: dict[Outcome, str] = {"fail": "Not good enough", "inconclusive": "Inconclusive"}
        label = labels.get(found.outcome, "Not measurable")
        headline = "No variant is proven good enough"
        return Verdict(outcome=found.outcome, label=label, headline=headline, words=found.words)
    return Verdict(outcome=found.outcome, label="Recommended", headline=found.chosen, words=found.words)


def title(evaluation: Evaluation, slice_: str) -> str:
    return "All items" if slice_ == ALL else evaluation.titles.get(slice_, slice_)


def cliff_name(evaluation: Evaluation, name: str) -> str:
    """The name of a group with its slice's title in place of its slice's name."""
    for slice_ in sorted(evaluation.slices, key=len, reverse=True):
        rest = name.removeprefix(slice_)
        if rest != name and not rest[:1].isalnum() and rest[:1] not in ("_", "-"):
            return title(evaluation, slice_) + rest
    return name


def grid(evaluation: Evaluation) -> list[Row]:
    """Slices x variants in the evaluation's order; all items are the last row."""
    rows = []
    for name in (*evaluation.slices, ALL):
        cells = tuple(_cell(evaluation, variant, name) for variant in evaluation.variants)
        rows.append(Row(slice=name, title=title(evaluation, name), reference=_reference(evaluation, name), cells=cells))
    return rows


def diverges(rows: Sequence[Row]) -> bool:
    """Whether a cell shows a divergence in place of a difference, so that a legend must explain it."""
    return any(cell.kind == "divergence" for row in rows for cell in row.cells)


def _reference(evaluation: Evaluation, name: str) -> tuple[str, str]:
    score = evaluation.reference_scores.get(name)
    if name == ALL and score is None and evaluation.variants:
        score = evaluation.variants[0].overall.reference_score
    return ("–", "") if score is None or isinstance(score, NotMeasured) else figures.percent(score)


def _cell(evaluation: Evaluation, variant: VariantResult, name: str) -> Cell:
    found = variant.overall if name == ALL else next((row for row in variant.comparisons if row.slice == name), None)
    if found is None:
        return Cell(kind="nothing", value="–", interval="", reason="this variant was not asked")
    outcome = _gate_outcome(evaluation, variant.name, name)
    if not isinstance(found.difference, NotMeasured):
        value, interval = figures.points(found.difference)
        return Cell(
            kind="difference",
            value=value,
            interval=interval,
            step=step_of(found.difference.value),
            undecided=_undecided(found.difference, outcome),
            moved=_moved(found),
            outcome=outcome,
            comparison=found,
        )
    reason = found.difference.reason
    if isinstance(found.kl_nats, NotMeasured):
        return Cell(
            kind="nothing",
            value="–",
            interval="",
            outcome=outcome,
            reason=reason if reason == found.kl_nats.reason else f"{reason}; {found.kl_nats.reason}",
            comparison=found,
        )
    return Cell(
        kind="divergence",
        value=figures.number(found.kl_nats.value),
        interval=figures.interval(found.kl_nats),
        outcome=outcome,
        reason=reason,
        comparison=found,
    )


def _moved(found: SliceComparison) -> str:
    """The divergence in a few words; without distributions, how often another token was the likeliest."""
    if not isinstance(found.kl_nats, NotMeasured):
        return f"KL {figures.number(found.kl_nats.value)}"
    if not isinstance(found.top1_flips, NotMeasured):
        return f"flips {100 * found.top1_flips.value:.1f} %"
    return ""


def step_of(difference: float) -> int:
    """How strong the colour of a difference is: negative for a loss, 0 below a point."""
    if math.isnan(difference):
        return 0
    size = sum(abs(difference) >= step - 1e-12 for step in STEPS)
    return -size if difference < 0 else size


def _undecided(difference: Estimate, outcome: Outcome | None) -> bool:
    if outcome is not None:
        return outcome == "inconclusive"
    if not difference.low <= 0 <= difference.high:  # also where there is no interval
        return math.isnan(difference.low) or math.isnan(difference.high)
    return difference.low <= -STEPS[0] or difference.high >= STEPS[0]


def _gate_outcome(evaluation: Evaluation, variant: str, name: str) -> Outcome | None:
    """The worst outcome of the slice's gates for a variant."""
    rung = rung_of(evaluation, variant)
    found = [
        gate.outcome
        for gate in (rung.gates if rung else ())
        if gate.requirement.kind == "slice" and gate.requirement.subject == name
    ]
    order: tuple[Outcome, ...] = ("fail", "inconclusive", "not measurable", "pass")
    return min(found, key=order.index) if found else None


def rung_of(evaluation: Evaluation, variant: str) -> RungOutcome | None:
    rungs = evaluation.recommendation.rungs if evaluation.recommendation else ()
    return next((rung for rung in rungs if rung.variant == variant), None)


def standing(evaluation: Evaluation, variant: str) -> tuple[str, str]:
    """A variant's place in the decision: its mark and a word or two. Empty where nothing was decided."""
    found = evaluation.recommendation
    if found is None:
        return "", ""
    if variant == found.chosen:
        return MARKS["pass"], "recommended"
    rung = rung_of(evaluation, variant)
    if rung is None:
        return "", "passed over" if variant in found.passed_over else "not in the decision"
    if not rung.tested:
        return "", "not tested"
    words: dict[Outcome, str] = {"pass": "good enough", "fail": "refused", "inconclusive": "not proven"}
    return MARKS[rung.outcome], words.get(rung.outcome, "not measurable")


def undecidable(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """(where, why) of every cell without a difference, one line for each reason and slice, or for each reason."""
    found: dict[tuple[str, str], list[str]] = {}
    rows = grid(evaluation)
    for row in rows:
        for variant, cell in zip(evaluation.variants, row.cells, strict=True):
            if cell.kind != "difference":
                found.setdefault((row.title, cell.reason), []).append(variant.name)
    merged: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (where, why), variants in found.items():
        merged.setdefault((why, tuple(variants)), []).append(where)
    for (why, names), slices in merged.items():
        where = "Every slice" if len(slices) == len(rows) else ", ".join(slices)
        yield where + ("" if len(names) == len(evaluation.variants) else f" of {', '.join(names)}"), why


def missing(evaluation: Evaluation) -> list[tuple[str, str]]:
    """(what, why) of all that was not measured, for the verdict."""
    lines = list(evaluation.not_measured.items())
    lines += [(title(evaluation, name), why) for name, why in evaluation.left_out.items()]
    lines += [(f"All items of {variant.name}", variant.stopped) for variant in evaluation.variants if variant.stopped]
    lines += [(f"{where}, by outcome", why) for where, why in undecidable(evaluation)]
    unsized = [variant for variant in evaluation.variants if isinstance(variant.size_bytes, NotMeasured)]
    lines += [
        (f"Size of {row.name}", row.size_bytes.reason) for row in unsized if isinstance(row.size_bytes, NotMeasured)
    ]
    slow = [row.tokens_per_s.reason for row in evaluation.variants if isinstance(row.tokens_per_s, NotMeasured)]
    if slow and not any("speed" in what.lower() for what, _ in lines):
        lines.append(("Speed", "; ".join(dict.fromkeys(slow))))
    return lines
