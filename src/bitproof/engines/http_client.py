"""Many requests to one server over HTTP: how many at a time, what is tried again, and when the run ends.

The rules are declared, in `Patience`: a passing failure (connection cut, HTTP 429 or 5xx, half an answer) is tried
again after a backoff that doubles, with jitter from a seeded generator, or after what the server asks; a request that
still fails is a completion with an error; and `in_a_row` of those with no answer in between end the run, as does the
first answer that no other request could better (a key refused, a model that is not there).
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Protocol, TypeVar

import httpx2

from bitproof.engines.generation import Completion, OnCompletion, Request, Retry
from bitproof.engines.http_address import LOOPBACK, base_url
from bitproof.engines.http_failures import Failure, from_exception, from_response, told_to_wait_s
from bitproof.errors import BitproofError, EnvironmentFailed, UsageError

__all__ = ["Client", "Patience", "Reader"]

T = TypeVar("T")
Attempt = Callable[[Request], Awaitable[Completion]]
# Common servers close an idle connection after 5 s; one that is closed while a request is on its way costs a retry.
KEEP_IDLE_S = 3.0


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


class Reader(Protocol):
    """Makes a completion out of the records of one answer: of its only one, or of those of a stream."""

    def take(self, record: Any) -> bool:
        """Take a record; returns whether it brought a token. Raises Failure, or KeyError and the like if malformed."""

    def completion(self, first_token_s: float | None, total_s: float) -> Completion:
        """The completion, with its times; raises Failure if the answer is not whole."""


class Client:
    """A pool of connections to `url`, with one event loop of its own.

    `headers` may hold secrets: they are sent, and neither shown nor stored; whatever the server says back is scrubbed
    of them. TLS is verified. Proxies of the environment are used, except for a server on this machine.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        secrets: tuple[str, ...] = (),
        workers: int = 8,
        patience: Patience | None = None,
        seed: int = 0,
        key_advice: str = "",
    ) -> None:
        if workers < 1:
            raise UsageError(f"{workers} workers can do nothing", remedy="Give 1 or more.")
        self.url = base_url(url)
        self.where = str(self.url.copy_with(query=None))
        self._urls: dict[str, httpx2.URL] = {}
        self.workers, self.patience = workers, patience or Patience()
        self._secrets, self._key_advice = tuple(secret for secret in secrets if len(secret) > 3), key_advice
        self._headers = httpx2.Headers(
            {
                "accept": "application/json, text/event-stream",
                "accept-encoding": "gzip, deflate",
                "content-type": "application/json",
                "user-agent": "bitproof",
                **(headers or {}),
            }
        )
        self._random = random.Random(seed)
        self._runner: asyncio.Runner | None = None
        self._pool: httpx2.AsyncClient | None = None
        self._hold_until = 0.0  # of the loop's clock: nobody asks before, by the server's own wish
        self._spoken = self._answered = False  # JSON at all; an answer to a request
        self._row, self._last = 0, Failure("")
        self.close_after_streams = False  # connections are not kept for another request

    def __repr__(self) -> str:
        return f"Client({self.where!r})"

    def at(self, path: str) -> httpx2.URL:
        """The URL of a path below the base URL, with the base URL's query."""
        if path not in self._urls:  # parsing a URL costs a tenth of a request
            self._urls[path] = self.url.copy_with(path=self.url.path.rstrip("/") + path)
        return self._urls[path]

    def run(self, job: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, from ordinary code or from inside another event loop (a notebook)."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        runner = self._runner
        return _outside_of_loops(lambda: runner.run(job))

    def close(self) -> None:
        """Close every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            self.run(pool.aclose())
        runner, self._runner = self._runner, None
        if runner is not None:
            _outside_of_loops(runner.close)

    async def answer(
        self,
        requests: Iterable[Request],
        attempt: Attempt,
        on_completion: OnCompletion,
    ) -> None:
        """Answer all requests, `workers` at a time; `attempt` tries one once, and raises Failure."""
        shared, ended = iter(requests), False

        async def work() -> None:
            nonlocal ended
            for request in shared:
                completion = await self._persist(request, attempt)
                if ended:  # another worker was told to stop, and has not been able to cancel this one yet
                    return
                ended = True
                on_completion(completion)
                if self._row >= self.patience.in_a_row:
                    raise self._given_up()
                ended = False

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.workers):
                    group.create_task(work())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def get(self, url: httpx2.URL) -> Any:
        """The JSON at `url`, asked for once, or again after a rate limit; raises Failure."""
        retries: list[Retry] = []
        while True:
            start = perf_counter()
            try:
                return self._json(await self._send(httpx2.Request("GET", url, headers=self._headers)))
            except (httpx2.HTTPError, TimeoutError) as error:
                failure = self._scrubbed(from_exception(error, perf_counter() - start))
            except Failure as refused:
                failure = self._scrubbed(refused)
            wait_s = self._pause_s(failure, retries) if failure.limited else None
            if wait_s is None:
                raise failure
            retries.append(Retry(failure.why, wait_s))
            await asyncio.sleep(wait_s)

    async def ask(self, url: httpx2.URL, body: Any, reader: Reader, *, stream: bool = False) -> Completion:
        """Send `body` as JSON once, and return what `reader` made of the answer; raises Failure."""
        content = json.dumps(body, separators=(",", ":")).encode()
        headers = self._headers
        if stream and self.close_after_streams:
            headers = headers.copy()
            headers["connection"] = "close"
        request = httpx2.Request("POST", url, headers=headers, content=content)
        start, first_s = perf_counter(), None
        try:
            async with asyncio.timeout(self.patience.timeout_s):
                if stream:
                    first_s = await self._stream(request, reader, start)
                else:
                    reader.take(self._json(await self._send(request)))
            return reader.completion(first_s, perf_counter() - start)
        except (httpx2.HTTPError, TimeoutError) as error:
            raise self._scrubbed(from_exception(error, perf_counter() - start)) from error
        except Failure as failure:
            raise self._scrubbed(failure) from None
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
            raise self._scrubbed(Failure(f"its answer is not of the known form ({repr(error)[:200]})")) from error

    def error(self, failure: Failure) -> BitproofError:
        """A failure as the error that ends a run, with the URL and what would help."""
        remedy = self._key_advice if failure.refuses_key else failure.remedy
        return failure.kind(failure.why, where=self.where, remedy=remedy or None)

    async def _send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        if self._pool is None:
            patience = self.patience
            self._pool = httpx2.AsyncClient(
                limits=httpx2.Limits(
                    max_connections=self.workers,
                    max_keepalive_connections=self.workers,
                    keepalive_expiry=KEEP_IDLE_S,
                ),
                timeout=httpx2.Timeout(patience.timeout_s, connect=patience.connect_s, pool=None),
                trust_env=self.url.host not in LOOPBACK,
                # Without TLS: a context that trusts nobody, since reading the system's authorities takes 50 ms.
                verify=True if self.url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            )
        return await self._pool.send(request, stream=stream)

    def _json(self, response: httpx2.Response) -> Any:
        """The JSON of a response; raises Failure where its status or its body is none."""
        if response.is_success:
            if response.headers.get("x-ratelimit-remaining-requests") == "0":
                self._hold(told_to_wait_s(response.headers))
            try:
                record = json.loads(response.content)
            except (ValueError, RecursionError):
                pass
            else:
                self._spoken = True
                return record
        raise from_response(response.status_code, response.headers, response.text)

    async def _stream(self, request: httpx2.Request, reader: Reader, start: float) -> float | None:
        """Feed a stream to the reader; returns the seconds to its first token."""
        response = await self._send(request, stream=True)
        first_s = None
        try:
            if "event-stream" not in response.headers.get("content-type", ""):
                await response.aread()
                reader.take(self._json(response))  # it does not stream, but it answers: there is no first token
                return None
            async for event in httpx2.EventSource(response):
                if event.data == "[DONE]":
                    continue
                if reader.take(_event(event.data)) and first_s is None:
                    first_s = perf_counter() - start
        finally:
            await response.aclose()
        return first_s

    async def _persist(self, request: Request, attempt: Attempt) -> Completion:
        """One request to its answer or its last failure."""
        retries: list[Retry] = []
        while True:
            try:
                await self._wait_turn()
                completion = await attempt(request)
            except Failure as failure:
                if self._ends(failure):
                    raise self.error(failure) from None
                wait_s = self._pause_s(failure, retries)
                if wait_s is None:
                    return self._failed(request, failure, retries)
                retries.append(Retry(failure.why, round(wait_s, 3)))
                await asyncio.sleep(wait_s)
            else:
                self._answered, self._row = True, 0
                return replace(completion, retries=tuple(retries)) if retries else completion

    def _ends(self, failure: Failure) -> bool:
        """Whether no other request can do better than this one did."""
        passing = failure.again and self._spoken  # a web page from what has spoken JSON before
        return failure.ends == "always" or (failure.ends == "at first" and not self._answered and not passing)

    def _pause_s(self, failure: Failure, retries: list[Retry]) -> float | None:
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
            self._hold(failure.wait_s)
            return wait_s
        return wait_s if n < min(patience.attempts, failure.attempts or n + 1) else None

    def _failed(self, request: Request, failure: Failure, retries: list[Retry]) -> Completion:
        # A refusal of one request (too long, not allowed) says that the endpoint is well, once it has answered others.
        self._row += failure.again or not self._answered
        self._last = failure
        return Completion(
            key=request.key, finish="error", error=failure.why, again=failure.again, retries=tuple(retries)
        )

    def _given_up(self) -> BitproofError:
        kind = EnvironmentFailed if self._last.again else UsageError
        return kind(
            f"{self._row} requests in a row failed, the last one because {self._last.why}",
            where=self.where,
            remedy=self._last.remedy or "What was measured before is kept.",
        )

    def _hold(self, wait_s: float | None) -> None:
        if wait_s:
            until = asyncio.get_running_loop().time() + min(wait_s, self.patience.limited_s)
            self._hold_until = max(self._hold_until, until)

    async def _wait_turn(self) -> None:
        if self._hold_until:
            wait_s = self._hold_until - asyncio.get_running_loop().time()
            if wait_s > 0:
                await asyncio.sleep(wait_s + self._random.random() * min(wait_s, 1.0))

    def _scrubbed(self, failure: Failure) -> Failure:
        for secret in self._secrets:
            failure.why = failure.why.replace(secret, "***")
        failure.args = (failure.why,)
        return failure


def _outside_of_loops(work: Callable[[], T]) -> T:
    """Do it here, or in a thread of its own where this one already runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def _event(data: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Failure(f"its stream holds what is not JSON ({data[:60]!r})") from error
