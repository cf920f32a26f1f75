"""Many requests to one server over HTTP, so many at a time; `http_patience` says what is tried again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, TypeVar

import httpx2

from bitproof.engines.generation import Completion, OnCompletion, Request, Retry
from bitproof.engines.http_address import base_url
from bitproof.engines.http_events import Events, Reader
from bitproof.engines.http_failures import Failure, from_exception, from_response, told_to_wait_s
from bitproof.engines.http_heard import Heard
from bitproof.engines.http_patience import Attempt, Patience, Turns
from bitproof.engines.http_response import Response, Transport
from bitproof.engines.http_secrets import Secrets
from bitproof.engines.http_transport import transport_to
from bitproof.errors import BitproofError, UsageError

__all__ = ["Client", "Patience"]

T = TypeVar("T")
# What reading JSON of another form than expected raises.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)
LIST_S = 30.0  # a list of models takes no longer


class Client:
    """A pool of connections to `url`, with one event loop of its own.

    `headers` may hold secrets: they are sent, and neither shown nor stored; whatever the server says back is scrubbed
    of them. `heard` is what its answers say of the server.
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
        self.workers, self.turns = workers, Turns(patience or Patience(), seed)
        self._secrets, self._key_advice, self.heard = Secrets(secrets, self.url), key_advice, Heard()
        self._headers = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "user-agent": "bitproof",
            **{name.lower(): value for name, value in (headers or {}).items()},
        }
        self._runner: asyncio.Runner | None = None
        self._connections: Transport | None = None

    def __repr__(self) -> str:
        return f"Client({self.where!r})"

    @property
    def patience(self) -> Patience:
        return self.turns.patience

    @patience.setter
    def patience(self, patience: Patience) -> None:
        self.turns.patience = patience

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
        connections, self._connections = self._connections, None
        if connections is not None:
            self.run(connections.aclose())
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
                try:
                    completion = await self.turns.persist(request, attempt)
                except Failure as failure:
                    raise self.error(failure) from None
                if ended:  # another worker was told to stop, and has not been able to cancel this one yet
                    return
                ended = True
                on_completion(completion)
                if self.turns.lost:
                    raise self.error(self.turns.lost)
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
                async with asyncio.timeout(min(self.patience.timeout_s, LIST_S)):
                    return self._json(await self._transport().exchange("GET", url))
            except (httpx2.HTTPError, TimeoutError) as error:
                failure = self._scrubbed(from_exception(error, perf_counter() - start))
            except Failure as refused:
                failure = self._scrubbed(refused)
            wait_s = self.turns.pause_s(failure, retries) if failure.limited else None
            if wait_s is None:
                raise failure
            retries.append(Retry(failure.why, wait_s))
            await asyncio.sleep(wait_s)

    async def ask(self, url: httpx2.URL, body: Any, reader: Reader, *, stream: bool = False) -> Completion:
        """Send `body` as JSON once, and return what `reader` made of the answer; raises Failure."""
        content = json.dumps(body, separators=(",", ":")).encode()
        events = Events(_Hiding(reader, self._secrets)) if stream else None
        start = perf_counter()
        try:
            async with asyncio.timeout(self.patience.timeout_s):
                response = await self._transport().exchange("POST", url, content, events)
            if not response.streamed:
                record = self._json(response)
                self.heard.note(record, response.headers)
                reader.take(record)  # one that does not stream has no first token
            first_s = None if events is None or events.first is None else events.first - start
            return self._secrets.hide_in_completion(reader.completion(first_s, perf_counter() - start))
        except (httpx2.HTTPError, TimeoutError) as error:
            raise self._scrubbed(from_exception(error, perf_counter() - start)) from error
        except Failure as failure:
            raise self._scrubbed(failure) from None
        except MALFORMED as error:
            why = f"its answer is not of the known form ({repr(error)[:200]})"
            raise self._scrubbed(Failure(why, attempts=2)) from error

    def error(self, failure: Failure) -> BitproofError:
        """A failure as the error that ends a run, with the URL and what would help."""
        remedy = self._key_advice if failure.refuses_key else failure.remedy
        return failure.kind(failure.why, where=self.where, remedy=remedy or None)

    def _transport(self) -> Transport:
        if self._connections is None:
            self._connections = transport_to(
                self.url,
                self._headers,
                workers=self.workers,
                connect_s=self.patience.connect_s,
                timeout_s=self.patience.timeout_s,
            )
        return self._connections

    def _json(self, response: Response) -> Any:
        """The JSON of a response; raises Failure where its status or its body is none."""
        if 200 <= response.status < 300:
            if response.headers.get("x-ratelimit-remaining-requests") == "0":
                self.turns.hold(told_to_wait_s(response.headers))
            try:
                record = self._secrets.hide_in(json.loads(response.content))
            except (ValueError, RecursionError):
                pass
            else:
                self.turns.spoken = True
                return record
        raise from_response(response.status, response.headers, response.text)

    def _scrubbed(self, failure: Failure) -> Failure:
        failure.why = self._secrets.hide(failure.why)
        failure.args = (failure.why,)
        return failure


class _Hiding:
    """A reader that sees no secrets."""

    def __init__(self, reader: Reader, secrets: Secrets) -> None:
        self._reader, self._secrets, self.completion = reader, secrets, reader.completion

    def take(self, record: Any) -> bool:
        return self._reader.take(self._secrets.hide_in(record))


def _outside_of_loops(work: Callable[[], T]) -> T:
    """Do it here, or in a thread of its own where this one already runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
