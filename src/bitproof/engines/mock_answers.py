"""What the mock server answers with: an echo, given answers, a tiny random model, or any engine of ours."""

from __future__ import annotations

import asyncio
import hashlib
import json
import queue
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitproof.engines.generation import Completion, Generator, Request, TokenLogprob
from bitproof.types import Message, ToolCall

__all__ = ["Answerer", "Backed", "TinyModel", "canned", "echo", "example_call", "example_of", "rendered", "text_of"]

Answerer = Callable[[Request], Completion | Awaitable[Completion]]
Waiting = tuple[Request, asyncio.Future[Completion]]
END = 256  # the byte tokenizer's end of text


def text_of(request: Request) -> str:
    """The last message, or the prompt's bytes as text."""
    if request.messages:
        return request.messages[-1].content
    return bytes(token for token in request.prompt_ids or () if token < END).decode(errors="replace")


def rendered(request: Request) -> str:
    """The messages in a template of the mock's own: one under the other, an answer that was begun at the end."""
    said = [message.content for message in request.messages or ()]
    begun = said.pop() if request.continue_final else ""
    return "\n".join(said) + begun


def echo(request: Request) -> Completion:
    """What was said last, cut at max_tokens words; with a schema, the smallest value that it allows."""
    words = (json.dumps(example_of(request.schema)) if request.schema else text_of(request)).split(" ")
    kept = words[: request.max_tokens]
    return Completion(
        key=request.key,
        text=" ".join(kept),
        finish="stop" if kept == words else "length",
        prompt_tokens=len(words),
        answer_tokens=len(kept),
    )


def canned(answers: Mapping[str, str], otherwise: Answerer = echo) -> Answerer:
    """Given answers by what was said last; anything else goes to `otherwise`."""

    def answer(request: Request) -> Completion | Awaitable[Completion]:
        text = answers.get(text_of(request))
        if text is None:
            return otherwise(request)
        n = len(text.split())
        return Completion(key=request.key, text=text, prompt_tokens=1, answer_tokens=n)

    return answer


