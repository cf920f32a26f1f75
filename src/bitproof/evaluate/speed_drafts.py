"""Speculative decoding with a variant as draft: how many of its tokens a target takes, and what that is worth.

A draft model proposes `draft_tokens` tokens, the target verifies them in one pass, takes them as far as they are its
own choice, and adds one of its own (Leviathan et al., arXiv 2211.17192). At temperature 0 the output is the target's
own, token for token, as far as arithmetic is exact: `bitproof bench --draft` says how far that is in an engine.

No engine needs to speculate to know this: with the target's own answer given, the draft's likeliest token at every
place says whether it would have been taken there. That is exact for greedy decoding, because whatever was taken before
is the target's own text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitproof.evaluate.speed_results import Figure
from bitproof.stats.cluster import proportion, ratio_of_sums
from bitproof.types import NotMeasured

__all__ = ["Speculation", "passes_needed", "speculation_of"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Speculation:
    """A draft under one target; intervals are over requests.

    `acceptance` is the share of the target's tokens that are the draft's choice too, `taken` the share of proposed
    tokens that are taken (proposals after the first miss are wasted), `tokens_per_pass` how many tokens one pass of
    the target yields.
    """

    draft_tokens: int
    n_requests: int
    acceptance: Figure
    taken: Figure
    tokens_per_pass: Figure


def speculation_of(agree: Mapping[str, Bools], draft_tokens: int = 5) -> Speculation:
    """From request -> whether the draft's likeliest token is the target's, [n] of each answer; see `Forced.same_top`.

    Raises ValueError for a draft of fewer than one token.
    """
    if draft_tokens < 1:
        raise ValueError("a draft proposes at least one token")
    flags = [np.asarray(each, dtype=bool) for each in agree.values() if len(each)]
    if not flags:
        nothing = NotMeasured("the draft engine does not score given tokens")
        return Speculation(
            draft_tokens=draft_tokens, n_requests=0, acceptance=nothing, taken=nothing, tokens_per_pass=nothing
        )
    counted = [passes_needed(each, draft_tokens) for each in flags]
    passes, proposed, taken = (list(column) for column in zip(*counted, strict=True))
    lengths = [len(each) for each in flags]
    nothing_proposed = NotMeasured("no answer is longer than one token")
    return Speculation(
        draft_tokens=draft_tokens,
        n_requests=len(flags),
        acceptance=proportion([int(each.sum()) for each in flags], lengths),
        taken=proportion(taken, proposed) if sum(proposed) else nothing_proposed,
        tokens_per_pass=ratio_of_sums(lengths, passes),
    )


def passes_needed(agree: Bools, draft_tokens: int) -> tuple[int, int, int]:
    """Replay of one answer: passes of the target, tokens proposed, tokens taken.

    Every pass yields the proposals up to the first that is not the target's choice, and one token of the target's own;
    no more is proposed than what is left of the answer but one.
    """
    passes = proposed = taken = place = 0
    while place < len(agree):
        window = agree[place : min(place + draft_tokens, len(agree) - 1)]
        misses = np.flatnonzero(~window)
        accepted = int(misses[0]) if len(misses) else len(window)
        passes, proposed, taken = passes + 1, proposed + len(window), taken + accepted
        place += accepted + 1
    return passes, proposed, taken
