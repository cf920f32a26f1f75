"""Requests sent when they are due, answers timed piece by piece as they stream in.

An open load sends on schedule whatever the server does, and nothing is tried again: a failed request stays failed. A
closed load keeps a number of requests in flight, and its clock starts when a request is sent.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import httpx2

from bitproof.engines.generation import Completion, Request
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_failures import Failure
from bitproof.engines.http_wire import OpenAIReader, body_of
from bitproof.evaluate.runner import Budget
from bitproof.evaluate.speed_results import Load
from bitproof.evaluate.speed_schedule import arrivals_s

__all__ = ["Meter", "Sample", "SpeedClient"]

# Engines that can be told to go on after the end of the text, so that every target does the same work.
CAN_IGNORE_END = ("vllm", "llamacpp")
# A kept connection that the server closes just when a request is sent: it has not seen the request, which goes out
# again at once on another one (RFC 9112, 9.3.1). llama.cpp's server closes after every stream without saying so.
CLOSED = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
CONNECTIONS_TRIED = 3


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One request as it went. Times are seconds since the load began; `pieces_s` are when text arrived."""

    due_s: float
    sent_s: float
    done_s: float
    pieces_s: tuple[float, ...] = ()
    prompt_tokens: int = 0
    answer_tokens: int = 0
    stages: dict[str, float] = field(default_factory=dict)  # seconds, as the engine tells
    speculated: tuple[int, int] | None = None
    write_s: float = 0.0  # making the request's JSON
    read_s: float = 0.0  # reading the records of the answer
    check_s: float | None = None  # validating the answer against the schema
    valid: bool | None = None
    text: str = ""
    error: str = ""


