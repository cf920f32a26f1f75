"""How many output tokens a method needs: audits drawn from the hold-out prompts, at one error rate for all methods.

An audit of n tokens draws prompts with replacement until their answers would cost more than n, and gives one score,
the larger the less alike. Prompts are the clusters, so tokens of one answer are never treated as independent. A method
rejects where its score is above a threshold:

- **bank**: the largest of the (1 - alpha) quantiles of its scores, at the same n, for the reference as served by other
  engines than the endpoint's. What the reference scores in the endpoint's own engine is then its false-alarm rate.
- **own**: the threshold that its paper takes from theory or from permutations, where it has one.
- **oracle**: the quantile for the reference in the endpoint's own engine, which no auditor has: what the method would
  need if its false alarms were at alpha exactly.

`tokens` of a curve is the smallest n from which on the power is reached at every larger n that was tried. No n exceeds
what is cached: beyond it, resampling would only repeat the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "Plan", "Prepared", "TokenMeans", "drawn", "power_curve", "tokens_interval"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BUDGETS = tuple(
    digit * 10**power
    for power in range(5)
    for digit in ((1, 2, 3, 4, 5, 6, 8) if power == 0 else (1, 1.5, 2, 3, 4, 6, 8))
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked of every method, and how finely it is looked at."""

    alpha: float = 0.01
    power: float = 0.95
    audits: int = 1000
    seed: int = 0
    budgets: tuple[int, ...] = tuple(int(budget) for budget in BUDGETS)


class Prepared(Protocol):
    """A method's view of one endpoint's answers against one reference: what its scores are computed from.

    Rows are prompts, the same in everything that is compared; a prompt that is not there costs nothing and is not
    drawn. A unit is what is asked at one time: an answer, or all answers of a prompt.
    """

    @property
    def cost_tokens(self) -> Ints:
        """Output tokens of each unit, [units]."""

    @property
    def own_threshold(self) -> float | None:
        """The published rule's threshold at the level that was asked for; None where the paper has none."""

    def scores(self, draws: Ints, used: Ints, rng: np.random.Generator) -> Floats:
        """Scores [audits] of units `draws` [audits, k] of which the first `used` [audits, k] tokens are paid for.

        -inf where an audit holds nothing that the method can use.
        """

    def take(self, prompts: Ints) -> Self:
        """The same with other rows: prompts drawn with replacement, for intervals."""


@dataclass(frozen=True, eq=False)
class TokenMeans:
    """A method whose score is the mean of one value a token: `values` [prompts, tokens], NaN where there is none.

    `cost_tokens` counts tokens that were paid for, also those without a value; they are the first of a row.
    """

    values: Floats
    cost_tokens: Ints
    own_threshold: float | None = None

    def scores(self, draws: Ints, used: Ints, rng: np.random.Generator) -> Floats:
        """Mean over all values among the tokens that were paid for."""
        start = np.zeros((len(self.values), 1))
        sums = np.hstack([start, np.nancumsum(self.values, axis=1)])
        counts = np.hstack([start, np.cumsum(np.isfinite(self.values), axis=1)])
        n = counts[draws, used].sum(axis=1)
        return np.where(n > 0, sums[draws, used].sum(axis=1) / np.maximum(n, 1), -np.inf)

    def take(self, prompts: Ints) -> TokenMeans:
        """See `Prepared`."""
        return TokenMeans(self.values[prompts], self.cost_tokens[prompts], self.own_threshold)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Power of a method against its budget. `tokens` None: not reached with `budgets[-1]` tokens, all that are cached.

    `false_alarms` is the share of audits of the reference in the endpoint's own engine that reject, at every budget;
    empty where that was not given.
    """

    budgets: tuple[int, ...]
    power: tuple[float, ...]
    false_alarms: tuple[float, ...]
    tokens: int | None

    @property
    def said(self) -> str:
        """The tokens in words."""
        if self.tokens is not None:
            return str(self.tokens)
        return f"more than {self.budgets[-1]} (power {self.power[-1]:.2f})" if self.budgets else "no answers"


def drawn(cost_tokens: Ints, budget: int, audits: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Units [audits, k] of random audits and how many tokens of each are paid for, `budget` in all in every audit."""
    there = np.flatnonzero(cost_tokens > 0)
    if not len(there):
        raise ValueError("no unit has tokens: nothing can be drawn")
    longest = int(np.ceil(budget / cost_tokens[there].min()))
    width = min(longest, int(1.5 * budget / cost_tokens[there].mean()) + 20)
    while True:
        draws = there[rng.integers(len(there), size=(audits, width))]
        paid = np.cumsum(cost_tokens[draws], axis=1)
        if (paid[:, -1] >= budget).all():
            before = paid - cost_tokens[draws]
            return draws, np.clip(budget - before, 0, cost_tokens[draws])
        width *= 2


