"""What every test of an audit gives, after any number of tokens: how the models of a profile stand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np

from bitproof.audit.alignment import Alignment
from bitproof.audit.observe import Reading

__all__ = [
    "EVEN_SHARE",
    "MIXED",
    "MIXED_PRIOR",
    "MIXED_SHARE",
    "MIXED_SHARES",
    "NOISE",
    "Outcome",
    "Standing",
    "Test",
    "credible",
    "fitting",
    "kept",
    "settled",
]

Outcome = Literal["consistent", "inconsistent", "inconclusive"]
NOISE = "none of them"  # the reference's logits with noise: a variant that the profile does not hold, or another model
MIXED = "more than one"  # some requests answered by the reference, others by a variant
CREDIBLE = 0.95
MIXED_PRIOR = 0.01  # of a mixture with a variant, where the variant alone has 1
EVEN_SHARE = 0.5
MIXED_SHARE = 0.25  # of requests that go to a variant: what a verdict of consistent rules out, or says it cannot
MIXED_SHARES = (0.1, MIXED_SHARE, EVEN_SHARE)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """`probability` is the posterior over the names of the profile, and `NOISE` and `MIXED` where the test knows them.

    `closest` are the names that hold 95 % of it, likeliest first, empty where none fits. `excluded` are those that the
    test rules out at its level. `sampler` says how tokens were drawn, where it is not as asked for. `clear` is False
    where more tokens may tell a name from none.
    """

    outcome: Outcome
    probability: dict[str, float]
    closest: tuple[str, ...]
    excluded: tuple[str, ...]
    fit: dict[str, float] = field(default_factory=dict)  # p of a profile as far from each name, tests of logprobs only
    sampler: str = ""
    clear: bool = True
    alignment: Alignment | None = None  # of the likeliest name, where the reference is ruled out by logprobs
    unseen: tuple[str, ...] = ()  # variants that may answer a quarter of the requests: so few of theirs look alike


class Test(Protocol):
    """One way to tell the models of a profile apart."""

    def add(self, readings: list[Reading]) -> None:
        """Take in what one request gave."""

    def standing(self) -> Standing | None:
        """How things stand, where the test may look now; None where it may not."""

    def now(self) -> Standing | None:
        """How things stand, to describe and not to decide; None before the first token."""


def credible(probability: dict[str, float]) -> tuple[str, ...]:
    """The fewest names, likeliest first, that hold 95 % of the probability."""
    ordered = sorted(probability, key=lambda name: -probability[name])
    sums = np.cumsum([probability[name] for name in ordered])
    return tuple(ordered[: int(np.searchsorted(sums, CREDIBLE)) + 1])


def fitting(probability: dict[str, float], *, nameless: float = 0.5) -> tuple[str, ...]:
    """The credible names; none where the probability of `NOISE` is `nameless` or more."""
    if probability.get(NOISE, 0.0) >= nameless:
        return ()
    return tuple(name for name in credible(probability) if name != NOISE)


def settled(probability: dict[str, float], outcome: Outcome) -> dict[str, float]:
    """The posterior of a verdict: what is consistent is no mixture that matters; small shares are always possible."""
    if outcome != "consistent":
        return probability
    left = {name: p for name, p in probability.items() if name != MIXED}
    total = sum(left.values()) or 1.0
    return {name: p / total for name, p in left.items()}


def kept(before: Standing | None, now: Standing | None) -> Standing | None:
    """How things stand now; a verdict that was reached stays."""
    if before is None or now is None or before.outcome == "inconclusive":
        return now or before
    return replace(now, outcome=before.outcome, excluded=tuple(dict.fromkeys((*before.excluded, *now.excluded))))