class TinyModel:
    """A random model over bytes: every next token is drawn from logits that hang on the last `order` tokens and `seed`.

    It has exact logprobs, samples by temperature, top_k, top_p and seed, and guides its answers by a schema or a tool
    that is required only in so far as it answers with the smallest value allowed.
    """

    def __init__(self, *, seed: int = 0, order: int = 3, spread: float = 3.0, end_logit: float = 2.0) -> None:
        self._seed, self._order, self._spread, self._end_logit = seed, order, spread, end_logit

    def __call__(self, request: Request) -> Completion:
        prompt = list(request.prompt_ids or self.encode(rendered(request)))
        if request.schema is not None:
            return self._written(request, prompt, json.dumps(example_of(request.schema)))
        generator = np.random.default_rng(request.seed)
        ids: list[int] = []
        finish = "length"
        while len(ids) < request.max_tokens:
            token = self._draw(self.logprobs([*prompt, *ids]), request, generator)
            if token == END:
                finish = "stop"
                break
            ids.append(token)
        return self._completion(request, prompt, ids, stopped=finish == "stop")

    def encode(self, text: str) -> list[int]:
        """Token ids of a text: its bytes."""
        return list(text.encode())

    def logprobs(self, before: Sequence[int]) -> NDArray[np.float64]:
        """[257]: log probability of every next token; only printable ASCII, the line feed and the end have any."""
        last = ",".join(map(str, before[-self._order :]))
        digest = hashlib.blake2b(f"{self._seed}:{last}".encode(), digest_size=8).digest()
        logits = np.random.default_rng(int.from_bytes(digest)).normal(0, self._spread, END + 1)
        logits[:32] = logits[127:END] = -30.0
        logits[END] = self._end_logit
        return logits - np.logaddexp.reduce(logits)  # type: ignore[no-any-return]

    def score(self, ids: Sequence[int]) -> list[tuple[float, int]]:
        """Logprob in nats and rank (1 is the likeliest) of ids[1:], each after those before it."""
        found = [(self.logprobs(ids[:place]), ids[place]) for place in range(1, len(ids))]
        return [(float(listed[token]), int((listed > listed[token]).sum()) + 1) for listed, token in found]

    def _draw(self, logprobs: NDArray[np.float64], request: Request, generator: np.random.Generator) -> int:
        if request.temperature == 0:
            return int(logprobs.argmax())
        scaled = np.exp(logprobs / request.temperature - np.logaddexp.reduce(logprobs / request.temperature))
        order = np.argsort(-scaled)[: request.top_k or None]
        kept = order[: int(np.searchsorted(np.cumsum(scaled[order]), request.top_p)) + 1]
        return int(generator.choice(kept, p=scaled[kept] / scaled[kept].sum()))

    def _written(self, request: Request, prompt: list[int], text: str) -> Completion:
        ids = self.encode(text)
        return self._completion(request, prompt, ids[: request.max_tokens], stopped=len(ids) <= request.max_tokens)

    def _completion(self, request: Request, prompt: list[int], ids: list[int], *, stopped: bool) -> Completion:
        return Completion(
            key=request.key,
            text=bytes(ids).decode(errors="replace"),
            token_ids=tuple(ids),
            finish="stop" if stopped else "length",
            logprobs=tuple(
                self._listed([*prompt, *ids[:place]], token, request.top_logprobs) for place, token in enumerate(ids)
            )
            if request.top_logprobs
            else None,
            prompt_logprobs=(
                None,
                *(
                    self._listed(prompt[:place], prompt[place], request.prompt_logprobs)
                    for place in range(1, len(prompt))
                ),
            )
            if request.prompt_logprobs
            else None,
            prompt_tokens=len(prompt),
            answer_tokens=len(ids),
        )

    def _listed(self, before: list[int], token: int, top: int) -> TokenLogprob:
        logprobs = self.logprobs(before)

        def one(id_: int, others: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
            text = chr(id_) if id_ < END else "<end>"
            return TokenLogprob(text, float(logprobs[id_]), int(id_), others)

        return one(token, tuple(one(int(other)) for other in np.argsort(-logprobs, kind="stable")[:top]))


class Backed:
    """Answers with an engine of ours. What comes in while the engine works is its next batch.

    `render` makes token ids of messages, for an engine that takes nothing else. A context manager; the engine itself
    stays the caller's.
    """

    def __init__(
        self, engine: Generator, *, render: Callable[[Sequence[Message]], tuple[int, ...]] | None = None
    ) -> None:
        self._engine, self._render = engine, render
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __call__(self, request: Request) -> Awaitable[Completion]:
        if self._render is not None and not request.prompt_ids:
            request = replace(request, prompt_ids=self._render(request.messages or ()))
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.put((request, future))
        return future

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    self._waiting.put(None)  # for the outer loop
                    break
                batch.append(more)
            self._answer(batch)

    def _answer(self, batch: list[Waiting]) -> None:
        futures = {str(n): future for n, (_, future) in enumerate(batch)}
        requests = [replace(request, key=str(n)) for n, (request, _) in enumerate(batch)]
        try:
            self._engine.generate(requests, lambda completion: _give(futures.pop(completion.key), completion))
        except Exception as error:  # noqa: BLE001 - whatever the engine raises is its answer, as HTTP 500
            for key, future in futures.items():
                _give(future, Completion(key=key, finish="error", error=str(error), again=True))

    def __enter__(self) -> Backed:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._waiting.put(None)
        self._thread.join()


def _give(future: asyncio.Future[Completion], completion: Completion) -> None:
    def give() -> None:
        if not future.done():
            future.set_result(completion)

    future.get_loop().call_soon_threadsafe(give)


def example_of(schema: Mapping[str, Any]) -> Any:
    """The smallest value that a simple JSON schema allows: objects, arrays, enums and scalars."""
    if "const" in schema or "enum" in schema:
        return schema.get("const", *schema.get("enum", [None])[:1])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return example_of(schema[choice][0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        wanted = schema.get("required", [])
        return {name: example_of(schema.get("properties", {}).get(name, {})) for name in wanted}
    if kind == "array":
        return [example_of(schema.get("items", {"type": "null"}))] * int(schema.get("minItems", 0))
    scalars: dict[str, Any] = {"string": "a" * int(schema.get("minLength", 0)), "boolean": True, "null": None}
    return scalars.get(kind, schema.get("minimum", 0))


def example_call(tool: Mapping[str, Any]) -> ToolCall:
    """The smallest call of a function."""
    return ToolCall(name=tool["name"], arguments=example_of(tool.get("parameters", {})))
