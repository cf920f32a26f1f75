"""A paired comparison looked at from every side: slices, cliffs, curves of difficulty, the worst items."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

import numpy as np
from numpy.typing import NDArray

from bitproof.engines.generation import Forced
from bitproof.evaluate.comparison import Paired, compare, share
from bitproof.evaluate.results import Curve, VariantResult
from bitproof.evaluate.speed_drafts import Speculation, speculation_of
from bitproof.evaluate.suite.build import Suite
from bitproof.evaluate.suite.registry import slices
from bitproof.stats.cliffs import Cliff, find_cliffs
from bitproof.stats.cluster import ratio_of_sums
from bitproof.stats.clustered import paired_difference
from bitproof.stats.regression import trend
from bitproof.types import Estimate, ItemPair, NotMeasured

__all__ = ["analyse"]

WORST = 8  # items shown
HARD = 0.2  # the share of items that make the hard tail
Mask = NDArray[np.bool_]


def analyse(
    paired: Paired,
    suite: Suite,
    *,
    describe: str,
    reference_forced: Mapping[str, Forced],
    size_bytes: int | NotMeasured,
    bits_per_parameter: float | NotMeasured,
    engine: str,
    seconds: float | None = None,
    stopped: str = "",
) -> VariantResult:
    """Everything that a report shows of one variant."""
    return VariantResult(
        name=paired.variant,
        describe=describe,
        size_bytes=size_bytes,
        bits_per_parameter=bits_per_parameter,
        comparisons=tuple(compare(paired, name, reference_forced=reference_forced) for name in suite.slices),
        overall=compare(paired, None, reference_forced=reference_forced),
        cliffs=tuple(cliff for cliff in cliffs(paired, suite, reference_forced) if cliff.found),
        curves=tuple(curve for name in suite.slices if (curve := _curve(paired, name)) is not None),
        worst=_worst(paired),
        as_draft=_as_draft(paired),
        kl_deciles_nats=_deciles(paired),
        engine=engine,
        seconds=seconds,
        stopped=stopped,
    )


def cliffs(paired: Paired, suite: Suite, reference_forced: Mapping[str, Forced]) -> list[Cliff]:
    """Slices, levels within slices, and the hard tail, each against the rest; one family, under Holm.

    The hard tail are the items on whose answers the reference itself was least sure: known without any variant.
    """
    groups: dict[str, Mask] = {name: paired.of_slice(name) for name in suite.slices}
    within: dict[str, Mask] = {}
    for name, levels in suite.levels.items():
        for level in levels if len(levels) > 1 else ():
            label = f"{name} at {level:g} {slices()[name].unit}"
            groups[label] = groups[name] & (paired.level == level)
            within[label] = groups[name]
    sure = [reference_forced.get(pair.item.id) for pair in paired.pairs]
    if sure and all(one is not None and len(one.logprobs_nats) for one in sure):
        confidence = np.array([one.logprobs_nats.mean() for one in sure if one is not None])
        groups["items the reference is least sure of"] = confidence <= np.quantile(confidence, HARD)
    if not paired.pairs:
        return []
    return find_cliffs(paired.difference, paired.cluster, groups, within=within)


def _curve(paired: Paired, name: str) -> Curve | None:
    """Scores and divergence at each level of a slice; None where it was asked at one level only."""
    own = np.array([pair.item.slices[0] == name for pair in paired.pairs], dtype=np.bool_)
    levels = sorted(set(paired.level[own].tolist()))
    if len(levels) < 2:
        return None
    context = slices()[name].unit == "tokens of context" if name in slices() else False
    columns: list[list[Estimate | NotMeasured]] = [[], [], []]
    for level in levels:
        which = np.flatnonzero(own & (paired.level == level))
        cluster = paired.cluster[which]
        columns[0].append(share(paired.reference_score[which], cluster))
        columns[1].append(paired_difference(paired.difference[which], cluster).interval())
        columns[2].append(_kl(paired, which))
    which = np.flatnonzero(own)
    axis = np.array([log2(level) if context else level for level in paired.level[which]])
    slope, _ = trend(paired.difference[which], axis, paired.cluster[which])
    return Curve(
        variant=paired.variant,
        slice=name,
        unit=slices()[name].unit if name in slices() else "",
        levels=tuple(levels),
        reference=tuple(columns[0]),
        difference=tuple(columns[1]),
        kl_nats=tuple(columns[2]),
        trend=slope,
        trend_unit="per doubling" if context else "per level",
    )


def _kl(paired: Paired, which: NDArray[np.intp]) -> Estimate | NotMeasured:
    known = [(index, one.kl_nats) for index in which if (one := paired.forced[index]) and one.kl_nats is not None]
    if not known:
        return NotMeasured("this engine gives no distributions")
    labels = paired.cluster[[index for index, _ in known]]
    _, codes = np.unique(labels, return_inverse=True)
    sums = np.bincount(codes, weights=[kl.sum() for _, kl in known])
    return ratio_of_sums(sums, np.bincount(codes, weights=[len(kl) for _, kl in known]), scale="log")


def _worst(paired: Paired) -> tuple[ItemPair, ...]:
    """The items that lost most; of those that lost alike, the ones that diverged most."""

    def badness(pair: ItemPair) -> tuple[float, float]:
        kl = 0.0 if isinstance(pair.kl_nats, NotMeasured) else -pair.kl_nats
        return pair.variant_score - pair.reference_score, kl

    changed = [pair for pair in paired.pairs if pair.variant.texts != pair.reference.texts]
    return tuple(sorted(changed, key=badness)[:WORST])


def _as_draft(paired: Paired) -> Speculation | None:
    """The variant as a draft of its reference, on the reference's greedy answers."""
    agree = {
        pair.item.id: one.same_top
        for pair, one in zip(paired.pairs, paired.forced, strict=True)
        if one is not None and one.same_top is not None and pair.item.temperature == 0
    }
    return speculation_of(agree) if agree else None


def _deciles(paired: Paired) -> tuple[float, ...]:
    means = [float(one.kl_nats.mean()) for one in paired.forced if one is not None and one.kl_nats is not None]
    return tuple(float(x) for x in np.quantile(means, np.linspace(0, 1, 11))) if means else ()
