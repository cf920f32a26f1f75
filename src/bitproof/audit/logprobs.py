"""Audits by logprobs: residual profiles at declared numbers of tokens, see `naming`.

At a look, alpha split evenly over the looks,

- the reference is ruled out where a profile as far from it would be seen less often than that, and its posterior is
  below that;
- a variant is ruled out where its own profile would be seen as far less often than that.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitproof.audit.naming import Namer
from bitproof.audit.observe import Reading, served
from bitproof.audit.profile import REFERENCE
from bitproof.audit.standing import NOISE, Outcome, Standing

__all__ = ["LOOKS", "LogprobTest"]

LOOKS = (3, 5, 10, 20, 30, 40, 60)


class LogprobTest:
    """Reads the logprobs of tokens; `looks` are the numbers of them at which it decides.

    `ignored` are names that need not be ruled out: the reference's equals.
    """

    def __init__(
        self, namer: Namer, *, alpha: float, looks: Sequence[int] = LOOKS, ignored: Sequence[str] = ()
    ) -> None:
        self.namer, self.looks = namer, tuple(looks)
        self.readings: list[Reading] = []
        self._ignored, self._level = set(ignored), alpha / len(looks)
        self._waiting = list(looks)

    @property
    def top(self) -> int:
        """How many logprobs are read at each token."""
        return self.namer.top

    def add(self, readings: list[Reading]) -> None:
        """Take in the tokens of one request that came with logprobs."""
        self.readings += [reading for reading in readings if reading.said]

    def standing(self) -> Standing | None:
        """How things stand at the look that is due; None where none is."""
        if not self._waiting or len(self.readings) < self._waiting[0]:
            return None
        while self._waiting and len(self.readings) >= self._waiting[0]:
            self._waiting.pop(0)
        return self.now()

    def now(self) -> Standing | None:
        """How things stand; None before the first token."""
        if not self.readings:
            return None
        naming, level = self.namer.name(served(self.readings, top=self.top)), self._level
        excluded = [name for name, fit in naming.fit.items() if fit < level]
        if REFERENCE in excluded and naming.probability[REFERENCE] >= level:
            excluded.remove(REFERENCE)
        fits = max(naming.fit.values()) >= level
        return Standing(
            outcome=self._outcome(naming.fit.keys() - set(excluded)),
            probability=naming.probability if fits else {**dict.fromkeys(naming.fit, 0.0), NOISE: 1.0},
            closest=naming.credible if fits else (),
            excluded=tuple(excluded),
            fit=naming.fit,
        )

    def _outcome(self, left: set[str]) -> Outcome:
        if REFERENCE not in left:
            return "inconsistent"
        return "inconclusive" if left - {REFERENCE} - self._ignored else "consistent"
