"""Answers of real servers, kept: every method of the audit's benchmark sees the same bytes.

ANSWERS/ENGINE/CLASS/SETTING.jsonl holds a header, {"engine", "class", "setting", "model_digest", "settings",
"versions", "seconds"}, then one answer a line:

    {"probe", "sample", "text", "finish", "prompt_tokens", "answer_tokens", "token_ids", "tokens"}

`probe` is the number of a hold-out prompt, `token_ids` what the engine said of them (null where it said nothing),
`tokens` a list of {"text", "logprob", "id", "top": [{"text", "logprob", "id"}]}, or null where no logprobs were asked
for. Logprobs are natural; that of a probability of zero is null.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitproof.engines.generation import (
    Abilities,
    Ability,
    Completion,
    Finish,
    OnCompletion,
    Request,
    TokenLogprob,
)
from bitproof.engines.protocol import Logprobs, Tokens
from bitproof.errors import UnsupportedError
from bitproof.store.files import write_text

Decode = Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of a server to a hold-out prompt."""

    probe: int
    sample: int
    text: str
    finish: Finish
    prompt_tokens: int
    answer_tokens: int
    token_ids: tuple[int, ...] | None
    tokens: tuple[TokenLogprob, ...] | None

    @staticmethod
    def of(completion: Completion, decode: Decode) -> Answer:
        """An answer as it came back under the key PROBE.SAMPLE; `decode` gives texts of tokens that came as ids."""
        probe, _, sample = completion.key.partition(".")
        listed = completion.logprobs
        return Answer(
            probe=int(probe),
            sample=int(sample),
            text=completion.text,
            finish=completion.finish,
            prompt_tokens=completion.prompt_tokens,
            answer_tokens=completion.answer_tokens,
            token_ids=completion.token_ids or None,
            tokens=None if listed is None else tuple(_spelled(token, decode) for token in listed),
        )


def _spelled(token: TokenLogprob, decode: Decode) -> TokenLogprob:
    text = decode(token.id) if not token.text and token.id is not None else token.text
    return replace(token, text=text, top=tuple(_spelled(other, decode) for other in token.top))


def write_answers(path: Path, header: dict[str, Any], answers: Iterable[Answer]) -> None:
    """Write a file of answers, whole or not at all, ordered by sample and probe."""
    ordered = sorted(answers, key=lambda answer: (answer.sample, answer.probe))
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in map(_record, ordered))
    write_text(path, "\n".join((json.dumps(header), *lines)) + "\n")


def read_answers(path: Path) -> tuple[dict[str, Any], list[Answer]]:
    """Header and answers of a file."""
    with path.open(encoding="utf-8") as file:
        header: dict[str, Any] = json.loads(next(file))
        return header, [_answer(json.loads(line)) for line in file]


def _record(answer: Answer) -> dict[str, Any]:
    tokens = None if answer.tokens is None else [_token_record(token, with_top=True) for token in answer.tokens]
    return {**vars(answer), "token_ids": answer.token_ids and list(answer.token_ids), "tokens": tokens}


def _token_record(token: TokenLogprob, *, with_top: bool = False) -> dict[str, Any]:
    logprob = None if token.logprob == -math.inf else token.logprob
    record: dict[str, Any] = {"text": token.text, "logprob": logprob, "id": token.id}
    return {**record, "top": [_token_record(other) for other in token.top]} if with_top else record


def _answer(record: dict[str, Any]) -> Answer:
    ids, tokens = record.get("token_ids"), record["tokens"]
    kept = {"token_ids": ids and tuple(ids), "tokens": None if tokens is None else tuple(map(_token, tokens))}
    return Answer(**{**record, **kept})


def _token(record: dict[str, Any]) -> TokenLogprob:
    logprob = -math.inf if record["logprob"] is None else record["logprob"]
    return TokenLogprob(record["text"], logprob, record["id"], tuple(map(_token, record.get("top", ()))))


def seed_of(engine: str, name: str, key: str) -> int:
    """The seed of a request to a class in an engine, of 31 bits."""
    return int.from_bytes(hashlib.sha256(f"{engine} {name} {key}".encode()).digest()[:4]) >> 1


class Replay:
    """A `Generator` that answers from a file: the number of a probe is a request's key, as text.

    Of a probe with several samples, a key "PROBE.SAMPLE" names one, and "PROBE" gives them in turn; a sample is given
    once, a greedy answer as often as it is asked for. A request gets no more tokens and no more logprobs than it asks
    for; one that no cached answer can be cut for is answered with an error.
    """

    name = "replay"

    def __init__(self, path: Path) -> None:
        self.header, answers = read_answers(path)
        self.version = str(self.header["versions"])
        self.settings: dict[str, str | int] = {**self.header["settings"], "answers": str(path)}
        yes, logprobs = Ability(True), Ability(any(answer.tokens for answer in answers))
        self.abilities = Abilities(chat=yes, max_tokens=yes, logprobs=logprobs, top_logprobs=logprobs)
        self._answers = {(answer.probe, answer.sample): answer for answer in answers}
        self._greedy = all(answer.sample == 0 for answer in answers)
        self._asked: Counter[int] = Counter()

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        """Answer every request, in order."""
        for request in requests:
            on_completion(self._answer(request))

    def _answer(self, request: Request) -> Completion:
        probe, _, sample = request.key.partition(".")
        number = int(sample) if sample else 0 if self._greedy else self._asked[int(probe)]
        self._asked[int(probe)] += not sample
        answer = self._answers.get((int(probe), number))
        if answer is None:
            return Completion(key=request.key, finish="error", error=f"sample {number} of probe {probe} is not cached")
        if answer.finish == "error":
            return Completion(key=request.key, finish="error", error="the server answered with an error")
        return _cut(answer, request)

    def score(self, token_sequences: Tokens, *, first: Sequence[int] | None = None) -> list[Logprobs]:
        """Raises UnsupportedError: given tokens were not scored."""
        raise UnsupportedError("cached answers hold no logprobs of given tokens", remedy="Score in an engine.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _cut(answer: Answer, request: Request) -> Completion:
    """An answer as far as a request asks for it."""
    limit, ids, tokens = request.max_tokens, answer.token_ids or (), answer.tokens
    shorter = answer.answer_tokens > limit
    if shorter and tokens is None:
        error = f"{answer.answer_tokens} tokens of text are cached, and cannot be cut to {limit}"
        return Completion(key=request.key, finish="error", error=error)
    if request.top_logprobs and tokens is None:
        return Completion(key=request.key, finish="error", error="no logprobs are cached")
    kept = tuple(replace(token, top=token.top[: request.top_logprobs]) for token in (tokens or ())[:limit])
    return Completion(
        key=request.key,
        text="".join(token.text for token in kept) if shorter else answer.text,
        token_ids=ids[:limit],
        finish="length" if shorter else answer.finish,
        logprobs=kept if request.top_logprobs else None,
        prompt_tokens=answer.prompt_tokens,
        answer_tokens=min(limit, answer.answer_tokens),
    )