def power_curve(
    served: Prepared,
    bank: Sequence[Prepared],
    plan: Plan,
    *,
    same_engine: Prepared | None = None,
    threshold: str = "bank",
) -> Curve:
    """Share of audits of `served` that reject, at every budget of `plan` that its answers can pay for.

    `bank` is the reference as other engines serve it, `same_engine` as the endpoint's own does; `threshold` is "bank",
    "own" or "oracle", see the module. Raises ValueError where that threshold has nothing to be taken from.
    """
    sources = {"bank": bank, "oracle": [same_engine] if same_engine else [], "own": []}[threshold]
    own = served.own_threshold if threshold == "own" else None
    if own is None and not sources:
        raise ValueError(f"there is nothing to take the {threshold} threshold from")
    total = int(served.cost_tokens.sum())
    budgets = (*(budget for budget in plan.budgets if budget < total), total) if total else ()
    power, alarms = [], []
    for number, budget in enumerate(budgets):
        rng = np.random.default_rng([plan.seed, number])
        limit = own
        if limit is None:
            limit = max(_quantile(_scores(source, budget, plan, rng), plan.alpha) for source in sources)
        power.append(float((_scores(served, budget, plan, rng) > limit).mean()))
        if same_engine is not None:
            alarms.append(float((_scores(same_engine, budget, plan, rng) > limit).mean()))
    reached = len(power)
    while reached and power[reached - 1] >= plan.power:
        reached -= 1
    tokens = budgets[reached] if reached < len(power) else None
    return Curve(budgets=budgets, power=tuple(power), false_alarms=tuple(alarms), tokens=tokens)


def tokens_interval(
    served: Prepared,
    bank: Sequence[Prepared],
    plan: Plan,
    *,
    same_engine: Prepared | None = None,
    threshold: str = "bank",
    prompts: int,
    replicates: int = 40,
) -> tuple[float, float]:
    """95 % interval of `Curve.tokens`: the whole curve for `replicates` draws of the `prompts`; inf is "not reached".

    Grain: budgets of the plan, and audits of the plan in each replicate.
    """
    found = []
    for replicate in range(replicates):
        rows = np.random.default_rng([plan.seed, 1, replicate]).integers(prompts, size=prompts)
        curve = power_curve(
            served.take(rows),
            [one.take(rows) for one in bank],
            plan,
            same_engine=same_engine and same_engine.take(rows),
            threshold=threshold,
        )
        found.append(np.inf if curve.tokens is None else float(curve.tokens))
    low, high = np.quantile(found, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def _scores(one: Prepared, budget: int, plan: Plan, rng: np.random.Generator) -> Floats:
    draws, used = drawn(one.cost_tokens, budget, plan.audits, rng)
    return one.scores(draws, used, rng)


def _quantile(scores: Floats, alpha: float) -> float:
    """The smallest score that at most `alpha` of `scores` exceed."""
    ordered = np.sort(scores)
    return float(ordered[int(np.ceil((1 - alpha) * len(ordered))) - 1])
