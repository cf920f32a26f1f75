"""Several endpoints asked in turns: each audit asks one question after another, all of them interleaved at random.

Time of day, load and a provider's own changes then fall on all endpoints alike, and nobody's answers are bunched. In
every round each endpoint that still asks has one request, in an order that a seed draws.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Self, TypeVar

from bitproof.engines.generation import Abilities, Ability, Completion, Generator, OnCompletion, Request
from bitproof.engines.http_heard import Heard
from bitproof.engines.protocol import Logprobs, Tokens
from bitproof.errors import EnvironmentFailed, UnsupportedError, UsageError
from bitproof.types import Progress

__all__ = ["Counted", "InTurn", "Rounds", "Tally", "side_by_side"]

T = TypeVar("T")


class Ended(Exception):
    """The run was interrupted while this endpoint waited for its turn."""


class Rounds:
    """Lets each of `names` through once a round, `at_once` of them at a time."""

    def __init__(self, names: Sequence[str], *, seed: int, at_once: int) -> None:
        self._left = list(names)
        self._random, self._room = Random(f"turns {seed}"), at_once
        self._inside, self._ended = 0, False
        self._order = self._random.sample(self._left, len(self._left))
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Wait for this endpoint's turn, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or (self._order[:1] == [name] and self._inside < self._room))
            if self._ended:
                raise Ended
            self._order.pop(0)
            self._inside += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._next_round()

    def leave(self, name: str) -> None:
        """This endpoint asks no more."""
        with self._changed:
            self._left.remove(name)
            self._order = [one for one in self._order if one != name]
            self._next_round()

    def end(self) -> None:
        """Nobody asks any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _next_round(self) -> None:
        if not self._order and not self._inside:
            self._order = self._random.sample(self._left, len(self._left))
        self._changed.notify_all()


def side_by_side(rounds: Rounds, jobs: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Run one job for each endpoint of `rounds`, each in a thread of its own; raises what the first one raises."""

    def work(name: str, job: Callable[[], T]) -> T:
        try:
            return job()
        finally:
            rounds.leave(name)

    with ThreadPoolExecutor(max(1, len(jobs))) as threads:
        running = {name: threads.submit(work, name, job) for name, job in jobs.items()}
        try:
            return {name: one.result() for name, one in running.items()}
        except BaseException:
            rounds.end()
            raise


class Tally:
    """One progress of several endpoints: each counts alike."""

    def __init__(self, names: Sequence[str], progress: Progress | None) -> None:
        self._shares, self._progress = dict.fromkeys(names, 0.0), progress
        self._lock = threading.Lock()

    def of(self, name: str) -> Progress:
        """What one endpoint reports to."""

        def report(done: float, total: float, what: str) -> None:
            with self._lock:
                self._shares[name] = done / total if total else 0.0
                if self._progress:
                    self._progress(sum(self._shares.values()), len(self._shares), name)

        return report


class Counted:
    """An engine, and all that it was asked and answered; the engine stays the caller's."""

    def __init__(self, engine: Generator) -> None:
        self.engine = engine
        self.n_requests = self.prompt_tokens = self.answer_tokens = 0

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def version(self) -> str:
        return self.engine.version

    @property
    def settings(self) -> dict[str, str | int]:
        return self.engine.settings

    @property
    def abilities(self) -> Abilities:
        """Prompts are messages, as a customer sends them."""
        return replace(self.engine.abilities, prompt_ids=Ability(False), score=Ability(False))

    @property
    def dialect(self) -> str:
        """The engine's, where it has one."""
        return getattr(self.engine, "dialect", "")

    @property
    def heard(self) -> Heard | None:
        """What the endpoint says of itself, where the engine listens."""
        return getattr(self.engine, "heard", None)

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        """Answer every request."""

        def count(completion: Completion) -> None:
            self.n_requests += 1
            self.prompt_tokens += completion.prompt_tokens
            self.answer_tokens += completion.answer_tokens
            on_completion(completion)

        self.engine.generate(requests, count)

    def score(self, token_sequences: Tokens, *, first: Sequence[int] | None = None) -> list[Logprobs]:
        """Always raises UnsupportedError."""
        raise UnsupportedError("is only asked for answers", where=self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing."""


class InTurn(Counted):
    """An endpoint's engine that waits for its turn in `rounds`, and remembers its answers.

    A request that was answered before is answered from memory: so an audit can be gone through again at another level
    without asking again. Where the engine as a whole fails, a `lenient` one answers this request and all later ones
    with errors: what was answered before stands.
    """

    def __init__(self, engine: Generator, provider: str, rounds: Rounds, *, lenient: bool = False) -> None:
        super().__init__(engine)
        self.rounds, self._lenient = rounds, lenient
        self.seconds: list[float] = []  # of each answer
        self._provider, self._broken = provider, ""
        self._known: dict[str, tuple[Request, Completion]] = {}

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        """Answer one request after another, each in its turn."""
        for request in requests:
            known = self._known.get(request.key)
            if known is None or known[0] != request:
                known = self._known[request.key] = (request, self._ask(request))
            on_completion(known[1])

    def _ask(self, request: Request) -> Completion:
        answers: list[Completion] = []
        if not self._broken:
            with self.rounds.turn(self._provider):
                try:
                    super().generate([request], answers.append)
                except (EnvironmentFailed, UsageError) as error:
                    if not self._lenient:
                        raise
                    self._broken = error.what
        if not answers:
            return Completion(key=request.key, finish="error", error=self._broken)
        if answers[0].total_s is not None and not answers[0].error:
            self.seconds.append(answers[0].total_s)
        return answers[0]
