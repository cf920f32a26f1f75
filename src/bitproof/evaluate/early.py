"""Stopping early: a variant that has decisively failed is asked no more.

Items are asked in parts, whole clusters each, dealt out by a hash before the first answer. After each part every
required slice is tested for a loss beyond its margin by an e-process over the clusters' mean differences
(`stats.sequential`), which holds whenever one looks; Bonferroni over the slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitproof.evaluate.requirements import ALL
from bitproof.evaluate.results import Requirement
from bitproof.stats.decision import Gate
from bitproof.stats.sequential import e_process
from bitproof.store.runs import digest_of
from bitproof.types import Grade, Item, NotMeasured

__all__ = ["DecisiveLoss", "decisive_loss", "parts_of"]

PARTS = 5


@dataclass(frozen=True, kw_only=True)
class DecisiveLoss:
    """Why a variant was stopped: the requirement that it does not meet, and the p-value, which holds at any time."""

    requirement: str
    p: float
    n_clusters: int

    @property
    def words(self) -> str:
        """One clause for people."""
        return f"stopped early: {self.requirement} has failed after {self.n_clusters} clusters, p {self.p:.2g}"

    def gate(self, requirement: Requirement) -> Gate:
        """What is left of a requirement: the one that failed, and others, of which not all was asked."""
        if requirement.text == self.requirement:
            return Gate(name=requirement.text, p_pass=1.0, p_fail=self.p)
        return Gate(name=requirement.text, unmeasurable=f"not all was asked, {self.requirement} had failed")


def parts_of(items: Sequence[Item], *, seed: int) -> list[list[Item]]:
    """The items in parts of about one size; a cluster is in one part, in the order in which `decisive_loss` bets."""
    place = {cluster: digest_of([seed, "part", cluster]) for cluster in {item.cluster for item in items}}
    ordered = sorted(place, key=lambda cluster: place[cluster])
    part = {cluster: number * PARTS // len(ordered) for number, cluster in enumerate(ordered)}
    parts: list[list[Item]] = [[] for _ in range(PARTS)]
    for item in sorted(items, key=lambda item: place[item.cluster]):
        parts[part[item.cluster]].append(item)
    return [found for found in parts if found]


def decisive_loss(
    requirements: Sequence[Requirement],
    items: Sequence[Item],
    reference: Mapping[str, Grade],
    variant: Mapping[str, Grade],
    *,
    level: float,
) -> DecisiveLoss | None:
    """The requirement of a slice that the items so far, in the order of `parts_of`, show not to be met, if any."""
    slices = [requirement for requirement in requirements if requirement.kind == "slice"]
    for requirement in slices:
        means = _cluster_means(requirement.subject, items, reference, variant)
        if not means:
            continue
        p = float(e_process(means, requirement.limit, inferior=True).p_values[-1]) * len(slices)
        if p <= level:
            return DecisiveLoss(requirement=requirement.text, p=p, n_clusters=len(means))
    return None


def _cluster_means(
    subject: str, items: Sequence[Item], reference: Mapping[str, Grade], variant: Mapping[str, Grade]
) -> list[float]:
    """Mean difference of scores of each cluster, in the order of its first item."""
    differences: dict[str, list[float]] = {}
    for item in items:
        if subject in (ALL, *item.slices) and item.id in reference and item.id in variant:
            first, second = reference[item.id].score, variant[item.id].score
            if not isinstance(first, NotMeasured) and not isinstance(second, NotMeasured):
                differences.setdefault(item.cluster, []).append(second - first)
    return [sum(found) / len(found) for found in differences.values()]
