"""Anthropic's messages API, as it is: no SDK, the same client, retries and failures as any other URL.

It gives no logprobs, no token ids, takes no seed and no JSON schema, and says so in its abilities.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from bitproof.engines.generation import Abilities, Ability, Completion, Finish, OnCompletion, Request
from bitproof.engines.http_address import choose_model, key_from_environment
from bitproof.engines.http_client import Client, Patience
from bitproof.engines.http_failures import Failure, words_of
from bitproof.engines.http_messages import numbered_calls, tool_call
from bitproof.engines.protocol import Logprobs, Tokens
from bitproof.errors import UnsupportedError
from bitproof.types import Message, ToolCall

__all__ = ["AnthropicGenerator"]

URL = "https://api.anthropic.com/v1"
VERSION = "2023-06-01"
FINISHES: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "refusal": "stop",  # the model declined: an answer, for a grader to judge
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
YES = Ability(True)
NO_LOGPROBS = Ability(False, "declared", "Anthropic's API gives no logprobs")
ABILITIES = Abilities(
    chat=YES,
    temperature=Ability(True, "declared", "0 to 1 only"),
    max_tokens=YES,
    tools=YES,
    logprobs=NO_LOGPROBS,
    top_logprobs=NO_LOGPROBS,
    score=NO_LOGPROBS,
    seed=Ability(False, "declared", "Anthropic's API takes no seed"),
    schema=Ability(False, "declared", "asked in words only"),
)


class AnthropicGenerator:
    """A model behind Anthropic's API, or behind another that speaks it.

    `key_env` names the environment variable that holds the key. A request with a schema, or without messages, is a
    completion with an error: nothing that was asked for is left out in silence.
    """

    name = "Anthropic"
    version = VERSION
    abilities = ABILITIES

    def __init__(
        self,
        model: str,
        *,
        url: str = URL,
        key_env: str = "ANTHROPIC_API_KEY",
        workers: int = 4,
        stream: bool = False,
        patience: Patience | None = None,
        seed: int = 0,
    ) -> None:
        key = key_from_environment(key_env)
        self.client = Client(
            url,
            headers={"x-api-key": key, "anthropic-version": VERSION},
            secrets=(key,),
            workers=workers,
            patience=patience,
            seed=seed,
            key_advice=f"Put a key that is valid there into the environment variable {key_env}.",
        )
        self.model, self.stream, self._ready = model, stream, False
        self.settings: dict[str, str | int] = {"url": self.client.where, "model": model}

    def __repr__(self) -> str:
        return f"AnthropicGenerator({self.model!r})"

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        """Answer every request, `workers` at a time. See `generation.Generator`, and `http_client` for the rules."""
        self._get_ready()
        self.client.run(self.client.answer(requests, self._attempt, on_completion))

    def score(self, token_sequences: Tokens, *, first: Sequence[int] | None = None) -> list[Logprobs]:
        """Always raises UnsupportedError."""
        raise UnsupportedError(
            NO_LOGPROBS.finding, where=self.client.where, remedy="Only its answers can be compared, not its tokens."
        )

    async def _attempt(self, request: Request) -> Completion:
        if not request.messages:
            raise Failure("Anthropic's API takes messages, and the request has none", again=False)
        if request.schema is not None:
            raise Failure(
                "Anthropic's API is not asked for a JSON schema here: leave it out of the request", again=False
            )
        url, body = self.client.at("/messages"), _body(request, self.model, self.stream)
        return await self.client.ask(url, body, Reader(request), stream=self.stream)

    def _get_ready(self) -> None:
        if self._ready:
            return
        try:
            listed = self.client.run(self.client.get(self.client.at("/models").copy_merge_params({"limit": "1000"})))
            choose_model(self.model, [record["id"] for record in listed["data"]], self.client.where)
        except Failure as failure:
            if failure.ends == "always" or not failure.reached:
                raise self.client.error(failure) from None
        except (KeyError, TypeError):
            pass  # it lists no models: a wrong name is found by the first request
        self._ready = True

    def __enter__(self) -> Self:
        try:
            self._get_ready()
        except BaseException:
            self.client.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()


def _body(request: Request, model: str, stream: bool) -> dict[str, Any]:
    system = "\n\n".join(message.content for message in request.messages or () if message.role == "system")
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "messages": _turns([message for message in request.messages or () if message.role != "system"]),
    }
    if system:
        body["system"] = system
    if request.temperature > 0 and request.top_p < 1:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.tools:
        body["tools"] = [
            {
                "name": tool["name"],
                "description": tool.get("description", ""),
                "input_schema": tool.get("parameters") or {"type": "object", "properties": {}},
            }
            for tool in request.tools
        ]
    if stream:
        body["stream"] = True
    return body


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as turns of blocks; neighbours of one role are one turn, and a tool's result is said by the user."""
    turns: list[dict[str, Any]] = []
    for message, ids in numbered_calls(messages):
        role = "assistant" if message.role == "assistant" else "user"
        if message.role == "tool":
            blocks: list[dict[str, Any]] = [
                {"type": "tool_result", "tool_use_id": ids[0], "content": message.content},
            ]
        else:
            blocks = [{"type": "text", "text": message.content}] if message.content else []
            blocks += [
                {"type": "tool_use", "id": id_, "name": call.name, "input": call.arguments}
                for id_, call in zip(ids, message.tool_calls, strict=True)
            ]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


