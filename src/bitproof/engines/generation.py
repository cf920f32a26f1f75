"""What an engine that answers is to bitproof: requests in, completions out, and what it can do, found rather than told.

::

    with HttpGenerator("http://127.0.0.1:8000/v1", model="m") as engine:
        engine.generate(requests, store.keep)

`requests` is read lazily, one as a slot becomes free, and completions come back in any order. So a caller stops a run
by ending the iterable (what is in flight is finished) or by raising in `on_completion` (what is in flight is dropped).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bitproof.engines.protocol import Logprobs, Tokens
from bitproof.errors import UsageError
from bitproof.types import Message, ToolCall

__all__ = [
    "Abilities",
    "Ability",
    "Completion",
    "Finish",
    "Forced",
    "Generator",
    "OnCompletion",
    "Request",
    "Retry",
    "TokenLogprob",
]

Finish = Literal["stop", "length", "error"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One answer to be generated, asked for by messages, by token ids, or by both (the same prompt twice).

    An engine that takes token ids uses `prompt_ids`, so that nothing is left to its chat template; another one uses
    `messages`. `seed`, `top_k` and `top_p` have no effect at temperature 0. `draft_ids` is an answer that is already
    there, the reference's own: an engine that can scores it in the same pass, see `Completion.forced`.
    """

    key: str  # the caller's name for it, given back in the completion
    prompt_ids: tuple[int, ...] | None = None
    messages: tuple[Message, ...] | None = None
    tools: tuple[dict[str, Any], ...] = ()  # JSON schemas of functions, as OpenAI's `tools[].function`
    schema: dict[str, Any] | None = None  # the JSON schema that decoding is guided by
    max_tokens: int = 64
    temperature: float = 0.0
    top_k: int = 0  # tokens to draw from, the likeliest; 0 draws from all
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0  # alternatives a position; 0 asks for no logprobs at all, 1 for those of the answer
    draft_ids: tuple[int, ...] | None = None
    prompt_logprobs: int = 0  # alternatives at each token of the prompt; 0 asks for none
    continue_final: bool = False  # the last message is an answer that was begun, and is gone on with

    def __post_init__(self) -> None:
        if not self.prompt_ids and not self.messages:
            raise UsageError(
                "asks nothing", where=f"request {self.key!r}", remedy="Give prompt_ids, messages, or both."
            )


@dataclass(frozen=True)
class TokenLogprob:
    """One token and its natural-log probability; `top` are the likeliest tokens at its place, likeliest first."""

    text: str
    logprob: float
    id: int | None = None  # None where the engine does not say
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Retry:
    """One attempt that failed and was made again: why, and the seconds waited before the next."""

    why: str
    wait_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Forced:
    """An answer that was given, token by token, under this engine: arrays [n]."""

    logprobs_nats: NDArray[np.float64]  # of the given tokens
    same_top: NDArray[np.bool_] | None = None  # whether the given token is the engine's own likeliest
    kl_nats: NDArray[np.float64] | None = None  # KL(reference || this) of the token's distribution


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What came back for a request. Times are of the attempt that succeeded, from sending it.

    A completion that failed has finish "error", the reason in `error`, and says in `again` whether the same request can
    succeed later (a connection cut) or never will (a prompt that is too long).
    """

    key: str
    text: str = ""
    token_ids: tuple[int, ...] = ()  # the one that ended it included; empty where the engine does not say
    finish: Finish = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None  # of each answer token; None where not asked for or not given
    forced: Forced | None = None  # `draft_ids` under this engine
    prompt_logprobs: tuple[TokenLogprob | None, ...] | None = None  # of each prompt token; None where not given, as of
    # the first
    prompt_tokens: int = 0
    answer_tokens: int = 0
    first_token_s: float | None = None
    total_s: float | None = None
    stages: dict[str, float] = field(default_factory=dict)  # seconds, as far as the engine tells: prefill_s, decode_s
    speculated: tuple[int, int] | None = None  # tokens that a draft model proposed, and how many of them were taken
    retries: tuple[Retry, ...] = ()
    error: str = ""
    again: bool = False


@dataclass(frozen=True)
class Ability:
    """Whether an engine can do one thing, how that is known, and what was found, in words."""

    can: bool
    how: Literal["probed", "declared"] = "declared"
    finding: str = ""

    def __bool__(self) -> bool:
        return self.can


NO = Ability(False)


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What an engine can do. What nobody declared or probed it cannot do."""

    token_ids: Ability = NO  # gives the token ids of its answers
    prompt_ids: Ability = NO  # takes token ids as a prompt
    chat: Ability = NO
    seed: Ability = NO  # sampling repeats with the same seed and differs with another
    temperature: Ability = NO
    max_tokens: Ability = NO
    logprobs: Ability = NO  # of the tokens it answers
    top_logprobs: Ability = NO  # and of the alternatives
    score: Ability = NO  # logprobs of given tokens
    schema: Ability = NO  # guided decoding by a JSON schema
    tools: Ability = NO  # parses tool calls itself

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found, one sentence an ability, in the order of the fields; those without words are left out."""
        found = ((one.name, getattr(self, one.name)) for one in fields(self))
        return tuple(f"{name}: {ability.finding}" for name, ability in found if ability.finding)


OnCompletion = Callable[[Completion], None]


class Generator(Protocol):
    """A model that answers, loaded in an engine or behind a URL. A context manager: nothing stays running after it.

    `settings` is everything that can move an answer: dtype, threads, slots, KV cache type, flags.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def settings(self) -> dict[str, str | int]: ...

    @property
    def abilities(self) -> Abilities: ...

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        """Answer every request, and call `on_completion` once for each, in any order, as soon as it is there.

        A request that fails is a completion with an error. Raises EnvironmentFailed or UsageError where the engine as
        a whole fails (down, wrong model name); completions handed over before that stand.
        """

    def score(self, token_sequences: Tokens, *, first: Sequence[int] | None = None) -> list[Logprobs]:
        """Logprobs in nats of given tokens: of sequence i those at positions first[i]..n-1 (default 1..n-1).

        Raises UnsupportedError where `abilities.score` is False.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
