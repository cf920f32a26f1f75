"""The servers of the audit's benchmark: real HTTP on the loopback interface, one engine and one class at a time.

| engine | what | requests in flight |
|---|---|---|
| vllm | vLLM on the CPU, bfloat16 | 1 |
| vllm-batched | the same, continuous batching and prefix caching | 16 |
| llamacpp | llama.cpp, BF16 weights, FP16 cache of keys and values, prompt cache | 4 |
| transformers-batched | our emulation in bfloat16 behind a small server that batches what is in flight | 16 |
| transformers-batched-float32 | the same in float32 | 16 |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.audit_classes import KV, Workshop, digest
from bitproof.engines.emulated import EmulatedGenerator
from bitproof.engines.generation import Completion, Generator, Request, TokenLogprob
from bitproof.engines.http import HttpGenerator
from bitproof.engines.llamacpp_server import LlamaCppGenerator
from bitproof.engines.mock_answers import Backed
from bitproof.engines.mock_server import MockServer
from bitproof.engines.vllm_server import VllmGenerator
from bitproof.evaluate.prompts import prompt_ids
from bitproof.types import Message

IN_FLIGHT, LLAMACPP_SLOTS, CONTEXT = 16, 4, 1024
HIDDEN_PROMPT = "You are the assistant of a travel agency. Answer politely, and always in short, simple sentences."
DECOY_TEMPERATURE = 0.9


@dataclass(frozen=True)
class Served:
    """A server that is up: how it is asked, what it runs with, and the digest of what it loaded."""

    engine: Generator
    settings: dict[str, str | int]
    version: str
    model_digest: str


class Listing(EmulatedGenerator):
    """`EmulatedGenerator` that also lists the likeliest tokens at each place, where a request asks for them."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._listed: dict[int, list[TokenLogprob]] = {}

    def _take(self, row: Any, token: int, state: Tensor, logits: Tensor) -> None:
        super()._take(row, token, state, logits)
        if row.request.top_logprobs:
            logprobs = torch.log_softmax(logits, -1)
            top = zip(*(part.tolist() for part in logprobs.topk(row.request.top_logprobs)), strict=True)
            tokens = tuple(TokenLogprob("", logprob, int(other)) for logprob, other in top)
            chosen = TokenLogprob("", float(logprobs[token]), token, tokens)
            self._listed.setdefault(id(row), []).append(chosen)

    def _completion(self, row: Any) -> Completion:
        listed = self._listed.pop(id(row), None)
        return replace(super()._completion(row), logprobs=None if listed is None else tuple(listed))


@contextmanager
def serve(engine: str, name: str, shop: Workshop, *, threads: int = 1) -> Iterator[Served]:
    """A class behind an engine's own server, from entering to leaving."""
    with ENGINES[engine](name, shop, threads) as served:
        yield served


@contextmanager
def _vllm(name: str, shop: Workshop, threads: int, *, slots: int) -> Iterator[Served]:
    path = shop.directory(name)
    # in its default blocks of 128 tokens no two of these short prompts would share one: now samples of a prompt do
    flags = ("--enable-prefix-caching", "--block-size", "32") if slots > 1 else ("--no-enable-prefix-caching",)
    with VllmGenerator(
        path,
        slots=slots,
        threads=threads,
        context_tokens=CONTEXT,
        kv="fp8" if name == KV else "auto",
        flags=flags,
    ) as engine:
        yield Served(engine, engine.settings, f"vLLM {engine.version}", digest(path))


@contextmanager
def _llamacpp(name: str, shop: Workshop, threads: int) -> Iterator[Served]:
    path = shop.gguf(name)
    with LlamaCppGenerator(path, slots=LLAMACPP_SLOTS, threads=threads, context_tokens=CONTEXT) as engine:
        yield Served(engine, engine.settings, engine.package, digest(path))


@contextmanager
def _transformers(name: str, shop: Workshop, threads: int, *, dtype: torch.dtype) -> Iterator[Served]:
    torch.set_num_threads(threads)
    reference = shop.reference

    def render(messages: Sequence[Message]) -> tuple[int, ...]:
        return prompt_ids(reference.tokenizer, messages, where="a request")

    with ExitStack() as stack:
        emulated = stack.enter_context(Listing(reference, shop.overlay(name), dtype=dtype, rows=IN_FLIGHT))
        backed = stack.enter_context(Backed(emulated, render=render))
        # vLLM's dialect has token ids in its answers
        server = stack.enter_context(MockServer(backed, models=("served",), owner="vllm"))
        engine = stack.enter_context(HttpGenerator(server.url, model="served", workers=IN_FLIGHT))
        settings = {**emulated.settings, "slots": IN_FLIGHT}
        yield Served(engine, settings, f"transformers {emulated.version}", digest(shop.solved(name)))


Open = Callable[[str, Workshop, int], Any]
ENGINES: dict[str, Open] = {
    "vllm-batched": lambda name, shop, threads: _vllm(name, shop, threads, slots=IN_FLIGHT),
    "llamacpp": _llamacpp,
    "vllm": lambda name, shop, threads: _vllm(name, shop, threads, slots=1),
    "transformers-batched": lambda name, shop, threads: _transformers(name, shop, threads, dtype=torch.bfloat16),
    "transformers-batched-float32": lambda name, shop, threads: _transformers(name, shop, threads, dtype=torch.float32),
}


def altered(name: str, request: Request) -> Request:
    """What a dishonest server makes of a request before its model sees it."""
    if name == "decoy-system":
        hidden = Message(role="system", content=HIDDEN_PROMPT)
        return replace(request, messages=(hidden, *(request.messages or ())))
    if name == "decoy-temperature" and request.temperature > 0:
        return replace(request, temperature=DECOY_TEMPERATURE * request.temperature)
    return request