class Reader:
    """Reads a message, whole or as the events of a stream."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._texts: list[str] = []
        self._calls: list[ToolCall] = []
        self._open: dict[int, list[str]] = {}  # streamed tool calls: index -> name, JSON so far
        self._usage: dict[str, int] = {}
        self._finish = ""

    def take(self, record: Any) -> bool:
        """One JSON object of the answer; returns whether it brought a token."""
        kind = record["type"]
        if kind == "error":
            error = record["error"]
            again = error.get("type") in ("overloaded_error", "api_error", "rate_limit_error", "timeout_error")
            raise Failure(f"it broke off: {words_of(str(error.get('message')))}", again=again)
        if kind == "message":
            for block in record["content"]:
                self._take_block(block)
        if kind in ("message", "message_start"):
            self._note(record.get("message", record))
        elif kind == "message_delta":
            self._note({**record["delta"], "usage": record.get("usage")})
        elif kind == "content_block_start" and record["content_block"]["type"] == "tool_use":
            self._open[record["index"]] = [record["content_block"]["name"], ""]
        elif kind == "content_block_delta":
            return self._take_delta(record["index"], record["delta"])
        return bool(kind == "message")

    def _take_block(self, block: dict[str, Any]) -> None:
        if block["type"] == "text":
            self._texts.append(block["text"])
        elif block["type"] == "tool_use":
            self._calls.append(ToolCall(name=block["name"], arguments=dict(block["input"])))

    def _take_delta(self, index: int, delta: dict[str, Any]) -> bool:
        if delta["type"] == "input_json_delta":
            self._open[index][1] += delta["partial_json"]
        self._texts.append(delta.get("text", ""))
        return True

    def _note(self, message: dict[str, Any]) -> None:
        self._finish = message.get("stop_reason") or self._finish
        self._usage |= message.get("usage") or {}

    def completion(self, first_token_s: float | None = None, total_s: float | None = None) -> Completion:
        """What was read; raises Failure where it does not say how it ended."""
        if not self._finish:
            raise Failure(f"its answer was cut after {sum(map(len, self._texts))} characters, without an end")
        finish = FINISHES.get(self._finish)
        texts, calls = list(self._texts), list(self._calls)
        for name, arguments in self._open.values():
            call = tool_call(name, arguments)
            if call is None:  # cut at max_tokens inside the call: kept for the grader to see
                texts.append(f"{name} {arguments}")
            else:
                calls.append(call)
        cached = self._usage.get("cache_read_input_tokens") or 0
        return Completion(
            key=self._request.key,
            text="".join(texts),
            finish=finish or "error",
            tool_calls=tuple(calls),
            prompt_tokens=(self._usage.get("input_tokens") or 0) + cached,
            answer_tokens=self._usage.get("output_tokens") or 0,
            first_token_s=first_token_s,
            total_s=total_s,
            error="" if finish else f"the engine ended its answer with {self._finish!r}",
        )
