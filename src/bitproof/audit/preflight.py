"""What an endpoint's answers are fit for, found from the answers themselves: each finding one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bitproof.engines.generation import Completion, TokenLogprob

__all__ = ["alternatives", "degenerate", "findings", "rounding", "said"]

IMPOSSIBLE = -99.0  # nats: servers put -100, -999 or -9999 where they have no logprob
DECIMALS = 4  # a logprob rounded to so many or fewer is said to be


def degenerate(logprob: float) -> bool:
    """Whether a number is no logprob: not finite, above 0, or a placeholder."""
    return not math.isfinite(logprob) or logprob > 1e-6 or logprob <= IMPOSSIBLE


def alternatives(completions: Sequence[Completion]) -> int:
    """The most alternatives that came with a token; 1 where the token's own logprob came alone, 0 where none did."""
    tokens = [token for one in completions for token in one.logprobs or ()]
    return max((max(1, len(token.top)) for token in tokens), default=0)


def rounding(completions: Sequence[Completion]) -> int | None:
    """How many decimals all logprobs have, where they are few; None where they are not rounded."""
    values = [one.logprob for one in said(completions) if not degenerate(one.logprob) and one.logprob != 0]
    if len(values) < 10:
        return None
    return next((n for n in range(DECIMALS + 1) if all(abs(value - round(value, n)) < 1e-9 for value in values)), None)


def findings(completions: Sequence[Completion], *, asked: int) -> list[str]:
    """What a person should know before relying on these answers; `asked` alternatives were asked for."""
    found = []
    given = alternatives(completions)
    if 0 < given < asked:
        found.append(f"it gives {given} logprobs a token where {asked} were asked for")
    every = said(completions)
    bad = sum(degenerate(one.logprob) for one in every)
    if bad:
        found.append(f"{bad} of {len(every)} logprobs are none (not finite, above 0, or a placeholder): left out")
    decimals = rounding(completions)
    if decimals is not None:
        found.append(f"its logprobs are rounded to {decimals} decimals")
    failed = sum(one.finish == "error" for one in completions)
    if failed:
        found.append(f"{failed} of {len(completions)} questions were not answered")
    return found


def said(completions: Sequence[Completion]) -> list[TokenLogprob]:
    """Every logprob that was given: the alternatives of each token, or its own where it came alone."""
    return [one for answer in completions for token in answer.logprobs or () for one in token.top or (token,)]
