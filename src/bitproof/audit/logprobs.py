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
from bitproof.audit.profile import REFERENCE, Profile
from bitproof.audit.standing import NOISE, Outcome, Standing

__all__ = ["LOOKS", "LogprobTest"]

LOOKS = (3, 5, 10, 20, 30, 40, 60)


class LogprobTest:
    """Reads the logprobs of tokens, at most `top` at each; `looks` are the numbers of tokens at which it decides.

    `ignored` are names that need not be ruled out: the reference's equals.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        alpha: float,
        top: int,
        looks: Sequence[int] = LOOKS,
        ignored: Sequence[str] = (),
    ) -> None:
        self.namer = Namer(profile, top=top)
        self.top, self.looks = top, tuple(looks)
        self.readings: list[Reading] = []
        self._names, self._ignored, self._level = profile.names, set(ignored), alpha / len(looks)
        self._waiting = list(looks)

    def add(self, readings: list[Reading]) -> None:
        """Take in the tokens of one request that came with logprobs."""
        self.readings += [reading for reading in readings if reading.said]

    def standing(self) -> Standing | None:
        """How things stand at the look that is due; None where none is."""
        if not self._waiting or len(self.readings) < self._waiting[0]:
            return None
        while self._waiting and len(self.readings) >= self._waiting[0]:
            self._waiting.pop(0)
        naming = self.namer.name(served(self.readings, top=self.top))
        level = self._level
        excluded = [name for name in self._names if naming.fit[name] < level]
        if REFERENCE in excluded and naming.probability[REFERENCE] >= level:
            excluded.remove(REFERENCE)
        fits = max(naming.fit.values()) >= level
        return Standing(
            outcome=self._outcome(excluded),
            probability=naming.probability if fits else {**dict.fromkeys(self._names, 0.0), NOISE: 1.0},
            closest=naming.credible if fits else (),
            excluded=tuple(excluded),
            fit=naming.fit,
        )

    def _outcome(self, excluded: list[str]) -> Outcome:
        if REFERENCE in excluded:
            return "inconsistent"
        left = set(self._names) - {REFERENCE} - self._ignored - set(excluded)
        return "inconclusive" if left else "consistent"
