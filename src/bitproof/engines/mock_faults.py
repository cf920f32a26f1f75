"""Faults on demand: which request meets which, decided by a seed, so that a run against the mock server repeats."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, fields

from bitproof.errors import UsageError

__all__ = ["IGNORABLE", "KINDS", "Faults", "Lot"]

IGNORABLE = (
    "echo",
    "logprobs",
    "max_tokens",
    "prompt_ids",
    "prompt_logprobs",
    "schema",
    "seed",
    "stream",
    "temperature",
    "token_ids",
    "tool_choice",
    "usage",
)


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong, as shares of requests in [0, 1], and what is silently ignored in every request.

    Every attempt is drawn anew, so a retry can succeed. `delay_s` comes before every answer, `between_s` before every
    further piece of a stream, `slow_s` before those answers that are drawn as slow.
    """

    rate_limited: float = 0.0  # HTTP 429 with Retry-After: retry_after_s
    server_error: float = 0.0  # HTTP 500
    cut: float = 0.0  # the connection ends inside the answer
    malformed: float = 0.0  # JSON that ends too early
    html: float = 0.0  # a web page, with status 200
    wrong_finish: float = 0.0  # "stop" for an answer that was cut, "length" for a whole one
    filtered: float = 0.0  # nothing, and "content_filter" as the reason
    slow: float = 0.0
    delay_s: float = 0.0
    between_s: float = 0.0
    slow_s: float = 1.0
    retry_after_s: float = 1.0
    ignores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in KINDS:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"is {getattr(self, name)}", where=f"fault {name}", remedy="Give a share of 0 to 1.")
        if sum(getattr(self, name) for name in KINDS) > 1:
            raise UsageError("the shares of all faults together exceed 1", remedy="Give smaller ones.")
        for name in self.ignores:
            if name not in IGNORABLE:
                raise UsageError(
                    f"{name!r} is nothing that can be ignored", remedy=f"These can: {', '.join(IGNORABLE)}."
                )


KINDS = tuple(field.name for field in fields(Faults) if field.type == "float" and not field.name.endswith("_s"))


class Lot:
    """Draws the fault of each request: by the seed, what it asks, and how often that was asked before."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults, self._seed = faults, seed
        self._asked: Counter[bytes] = Counter()

    def draw(self, content: bytes) -> str:
        """The kind of fault, "" for none. Independent of the order in which different requests arrive."""
        n = self._asked[digest := hashlib.blake2b(content, digest_size=16).digest()]
        self._asked[digest] += 1
        drawn = hashlib.blake2b(digest + f"{self._seed}:{n}".encode(), digest_size=8).digest()
        share = int.from_bytes(drawn) / 2**64
        for kind in KINDS:
            share -= getattr(self._faults, kind)
            if share < 0:
                return kind
        return ""
