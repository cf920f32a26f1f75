"""What is tried again over HTTP, after how long, and when a run ends.

The rules are declared, in `Patience`: a passing failure (connection cut, HTTP 429 or 5xx, half an answer) is tried
again after a backoff that doubles, with jitter from a seeded generator, or after what the server asks; a request that
still fails is a completion with an error; and `in_a_row` of those with no answer in between end the run, as does the
first answer that no other request could better (a key refused, a model that is not there).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bitproof.engines.generation import Completion, Request, Retry
from bitproof.engines.http_failures import Failure
from bitproof.errors import EnvironmentFailed, UsageError

__all__ = ["Attempt", "Patience", "Turns"]

Attempt = Callable[[Request], Awaitable[Completion]]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long one request, and a whole run, is tried."""

    attempts: int = 6  # of one request, the first one included
    timeout_s: float = 600.0  # of one attempt
    connect_s: float = 10.0
    backoff_s: float = 0.5  # before the second attempt, then twice as long each time
    longest_backoff_s: float = 30.0
    limited_s: float = 600.0  # one request waits because the server asks; attempts at a rate limit do not count
    in_a_row: int = 20  # requests failed without an answer in between: the run ends


class Turns:
    """The patience of one run while it is spent. `spoken` says that the server has answered in JSON at all."""

    def __init__(self, patience: Patience, seed: int) -> None:
        self.patience, self.spoken = patience, False
        self._random = random.Random(seed)
        self._answered = False  # a request
        self._hold_until = 0.0  # of the loop's clock: nobody asks before, by the server's own wish
        self._row, self._last = 0, Failure("")

    async def persist(self, request: Request, attempt: Attempt) -> Completion:
        """One request to its answer or its last failure; raises a Failure that ends the run."""
        retries: list[Retry] = []
        while True:
            try:
                await self._wait_turn()
                completion = await attempt(request)
            except Failure as failure:
                if self._ends(failure):
                    raise
                wait_s = self.pause_s(failure, retries)
                if wait_s is None:
                    return self._failed(request, failure, retries)
                retries.append(Retry(failure.why, round(wait_s, 3)))
                await asyncio.sleep(wait_s)
            else:
                self._answered, self._row = True, 0
                return replace(completion, retries=tuple(retries)) if retries else completion

    def _ends(self, failure: Failure) -> bool:
        """Whether no other request can do better than this one did."""
        passing = failure.again and self.spoken  # a web page from what has spoken JSON before
        return failure.ends == "always" or (failure.ends == "at first" and not self._answered and not passing)

    def pause_s(self, failure: Failure, retries: list[Retry]) -> float | None:
        """Seconds to wait before the next attempt; None if there is none."""
        patience, n = self.patience, len(retries) + 1
        if not failure.again:
            return None
        jitter = 1 + self._random.random() / 2
        wait_s: float = min(patience.backoff_s * 2 ** min(n - 1, 30), patience.longest_backoff_s) * jitter
        if failure.wait_s is not None:
            wait_s = failure.wait_s * jitter
        if sum(retry.wait_s for retry in retries) + wait_s > patience.limited_s and (failure.limited or failure.wait_s):
            return None
        if failure.limited:
            self.hold(failure.wait_s)
            return wait_s
        return wait_s if n < min(patience.attempts, failure.attempts or n + 1) else None

    def _failed(self, request: Request, failure: Failure, retries: list[Retry]) -> Completion:
        why = failure.why
        if failure.wait_s is not None and failure.wait_s > self.patience.limited_s:
            why += f" (it asks to wait {failure.wait_s:.0f} s)"
        # A refusal of one request (too long, not allowed) says that the endpoint is well, once it has answered others.
        self._row += failure.again or not self._answered
        self._last = failure
        return Completion(key=request.key, finish="error", error=why, again=failure.again, retries=tuple(retries))

    @property
    def lost(self) -> Failure | None:
        """Why the run is to end, where too many requests in a row failed; in the words of the last one."""
        if self._row < self.patience.in_a_row:
            return None
        why = f"{self._row} requests in a row failed, the last one because {self._last.why}"
        kind = EnvironmentFailed if self._last.again else UsageError
        return Failure(why, kind=kind, remedy=self._last.remedy or "What was measured before is kept.")

    def hold(self, wait_s: float | None) -> None:
        """Have nobody ask for so long."""
        if wait_s:
            until = asyncio.get_running_loop().time() + min(wait_s, self.patience.limited_s)
            self._hold_until = max(self._hold_until, until)

    async def _wait_turn(self) -> None:
        if self._hold_until:
            wait_s = self._hold_until - asyncio.get_running_loop().time()
            if wait_s > 0:
                await asyncio.sleep(wait_s + self._random.random() * min(wait_s, 1.0))
