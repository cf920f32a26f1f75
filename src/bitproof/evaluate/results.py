"""What an evaluation found, for reports: no tensors, everything computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bitproof.evaluate.speed_drafts import Speculation
from bitproof.stats.cliffs import Cliff
from bitproof.stats.decision import Outcome
from bitproof.types import Estimate, ItemPair, NotMeasured, SliceComparison

__all__ = ["Curve", "Evaluation", "GateOutcome", "Recommendation", "Requirement", "RungOutcome", "VariantResult"]

NO_SPEED = NotMeasured("bitproof bench measures it; --speed adds what it found")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One thing that a variant must show: `code>=-2pp` (a slice loses less than 2 points), `memory_gib<=8`.

    `limit` is the margin of a slice as a share (0.02 for 2 points), or the bound of a quantity in its own unit.
    """

    text: str  # as it was asked
    subject: str  # a slice, or a quantity: "memory_gib", "p95_latency_s"
    kind: Literal["slice", "at most", "at least"]
    limit: float


@dataclass(frozen=True, kw_only=True)
class GateOutcome:
    """A requirement for one variant: what came out, and in words on what evidence."""

    requirement: Requirement
    outcome: Outcome
    figure: Estimate | float | NotMeasured  # the paired difference of the slice, or the quantity
    p_pass: float | None = None  # of "the requirement is not met"
    p_fail: float | None = None  # of "it is met", Holm-adjusted over the variant's gates
    items_needed: int | None = None  # fresh items that would decide an inconclusive one
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class RungOutcome:
    """A variant in the order of the decision. `tested` is False where testing had stopped before it."""

    variant: str
    outcome: Outcome
    tested: bool
    gates: tuple[GateOutcome, ...]
    why: str  # one sentence


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The smallest variant that is proven good enough, if any; its rungs largest first.

    `passed_over` are variants that were not tested because another of about their size did better where it was chosen:
    name -> the reason.
    """

    chosen: str | None
    outcome: Outcome
    rungs: tuple[RungOutcome, ...]
    passed_over: dict[str, str] = field(default_factory=dict)
    alpha: float = 0.05
    words: str = ""  # the verdict in a sentence


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How a variant's loss goes along a slice's axis of difficulty: one point for each level."""

    variant: str
    slice: str
    unit: str  # "steps", "tokens of context"
    levels: tuple[float, ...]
    reference: tuple[Estimate | NotMeasured, ...]  # score
    difference: tuple[Estimate | NotMeasured, ...]  # variant - reference
    kl_nats: tuple[Estimate | NotMeasured, ...]
    trend: Estimate | NotMeasured  # change of the difference for each doubling or step, see `trend_unit`
    trend_unit: str = "per level"


@dataclass(frozen=True, kw_only=True)
class VariantResult:
    """One variant, over all slices."""

    name: str
    describe: str  # in words: "INT4 weights in groups of 64, GPTQ"
    size_bytes: int | NotMeasured
    bits_per_parameter: float | NotMeasured
    comparisons: tuple[SliceComparison, ...]  # in the order of `Evaluation.slices`
    overall: SliceComparison  # all items; `slice` is "all"
    cliffs: tuple[Cliff, ...] = ()  # those found; the family was all slices and levels
    curves: tuple[Curve, ...] = ()
    worst: tuple[ItemPair, ...] = ()  # the items that lost most, worst first
    as_draft: Speculation | None = None  # of the reference; None where the engine does not score given tokens
    kl_deciles_nats: tuple[float, ...] = ()  # of items' mean divergence: 0 %, 10 %, ..., 100 %
    engine: str = ""
    seconds: float | None = None
    stopped: str = ""  # why not every item was asked
    tokens_per_s: Estimate | NotMeasured = NO_SPEED


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A reference and its variants on one suite."""

    reference: str
    reference_bytes: int | NotMeasured
    suite: str  # "core/demo"
    suite_digest: str
    plan_digest: str  # of the suite, the margins and the order of decisions, fixed before the first answer
    seed: int
    slices: tuple[str, ...]
    titles: dict[str, str]  # slice -> title for people
    n_items: int
    reference_scores: dict[str, Estimate | NotMeasured]
    variants: tuple[VariantResult, ...]  # largest first
    noise: tuple[VariantResult, ...] = ()  # the reference against itself: other batches, other dtype, other template
    recommendation: Recommendation | None = None
    left_out: dict[str, str] = field(default_factory=dict)  # slice -> why it is not in the suite
    not_measured: dict[str, str] = field(
        default_factory=dict
    )  # what is missing -> why, in words, for the verdict strip
    how: dict[str, str] = field(default_factory=dict)  # method, seeds, versions, hardware: to be read in this order
    caveats: tuple[str, ...] = ()
    command: str = ""
