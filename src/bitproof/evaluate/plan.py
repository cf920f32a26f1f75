"""What is fixed before the first answer: what is asked, what must be shown, and at what risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bitproof.evaluate.hosts import Target
from bitproof.evaluate.plain import to_plain
from bitproof.evaluate.requirements import parse_requirement
from bitproof.evaluate.results import Requirement
from bitproof.evaluate.speed_results import SpeedReport
from bitproof.evaluate.suite.build import Profile, Suite
from bitproof.stats.sequential import spending_plan
from bitproof.store.runs import digest_of
from bitproof.types import Item

__all__ = ["DECISIVE", "Plan"]

DECISIVE = 0.01  # the chance of stopping a variant early that does not deserve it

# Requirements where none are given: what a profile has a chance to decide.
DEFAULTS = {"demo": "all>=-10pp", "quick": "all>=-5pp", "core": "all>=-3pp", "full": "all>=-2pp"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`slices` are asked (default: the profile's) and `further`, the user's own items.

    `alpha` is the chance of recommending a variant that is not good enough. `noise` asks the reference again, computed
    otherwise. `speed` is what requirements of speed are decided on. `looks` is how often an inconclusive variant is
    looked at: each look adds as many fresh items as the first had, at levels that spend `alpha` as O'Brien and Fleming
    do. With `stop_early` a variant is asked no more once a loss beyond a margin is shown at the level `DECISIVE`, by a
    test that may be looked at whenever one likes.
    """

    profile: Profile
    requirements: tuple[Requirement, ...] = ()
    slices: tuple[str, ...] = ()
    further: tuple[Item, ...] = ()
    seed: int = 0
    alpha: float = 0.05
    noise: bool = True
    speed: SpeedReport | None = None
    looks: int = 1
    stop_early: bool = False

    @property
    def required(self) -> tuple[Requirement, ...]:
        """The requirements, or the profile's own."""
        return self.requirements or (parse_requirement(DEFAULTS.get(self.profile.name, "all>=-5pp")),)

    @property
    def levels(self) -> tuple[float, ...]:
        """The one-sided level of each look."""
        if self.looks == 1:
            return (self.alpha,)
        return spending_plan([look / self.looks for look in range(1, self.looks + 1)], alpha=self.alpha).levels

    def record(self, suite: Suite, reference: Target, variants: Sequence[Target], engine: str) -> dict[str, Any]:
        """All of it in JSON types, with digests of what is asked and of whom; its own digest names the plan."""
        return {
            "reference": reference.digest,
            "suite": suite.digest,
            "variants": {target.name: target.digest for target in variants},
            "engine": engine,
            "requirements": sorted(requirement.text for requirement in self.required),
            "alpha": self.alpha,
            "seed": self.seed,
            "looks": self.looks,
            "speed": None if self.speed is None else digest_of(to_plain(self.speed)),
            "stop early at": DECISIVE if self.stop_early else None,
        }
