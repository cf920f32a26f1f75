"""A mock of OpenAI's and Anthropic's APIs on this machine, for tests and for trying a run before paying for one.

::

    with MockServer(TinyModel(), faults=Faults(rate_limited=0.1, cut=0.05)) as server:
        HttpGenerator(server.url, model="mock")

It serves /v1/models, /v1/chat/completions, /v1/completions and /v1/messages, whole and streamed. The same requests meet
the same faults with the same seed, however many are in flight.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bitproof.engines.generation import Completion, Request
from bitproof.engines.mock_answers import Answerer, TinyModel, example_call
from bitproof.engines.mock_faults import Faults, Lot
from bitproof.engines.mock_wire import Api, Given, pieces, request_of, whole
from bitproof.errors import EnvironmentFailed

__all__ = ["MockServer"]

PAGE = "<!DOCTYPE html><html><head><title>Welcome to our gateway</title></head><body>Sign in</body></html>"


class MockServer:
    """Serves an answerer on 127.0.0.1 in a thread of its own, from entering to leaving.

    `models` are the names it offers, `key` the one it wants, `owner` what it says it is ("vllm" makes our client speak
    vLLM's dialect). `bodies` are the requests it was sent, in order, `most_in_flight` how many it had at once.
    """

    def __init__(
        self,
        answerer: Answerer | None = None,
        *,
        faults: Faults | None = None,
        seed: int = 0,
        models: Sequence[str] = ("mock",),
        key: str | None = None,
        owner: str = "bitproof-mock",
        context_tokens: int = 1 << 20,
        port: int = 0,
    ) -> None:
        self._answerer, self._faults = answerer or TinyModel(seed=seed), faults or Faults()
        self._ignores = frozenset(self._faults.ignores)
        self._lot, self._models, self._key, self._owner = Lot(self._faults, seed), tuple(models), key, owner
        self._context_tokens, self._port = context_tokens, port
        self.bodies: list[dict[str, Any]] = []
        self.most_in_flight = self._in_flight = 0
        self._server: uvicorn.Server | None = None

    @property
    def app(self) -> Starlette:
        """The application, for a server of your own."""
        posts: dict[str, Api] = {
            "/v1/chat/completions": "chat",
            "/v1/completions": "completions",
            "/v1/messages": "messages",
        }
        routes = [Route(path, partial(self._post, api=api), methods=["POST"]) for path, api in posts.items()]
        return Starlette(routes=[*routes, Route("/v1/models", self._list)])

    def __enter__(self) -> Self:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or pieces of a stream wait for each other
        try:
            self._socket.bind(("127.0.0.1", self._port))
        except OSError as error:
            self._socket.close()
            raise EnvironmentFailed(
                f"cannot be listened on ({error.strerror})", where=f"port {self._port}", remedy="Choose another port."
            ) from error
        self._socket.listen(1024)  # from here on clients can connect, and wait until the loop runs
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        config = uvicorn.Config(
            self.app,
            log_config=None,
            log_level="critical",  # a connection cut on purpose is no news
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
            backlog=1024,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join()
        self._socket.close()

    def stop(self) -> None:
        """Take nothing new and end, after a second for what is being answered; may be called by a signal's handler."""
        assert self._server is not None
        self._server.should_exit = True

    def wait(self) -> None:
        """Serve until `stop` is called."""
        self._thread.join()

    async def _list(self, asked: Asked) -> Response:
        if refusal := self._unauthorized(asked):
            return refusal
        records = [{"id": name, "object": "model", "owned_by": self._owner} for name in self._models]
        return JSONResponse({"object": "list", "data": records})

    async def _post(self, asked: Asked, api: Api) -> Response:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return await self._respond(asked, api)
        finally:
            self._in_flight -= 1

    async def _respond(self, asked: Asked, api: Api) -> Response:
        if refusal := self._unauthorized(asked):
            return refusal
        content = await asked.body()
        try:
            body = json.loads(content)
            request = request_of(body, api, self._ignores, 1 << 32 | len(self.bodies))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return _error(400, f"the request cannot be read: {error}")
        self.bodies.append(body)
        if body.get("model") not in self._models:
            return _error(404, f"The model {body.get('model')!r} does not exist.")
        fault = self._lot.draw(content)
        await asyncio.sleep(self._faults.delay_s + (self._faults.slow_s if fault == "slow" else 0.0))
        if fault in ("rate_limited", "server_error", "html"):
            return self._refusal(fault)
        completion = await self._completion(request, body)
        if completion.error:
            return _error(500 if completion.again else 400, completion.error)
        if completion.prompt_tokens > self._context_tokens:
            return _error(400, f"{completion.prompt_tokens} tokens, and the context holds {self._context_tokens}")
        return self._written(completion, body, api, fault)

    async def _completion(self, request: Request, body: dict[str, Any]) -> Completion:
        required = body.get("tool_choice") in ("required", {"type": "any"}) and "tool_choice" not in self._ignores
        if request.tools and required:
            return Completion(key="", tool_calls=(example_call(request.tools[0]),), prompt_tokens=1, answer_tokens=1)
        answer = self._answerer(request)
        return await answer if isawaitable(answer) else answer

    def _written(self, completion: Completion, body: dict[str, Any], api: Api, fault: str) -> Response:
        if fault == "wrong_finish":
            completion = replace(completion, finish="length" if completion.finish == "stop" else "stop")
        if fault == "filtered":
            completion = Completion(key="", finish="content_filter", prompt_tokens=completion.prompt_tokens)  # type: ignore[arg-type]
        if body.get("stream") and "stream" not in self._ignores:
            return StreamingResponse(self._stream(completion, body, api, fault), media_type="text/event-stream")
        content = json.dumps(whole(completion, body, api, self._ignores, self._given(body))).encode()
        if fault == "malformed":
            return Response(content[: len(content) // 2], media_type="application/json")
        if fault == "cut":
            length = {"content-length": str(len(content))}
            return StreamingResponse(_cut(content), headers=length, media_type="application/json")
        return Response(content, media_type="application/json")

    async def _stream(self, completion: Completion, body: dict[str, Any], api: Api, fault: str) -> AsyncIterator[str]:
        events = list(pieces(completion, body, api, self._ignores))
        if fault == "cut":
            events = events[: max(1, len(events) // 2)]
        if fault == "malformed":
            events[len(events) // 2] = 'data: {"choices": [{"ind\n\n'
        for place, event in enumerate(events):
            if place:
                await asyncio.sleep(self._faults.between_s)
            yield event

    def _given(self, body: dict[str, Any]) -> Given | None:
        """Logprobs of the prompt's tokens, None for the first, where they are to be echoed and can be had."""
        prompt, wanted = body.get("prompt"), body.get("echo") and body.get("logprobs") and "echo" not in self._ignores
        if not wanted or not isinstance(self._answerer, TinyModel) or not isinstance(prompt, list):
            return None
        return [None, *(logprob for logprob, _ in self._answerer.score(prompt))]

    def _refusal(self, fault: str) -> Response:
        if fault == "html":
            return HTMLResponse(PAGE)
        if fault == "rate_limited":
            refusal = _error(429, "Rate limit reached")
            refusal.headers["retry-after"] = f"{self._faults.retry_after_s:g}"
            return refusal
        return _error(500, "The server had an error while processing your request")

    def _unauthorized(self, asked: Asked) -> Response | None:
        given = asked.headers.get("x-api-key") or asked.headers.get("authorization", "").removeprefix("Bearer ")
        if self._key in (None, given):
            return None
        return _error(401, f"Incorrect API key provided: {given}")  # some do repeat it


async def _cut(content: bytes) -> AsyncIterator[bytes]:
    """Half of what the header promises: the connection is then closed."""
    yield content[: len(content) // 2]


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "error", "code": status}}, status_code=status)
