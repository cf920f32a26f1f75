"""Audits by logprobs: residual profiles at declared numbers of tokens, see `naming`.

At a look, alpha split evenly over the looks,

- the reference is ruled out where a profile as far from it, and from each of its equals, would be seen less often than
  that, and its posterior is below that;
- a variant is ruled out where its own profile would be seen as far less often than that.

Where the reference is ruled out, the likeliest variant is a name only if what was served errs in its direction, see
`alignment`: nearly as its own arithmetics do, or at least half as much where its profile fits.

A verdict of consistent takes as many requests as it needs for one of them, at least, to have met a variant that answers
a quarter of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log

from bitproof.audit.alignment import alignment
from bitproof.audit.mixture import mixed_odds
from bitproof.audit.naming import Namer
from bitproof.audit.observe import Reading, served
from bitproof.audit.profile import REFERENCE
from bitproof.audit.standing import MIXED, MIXED_SHARE, NOISE, Outcome, Standing, fitting, settled

__all__ = ["LOOKS", "LogprobTest"]

LOOKS = {
    10: (1, 2, 3, 5, 10, 20, 30, 40, 60),
    3: (2, 3, 5, 10, 20, 40, 60, 100, 160),
    1: (10, 20, 40, 60, 80, 120, 160),
}
"""Tokens after which to look, by the fewest logprobs at each: a mean of few numbers is no normal variable."""


class LogprobTest:
    """Reads the logprobs of tokens, and decides at `LOOKS` of them, at no more than `most`.

    `ignored` are names that need not be ruled out: the reference's equals. Where a request gives many tokens for the
    price of one, looks are counted `by_request`.
    """

    def __init__(
        self,
        namer: Namer,
        *,
        alpha: float,
        most: int | None = None,
        ignored: Sequence[str] = (),
        by_request: bool = False,
    ) -> None:
        looks = next(looks for fewest, looks in LOOKS.items() if namer.top >= fewest)
        self.namer, self.looks = namer, tuple(look for look in looks if most is None or look <= most)
        self.readings: list[Reading] = []
        self._ends: list[int] = []  # how many readings there were after each request
        self._by_request, self._enough = by_request, ceil(log(alpha) / log(1 - MIXED_SHARE))
        self._ignored, self._level = set(ignored), alpha / max(1, len(self.looks))
        self._waiting = list(self.looks)

    @property
    def top(self) -> int:
        """How many logprobs are read at each token."""
        return self.namer.top

    def add(self, readings: list[Reading]) -> None:
        """Take in the tokens of one request that came with logprobs."""
        said = [reading for reading in readings if reading.said]
        self.readings += said
        self._ends += [len(self.readings)] * bool(said)

    def standing(self) -> Standing | None:
        """How things stand at the look that is due; None where none is."""
        known = self._ends if self._by_request else range(1, len(self.readings) + 1)
        if not self._waiting or len(known) < self._waiting[0]:
            return None
        while self._waiting and len(known) >= self._waiting[0]:
            look = self._waiting.pop(0)
        return self._at(known[look - 1])

    def now(self) -> Standing | None:
        """How things stand; None before the first token."""
        return self._at(len(self.readings)) if self.readings else None

    def _at(self, n: int) -> Standing:
        """How things stand after the first `n` tokens."""
        answers, level = served(self.readings[:n], top=self.top), self._level
        naming = self.namer.name(answers)
        excluded = [name for name, fit in naming.fit.items() if fit < level]
        if REFERENCE in excluded and naming.probability[REFERENCE] >= level:
            excluded.remove(REFERENCE)
        outcome = self._outcome(naming.fit.keys() - set(excluded))
        fits, aligned = max(naming.fit.values()) >= level, None
        if outcome == "inconsistent":
            towards = alignment(self.namer.profile, answers, naming.best)
            aligned = towards if fits or towards.close else None
            fits = aligned is not None and aligned.holds
        odds = mixed_odds(self.namer, answers, self._ends, naming.probability if fits else {})
        pure = naming.probability if fits else {**dict.fromkeys(naming.fit, 0.0), NOISE: 1.0}
        probability = {name: p / (1 + odds) for name, p in pure.items()} | {MIXED: odds / (1 + odds)}
        probability = settled(probability, outcome)
        return Standing(
            outcome=outcome,
            probability=probability,
            closest=fitting(probability),
            excluded=tuple(excluded),
            fit=naming.fit,
            clear=aligned is None or aligned.clear,
            alignment=aligned,
        )

    def _outcome(self, left: set[str]) -> Outcome:
        others = left - {REFERENCE} - self._ignored
        if others == left:  # neither the reference nor an equal of it
            return "inconsistent"
        return "inconclusive" if others or len(self._ends) < self._enough else "consistent"
