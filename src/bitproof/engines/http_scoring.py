"""Given tokens under a model behind HTTP: three ways to get their logprobs, by what the server is.

vLLM gives the logprobs of a prompt. Some servers echo a prompt with logprobs. llama.cpp's server does neither; there
given tokens are forced, see `llamacpp_forcing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

import httpx2
import numpy as np

from bitproof.engines.generation import Completion, Forced, TokenLogprob
from bitproof.engines.http_client import Client
from bitproof.engines.http_failures import Failure
from bitproof.engines.http_wire import Dialect
from bitproof.engines.llamacpp_forcing import Forcing

__all__ = ["RawReader", "Score", "scorer_of"]

MALFORMED = (KeyError, TypeError, ValueError, IndexError)


class Score(Protocol):
    """Scores tokens at positions first..n-1; `known` is what the model decoded from there itself, where it did."""

    def __call__(self, ids: Sequence[int], first: int, known: Sequence[TokenLogprob] = ()) -> Awaitable[Forced]:
        """Raises Failure."""


class RawReader:
    """Keeps an answer as it came, in `record`."""

    def __init__(self) -> None:
        self.record: Any = None

    def take(self, record: Any) -> bool:
        self.record = record
        return False

    def completion(self, first_token_s: float | None, total_s: float) -> Completion:
        return Completion(key="")


def scorer_of(dialect: Dialect, client: Client, model: str, native: httpx2.URL, forcing: Forcing) -> Score:
    """The way to score in a dialect; `native` is the URL of llama.cpp's own completions."""
    if dialect == "llamacpp":
        return _of_llamacpp(client, native, forcing)

    async def score(ids: Sequence[int], first: int, known: Sequence[TokenLogprob] = ()) -> Forced:
        body = {"model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0}
        body |= {"prompt_logprobs": 1} if dialect == "vllm" else {"echo": True, "logprobs": 1}
        reader = RawReader()
        await client.ask(client.at("/completions"), body, reader)
        try:
            return (_of_prompt if dialect == "vllm" else _of_echo)(reader.record["choices"][0], ids, first)
        except MALFORMED as error:
            raise _unknown_form(error) from error

    return score


def _of_prompt(choice: dict[str, Any], ids: Sequence[int], first: int) -> Forced:
    """vLLM's form: at each place an object by token id, with the rank among the whole vocabulary."""
    entries = [place[str(token)] for place, token in zip(choice["prompt_logprobs"], ids, strict=True) if place]
    if len(entries) != len(ids) - 1:
        raise ValueError(f"{len(entries)} of {len(ids) - 1} tokens")
    return Forced(
        logprobs_nats=np.array([entry["logprob"] for entry in entries[first - 1 :]], dtype=np.float64),
        same_top=np.array([entry["rank"] == 1 for entry in entries[first - 1 :]]),
    )


def _of_echo(choice: dict[str, Any], ids: Sequence[int], first: int) -> Forced:
    """The prompt's tokens, the first with null, then the token that was generated beside them."""
    logprobs = choice["logprobs"]["token_logprobs"]
    if len(logprobs) < len(ids) or logprobs[0] is not None:
        raise ValueError(f"{len(logprobs)} of {len(ids)} tokens")
    return Forced(logprobs_nats=np.array(logprobs[first : len(ids)], dtype=np.float64))


def _of_llamacpp(client: Client, url: httpx2.URL, forcing: Forcing) -> Score:
    async def score(ids: Sequence[int], first: int, known: Sequence[TokenLogprob] = ()) -> Forced:
        exchange = forcing.score(ids, first, known)
        try:
            body = next(exchange)
            while True:
                reader = RawReader()
                try:
                    await client.ask(url, body, reader)
                except Failure as failure:
                    body = exchange.throw(failure)
                else:
                    body = exchange.send(reader.record)
        except MALFORMED as error:
            raise _unknown_form(error) from error
        except StopIteration as end:
            forced: Forced = end.value
            return forced

    return score


def _unknown_form(error: Exception) -> Failure:
    return Failure(f"it gives no logprobs of given tokens in the known form ({error!r})", again=False)
