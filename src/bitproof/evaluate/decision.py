"""The smallest variant that is proven good enough.

The ladder is not one line: several methods may make variants of about the same size. On a selection split of the items
the best of each size is chosen, by divergence where it is known and else by score; on the other items, the confirmation
split, the chosen ones are tested, largest first, until one is not proven. Where no size has a choice to make, all items
confirm. Whole clusters go to a split, by the hash of their name and the seed: before the first answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitproof.evaluate.comparison import Paired, share
from bitproof.evaluate.early import DecisiveLoss
from bitproof.evaluate.hosts import Target
from bitproof.evaluate.requirements import ALL
from bitproof.evaluate.results import GateOutcome, Recommendation, Requirement, RungOutcome
from bitproof.evaluate.speed_gates import SPEEDS, load_of, speed_gate
from bitproof.evaluate.speed_results import SpeedReport
from bitproof.stats.clustered import PairedDifference, paired_difference
from bitproof.stats.decision import Decision, Gate, GateResult, Rung, decide, quality_gate
from bitproof.store.runs import digest_of
from bitproof.types import Artifact, Estimate, NotMeasured

__all__ = ["best_of_each_size", "choose_variants", "in_selection", "recommend", "sizes_of"]

SAME_SIZE = 1.05  # of two variants: the larger has at most so many times the bytes of the smaller
SELECTION = 1 / 3  # of the clusters
Mask = NDArray[np.bool_]


def in_selection(clusters: Sequence[str], *, seed: int) -> Mask:
    """Which items [n] are in the selection split: a third of the clusters."""
    share_of = {cluster: int(digest_of([seed, cluster])[:8], 16) / 2**32 for cluster in set(clusters)}
    return np.array([share_of[cluster] < SELECTION for cluster in clusters], dtype=np.bool_)


def sizes_of(variants: Sequence[Target]) -> dict[str, int]:
    """Bytes of the variants whose size is known."""
    return {target.name: target.size_bytes for target in variants if not isinstance(target.size_bytes, NotMeasured)}


def choose_variants(sizes: Mapping[str, int], paired: Mapping[str, Paired], *, seed: int) -> dict[str, str]:
    """Variants not to be tested, and why: another of about their size did better on the selection split."""
    passed_over: dict[str, str] = {}
    for group in _by_size(sizes):
        quality = {name: _quality(paired[name], seed) for name in group}
        best = max(group, key=lambda name: quality[name])
        for name in group:
            if name != best:
                passed_over[name] = f"{best} has about its size and did better on the selection split"
    return passed_over


def best_of_each_size(artifacts: Sequence[Artifact], divergence: Mapping[str, float], *, most: int) -> list[Artifact]:
    """Of each size the variant with the least divergence, largest first; `most` of them, evenly over the sizes.

    The divergence was measured on other text than the items, so that all items can confirm.
    """
    by_name = {artifact.variant.name: artifact for artifact in artifacts}
    groups = _by_size({name: artifact.size_bytes for name, artifact in by_name.items()})
    best = [by_name[min(group, key=lambda name: divergence[name])] for group in groups]
    if len(best) <= most:
        return best
    return [best[round(i * (len(best) - 1) / max(1, most - 1))] for i in range(most)]


def _by_size(sizes: Mapping[str, int]) -> list[list[str]]:
    """Names in groups of about one size, largest first."""
    groups: list[list[str]] = []
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if groups and sizes[groups[-1][0]] <= SAME_SIZE * sizes[name]:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _quality(paired: Paired, seed: int) -> float:
    """Larger is better: less divergence on the selection split, or a higher score where that is not known."""
    chosen = np.flatnonzero(in_selection(paired.cluster.tolist(), seed=seed))
    known = [paired.forced[index] for index in chosen]
    kl = [one.kl_nats for one in known if one is not None and one.kl_nats is not None]
    if kl and len(kl) == len(chosen):
        return -float(np.concatenate(kl).mean())
    return float(paired.difference[chosen].mean()) if len(chosen) else -math.inf


def recommend(
    requirements: Sequence[Requirement],
    variants: Sequence[Target],
    paired: Mapping[str, Paired],
    *,
    seed: int,
    alpha: float = 0.05,
    alphas: Mapping[str, float] | None = None,
    passed_over: dict[str, str] | None = None,
    losses: Mapping[str, DecisiveLoss] | None = None,
    speed: SpeedReport | None = None,
) -> Recommendation:
    """Test the variants, largest first, those of unknown size in the order given; see the module.

    `alphas` are the levels of variants that are looked at again, `passed_over` those that an earlier look left out,
    `losses` those that were stopped early, which are tested no more. `speed` decides on requirements of speed.
    """
    sizes = sizes_of(variants)
    passed_over = choose_variants(sizes, paired, seed=seed) if passed_over is None else passed_over
    rungs, figures = [], {}
    for target in sorted(variants, key=lambda one: -sizes.get(one.name, 0)):
        if target.name in passed_over:
            continue
        both = paired[target.name]
        level = (alphas or {}).get(target.name, alpha)
        confirming = ~in_selection(both.cluster.tolist(), seed=seed) if passed_over else np.ones(len(both.pairs), bool)
        gates: list[Gate] = []
        figure: Estimate | float | NotMeasured
        for requirement in requirements:
            if requirement.subject in SPEEDS:  # measured once, whatever the looks
                gate, figure = speed_gate(requirement, load_of(speed, target.name), alpha=alpha)
            else:
                gate, figure = _gate(requirement, target, both, confirming, level)
            if losses and target.name in losses:
                gate = losses[target.name].gate(requirement)
            gates.append(gate)
            figures[target.name, requirement.text] = figure
        rungs.append(Rung(name=target.name, gates=tuple(gates), alpha=level))
    return _in_words(decide(rungs, alpha=alpha), requirements, figures, passed_over)


def _gate(
    requirement: Requirement, target: Target, paired: Paired, confirming: Mask, alpha: float
) -> tuple[Gate, Estimate | float | NotMeasured]:
    if requirement.kind != "slice":
        return _quantity(requirement, target)
    of_slice = np.ones(len(paired.pairs), bool) if requirement.subject == ALL else paired.of_slice(requirement.subject)
    which = np.flatnonzero(of_slice & confirming)
    if len(which) < 2:
        reason = "fewer than two items were answered"
        return Gate(name=requirement.text, unmeasurable=reason), NotMeasured(reason)
    seen: PairedDifference = paired_difference(paired.difference[which], paired.cluster[which])
    reference = share(paired.reference_score[which], paired.cluster[which])
    gate = quality_gate(requirement.text, seen, requirement.limit, reference, alpha=alpha)
    return gate, seen.interval(level=1 - 2 * alpha)


def _quantity(requirement: Requirement, target: Target) -> tuple[Gate, float | NotMeasured]:
    """A size, which is known exactly."""
    size, bits = target.size_bytes, target.bits_per_parameter
    if isinstance(size, NotMeasured) or isinstance(bits, NotMeasured):
        reason = "nobody knows the size of what is behind an endpoint"
        return Gate(name=requirement.text, unmeasurable=reason), NotMeasured(reason)
    value = {"memory_gib": size / 2**30, "size_mb": size / 1e6, "bits_per_parameter": bits}[requirement.subject]
    met = value <= requirement.limit if requirement.kind == "at most" else value >= requirement.limit
    return Gate(name=requirement.text, p_pass=0.0 if met else 1.0, p_fail=1.0 if met else 0.0), value


def _in_words(
    decision: Decision,
    requirements: Sequence[Requirement],
    figures: Mapping[tuple[str, str], Estimate | float | NotMeasured],
    passed_over: dict[str, str],
) -> Recommendation:
    by_text = {requirement.text: requirement for requirement in requirements}
    rungs = []
    for rung in decision.rungs:
        gates = tuple(
            _gate_outcome(result, by_text[result.gate.name], figures[rung.name, result.gate.name])
            for result in rung.gates
        )
        rungs.append(
            RungOutcome(
                variant=rung.name, outcome=rung.outcome, tested=rung.tested, gates=gates, why=_why(rung.outcome, gates)
            )
        )
    first_open = next((rung for rung in rungs if rung.tested and rung.outcome != "pass"), None)
    outcome = "pass" if decision.chosen else first_open.outcome if first_open else "not measurable"
    return Recommendation(
        chosen=decision.chosen,
        outcome=outcome,
        rungs=tuple(rungs),
        passed_over=passed_over,
        alpha=decision.alpha,
        words=_verdict(decision.chosen, first_open),
    )


def _gate_outcome(result: GateResult, requirement: Requirement, figure: Estimate | float | NotMeasured) -> GateOutcome:
    gate = result.gate
    tested = requirement.kind == "slice" and not gate.unmeasurable
    return GateOutcome(
        requirement=requirement,
        outcome=result.outcome,
        figure=figure,
        p_pass=gate.p_pass if tested else None,
        p_fail=result.p_fail_holm if tested else None,
        items_needed=gate.items_needed if result.outcome == "inconclusive" else None,
        why=_gate_words(result, requirement, figure),
    )


def _gate_words(result: GateResult, requirement: Requirement, figure: Estimate | float | NotMeasured) -> str:
    if result.gate.unmeasurable:
        return f"not measurable: {result.gate.unmeasurable}"
    if requirement.kind != "slice" or not isinstance(figure, Estimate):
        return _quantity_words(figure)
    change = f"{100 * figure.value:+.1f} points [{100 * figure.low:+.1f}, {100 * figure.high:+.1f}]"
    limit = f"{100 * requirement.limit:g} points"
    return {
        "pass": f"{change}: a loss of {limit} or more is ruled out",
        "fail": f"{change}: a loss of more than {limit} is shown",
        "inconclusive": f"{change}: a loss of {limit} is neither shown nor ruled out",
    }[result.outcome]


def _quantity_words(figure: Estimate | float | NotMeasured) -> str:
    if isinstance(figure, Estimate):
        return f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}]"
    return figure.reason if isinstance(figure, NotMeasured) else f"{figure:.4g}"


def _why(outcome: str, gates: Sequence[GateOutcome]) -> str:
    if outcome == "pass":
        return f"every requirement is met: {', '.join(gate.requirement.text for gate in gates)}"
    worst = [gate for gate in gates if gate.outcome == "fail"] or [gate for gate in gates if gate.outcome != "pass"]
    return "; ".join(f"{gate.requirement.text}: {gate.why}{_decides(gate)}" for gate in worst) or "nothing was required"


def _decides(gate: GateOutcome) -> str:
    """What would decide an inconclusive gate."""
    if gate.outcome != "inconclusive":
        return ""
    if gate.items_needed is None:
        return "; no affordable number of items would decide"
    return f"; about {gate.items_needed:,} fresh items would decide"


def _verdict(chosen: str | None, first_open: RungOutcome | None) -> str:
    if first_open is None:
        return f"{chosen} is the smallest variant tested, and proven good enough." if chosen else "Nothing was tested."
    refused = f"{first_open.variant} is not: {first_open.why}."
    if chosen is None:
        return f"No variant is proven good enough. {refused.replace(' is not: ', ', the largest: ', 1)}"
    return f"{chosen} is the smallest variant that is proven good enough. The next, {refused}"
