"""The requests of one audit, one at a time: what the endpoint takes is found with the first, and all that they cost."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

from bitproof.audit.preflight import FILTERED, charged
from bitproof.audit.purse import Purse
from bitproof.engines.generation import Completion, Generator, Request
from bitproof.engines.http_patience import Patience
from bitproof.errors import EnvironmentFailed, UsageError

__all__ = ["PATIENCE", "Conversation"]

PATIENCE = Patience(attempts=4, timeout_s=60.0, limited_s=90.0)  # of an audit: its answers are a few tokens
FEWER = (8, 5, 1, 0)  # logprobs a token, where more are refused: the limits of well-known providers
MALFORMED = re.compile(r"HTTP 4(00|22)\b")  # the request, says the server
COLD = re.compile("temperature", re.IGNORECASE)
IN_A_ROW = 3  # failures, and the endpoint has stopped answering
MOST_WAIT_S = 60.0  # waited in vain since the last answer


class Conversation:
    """Asks at most `top` logprobs a token, and fewer where the endpoint refuses so many.

    `warm` says why it cannot be asked at temperature 0, `broken` why it is given up, `refusals` what else it would not
    take. Completions are kept as `see` sees them; `aside` are those that are paid for, and count for nothing else.
    """

    def __init__(
        self,
        engine: Generator,
        *,
        top: int,
        purse: Purse | None = None,
        see: Callable[[Completion], Completion] = lambda completion: completion,
    ) -> None:
        self._engine, self.purse, self._see = engine, purse or Purse(), see
        self.top, self.warm = top, ""
        self.requests: list[Request] = []
        self.completions: list[Completion] = []
        self.answered: list[Completion] = []  # the completions that are no errors
        self.aside: list[Completion] = []
        self.refusals: list[str] = []
        self.spent, self._longest = 0, 0
        self._lost = ""

    def needs(self, request: Request) -> int:
        """The most answer tokens that a request should cost, by what earlier ones did."""
        return max(request.max_tokens, self._longest)

    def ask(self, request: Request) -> Completion | None:
        """Ask once; None where it has to be asked otherwise (`warm`), or the endpoint is lost (`broken`).

        Raises EnvironmentFailed or UsageError where the engine fails as a whole before it has answered anything.
        """
        request = replace(request, top_logprobs=min(request.top_logprobs, self.top))
        completion = self._once(request)
        if completion is not None and self.is_refused(completion):
            request, completion = self._otherwise(request, completion)
        if completion is not None:
            self._take(completion, request)
        return completion

    def set_aside(self) -> None:
        """Go on as if nothing had been asked, but for what it has cost."""
        self.aside += self.completions
        for each in (self.requests, self.completions, self.answered):
            each.clear()

    @property
    def broken(self) -> str:
        """Why the endpoint is given up; empty while it is not."""
        if self._lost:
            return self._lost
        row = list(takewhile(lambda one: one.finish == "error", reversed(self.completions)))
        filtered = sum(bool(FILTERED.search(one.error)) for one in row)
        if filtered and filtered == len(self.completions) > IN_A_ROW:
            return "its filter refuses the questions"
        waited = sum(retry.wait_s for one in row for retry in one.retries)
        if len(row) - filtered < IN_A_ROW and waited < MOST_WAIT_S:
            return ""
        advice = ": try again later" if row[0].again else ""
        return f"the endpoint fails: {row[0].error}{advice}"

    def _once(self, request: Request) -> Completion | None:
        found: list[Completion] = []
        try:
            self._engine.generate([request], lambda completion: found.append(self._see(completion)))
        except (EnvironmentFailed, UsageError) as error:
            if not self.answered:
                raise
            self._lost = f"the endpoint has failed: {error.what}"
        return found[0] if found else None

    def _take(self, completion: Completion, request: Request) -> None:
        self.requests.append(request)
        self.completions.append(completion)
        self.purse.settle(completion, request)
        if completion.finish != "error":
            self.answered.append(completion)
        cost = charged(completion, request)
        self.spent += cost
        if cost > request.max_tokens:
            self._longest = max(self._longest, cost)

    def is_refused(self, completion: Completion) -> bool:
        """Whether it is the form of a question that is refused, before any has been answered."""
        malformed = MALFORMED.match(completion.error) and not FILTERED.search(completion.error)
        return bool(malformed) and not self.answered

    def _otherwise(self, request: Request, refused: Completion) -> tuple[Request, Completion | None]:
        """The first form of a refused request that is taken, and the answer; the request itself where none is."""
        forms = [replace(request, top_logprobs=top) for top in FEWER if top < request.top_logprobs]
        error = refused.error
        for form in forms:
            if COLD.search(error):
                break
            form = replace(form, key=f"{request.key.partition('.')[0]}.top{form.top_logprobs}")
            completion = self._once(form)
            if completion is None:
                return form, None
            if not self.is_refused(completion):
                self.top = form.top_logprobs
                self.refusals.append(f"it refuses {request.top_logprobs} logprobs a token ({refused.error})")
                return form, completion
            error = completion.error
        if COLD.search(error) and request.temperature == 0:
            self.warm = f"it refuses temperature 0 ({error})"
            return request, None
        return request, refused