class Meter:
    """A budget of one target while it is spent."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._start, self._tokens = budget, time.monotonic(), 0
        self.reached = ""

    def spend_tokens(self, n: int) -> None:
        self._tokens += n

    def left_s(self) -> float | None:
        """Seconds left; None without a limit."""
        limit = self._budget.time_s
        return None if limit is None else max(0.0, self._start + limit - time.monotonic())

    def spent(self) -> bool:
        """Whether to stop sending; says why in `reached`."""
        if self.left_s() == 0:
            self.reached = f"the budget of {self._budget.time_s:g} s was spent"
        if self._budget.tokens is not None and self._tokens >= self._budget.tokens:
            self.reached = f"the budget of {self._budget.tokens:,} tokens was spent"
        return bool(self.reached)


class SpeedClient:
    """Sends loads to one engine over its own connections. `validate` says of an answer whether it fits the schema."""

    def __init__(self, engine: HttpGenerator, meter: Meter, validate: Callable[[str], bool] | None = None) -> None:
        self._engine, self._meter, self._validate = engine, meter, validate
        self._limit = "max_tokens"
        self._url = engine.client.at("/chat/completions")

    def warm_up(self, requests: Sequence[Request]) -> None:
        """Requests that are not measured, one after another; raises the engine's error where it answers none."""
        failures = []
        for request in requests:
            try:
                self._engine.client.run(self._ask(request, _Clock()))
            except Failure as failure:
                if "max_completion_tokens" in failure.why:
                    self._limit = "max_completion_tokens"  # OpenAI's newer models
                failures.append(failure)
        if len(failures) == len(requests):
            raise self._engine.client.error(failures[-1])

    def run(self, load: Load, requests: Sequence[Request], seed: int) -> list[Sample]:
        """One load; samples in the order of the requests, as many as were sent before the budget was spent."""
        job = self._closed(load, requests) if load.rate_per_s is None else self._open(load, requests, seed)
        return self._engine.client.run(job)

    async def _open(self, load: Load, requests: Sequence[Request], seed: int) -> list[Sample]:
        clock, tasks = _Clock(), []
        for request, due_s in zip(requests, arrivals_s(load, seed), strict=True):
            await asyncio.sleep(max(0.0, due_s - clock.now()))
            if self._meter.spent():
                break
            tasks.append((due_s, asyncio.create_task(self._one(request, due_s, clock))))
        return await self._collect(tasks, clock)

    async def _closed(self, load: Load, requests: Sequence[Request]) -> list[Sample]:
        clock, shared = _Clock(), iter(requests)
        samples: list[Sample] = []

        async def user() -> None:
            for request in shared:
                if self._meter.spent():
                    return
                samples.append(await self._one(request, clock.now(), clock))

        users = [(0.0, asyncio.create_task(user())) for _ in range(load.concurrency or 1)]
        await asyncio.wait([task for _, task in users], timeout=self._meter.left_s())
        for _, task in users:
            task.cancel()
        await asyncio.gather(*(task for _, task in users), return_exceptions=True)
        self._meter.spent()
        return sorted(samples, key=lambda sample: sample.due_s)

    async def _collect(self, tasks: Sequence[tuple[float, asyncio.Task[Sample]]], clock: _Clock) -> list[Sample]:
        """Wait for all that is in flight, at most until the time is spent: what is left then counts as unanswered."""
        if tasks:
            await asyncio.wait([task for _, task in tasks], timeout=self._meter.left_s())
        samples = []
        for due_s, task in tasks:
            if task.done():
                samples.append(task.result())
            else:
                task.cancel()
                samples.append(Sample(due_s=due_s, sent_s=due_s, done_s=clock.now(), error="not answered in time"))
        await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)
        self._meter.spent()
        return samples

    async def _one(self, request: Request, due_s: float, clock: _Clock) -> Sample:
        sent_s = clock.now()
        try:
            completion, reader, write_s = await self._ask(request, clock)
        except Failure as failure:
            if failure.ends == "always":
                raise self._engine.client.error(failure) from None
            return Sample(due_s=due_s, sent_s=sent_s, done_s=clock.now(), error=failure.why)
        done_s, check_s, valid = clock.now(), None, None
        if self._validate is not None:
            start = perf_counter()
            valid = self._validate(completion.text)
            check_s = perf_counter() - start
        sample = Sample(
            due_s=due_s,
            sent_s=sent_s,
            done_s=done_s,
            pieces_s=tuple(reader.pieces_s) if completion.first_token_s is not None else (),
            prompt_tokens=completion.prompt_tokens,
            answer_tokens=completion.answer_tokens,
            stages=completion.stages,
            speculated=completion.speculated,
            write_s=write_s,
            read_s=reader.read_s,
            check_s=check_s,
            valid=valid,
            text=completion.text,
        )
        self._meter.spend_tokens(sample.prompt_tokens + sample.answer_tokens)
        return sample

    async def _ask(self, request: Request, clock: _Clock) -> tuple[Completion, _TimedReader, float]:
        engine, start = self._engine, perf_counter()
        body: dict[str, Any] = body_of(request, engine.dialect, by_ids=False, stream=True, limit=self._limit)
        body["model"] = engine.model
        if engine.dialect in CAN_IGNORE_END and request.schema is None:
            body["ignore_eos"] = True
        json.dumps(body, separators=(",", ":")).encode()  # what the client is about to do, timed
        write_s = perf_counter() - start
        for _ in range(CONNECTIONS_TRIED):
            reader = _TimedReader(OpenAIReader(request), clock)
            try:
                return await engine.client.ask(self._url, body, reader, stream=True), reader, write_s
            except Failure as failure:
                if not isinstance(failure.__cause__, CLOSED) or reader.pieces_s:
                    raise
                last = failure
        raise last


class _Clock:
    def __init__(self) -> None:
        self._start = perf_counter()

    def now(self) -> float:
        return perf_counter() - self._start


class _TimedReader:
    """A reader that notes when each piece came, and how long reading took."""

    def __init__(self, reader: OpenAIReader, clock: _Clock) -> None:
        self._reader, self._clock = reader, clock
        self.pieces_s: list[float] = []
        self.read_s = 0.0

    def take(self, record: Any) -> bool:
        now = self._clock.now()
        brought = self._reader.take(record)
        self.read_s += self._clock.now() - now
        if brought:
            self.pieces_s.append(now)
        return brought

    def completion(self, first_token_s: float | None, total_s: float) -> Completion:
        return self._reader.completion(first_token_s, total_s)
