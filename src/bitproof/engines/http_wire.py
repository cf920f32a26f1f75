"""OpenAI's two ways to ask for an answer, in JSON, with what vLLM and llama.cpp's server add to them.

| | chat | a prompt of token ids | token ids of the answer | JSON schema | logprobs |
|---|---|---|---|---|---|
| openai | /chat/completions | no | no | response_format | chat's form |
| vllm | /chat/completions | /completions | return_token_ids | response_format | both forms, ids as "token_id:N" |
| llamacpp | /chat/completions | /completion, its own | return_tokens | json_schema | its own form |

llama.cpp's own `/completion` is used because its `/completions` ignores a schema and tells token ids only together
with logprobs, which it sorts the whole vocabulary for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Literal

from bitproof.engines.generation import Completion, Finish, Request, TokenLogprob
from bitproof.engines.http_failures import Failure, words_of
from bitproof.engines.http_messages import chat_messages, tool_call
from bitproof.engines.http_prompt import prompt_places

__all__ = ["Dialect", "OpenAIReader", "body_of", "completion_tokens"]

Dialect = Literal["openai", "vllm", "llamacpp"]
MOST_TOKENS = 1e12  # what a server counts beyond is no count
FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "word": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "limit": "length",
    "max_tokens": "length",
}
# llama.cpp samples from what these leave over unless it is told otherwise.
LLAMACPP_PLAIN = {"min_p": 0.0, "repeat_penalty": 1.0}
# Of its own form, what is read: left out are the prompt's text and all settings, which are most of an answer.
LLAMACPP_FIELDS = [
    "content",
    "tokens",
    "completion_probabilities",
    "stop",
    "stop_type",
    "tokens_evaluated",
    "tokens_predicted",
    "timings",
]


def body_of(request: Request, dialect: Dialect, *, by_ids: bool, stream: bool, limit: str) -> dict[str, Any]:
    """The JSON body of a request, without the model's name; `limit` is what the server calls max_tokens."""
    native = by_ids and dialect == "llamacpp"
    body: dict[str, Any] = {"prompt": list(request.prompt_ids or ())} if by_ids else _chat(request)
    body["n_predict" if native else limit] = request.max_tokens
    body["temperature"] = request.temperature
    if request.temperature > 0:
        body |= {"top_p": request.top_p, "seed": request.seed}
        if dialect == "llamacpp":
            body |= {"top_k": request.top_k, **LLAMACPP_PLAIN}
        if dialect == "vllm":
            body |= {"top_k": request.top_k, "min_p": 0.0, "repetition_penalty": 1.0}
    if request.stop:
        body["stop"] = list(request.stop)
    if request.schema is not None:
        body |= _schema(request.schema, native)
    if request.top_logprobs:
        body |= _logprobs(request.top_logprobs, dialect, by_ids)
    if request.prompt_logprobs and dialect != "llamacpp":  # which ignores it
        body["prompt_logprobs"] = request.prompt_logprobs
    if (
        request.continue_final and not by_ids and dialect != "llamacpp"
    ):  # which goes on with any last message of its own
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if dialect == "vllm":
        body["return_token_ids"] = True
    if native:
        body |= {"return_tokens": True, "response_fields": LLAMACPP_FIELDS}
    if stream:
        body["stream"] = True
        if not native:
            body["stream_options"] = {"include_usage": True}
    return body


def _chat(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": chat_messages(request.messages or ())}
    if request.tools:
        body["tools"] = [{"type": "function", "function": tool} for tool in request.tools]
    return body


def _schema(schema: dict[str, Any], native: bool) -> dict[str, Any]:
    if native:
        return {"json_schema": schema}
    named = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _logprobs(top: int, dialect: Dialect, by_ids: bool) -> dict[str, Any]:
    if by_ids and dialect == "llamacpp":
        return {"n_probs": top}
    asked = {"logprobs": top} if by_ids else {"logprobs": True, "top_logprobs": top}
    return asked | ({"return_tokens_as_token_ids": True} if dialect == "vllm" else {})


class OpenAIReader:
    """Reads an answer, whole or in pieces; a whole one is a stream of one piece."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._texts: list[str] = []
        self._ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._prompt: tuple[TokenLogprob | None, ...] | None = None
        self._calls: dict[int, list[str]] = {}  # index -> name, arguments
        self._usage: dict[str, Any] = {}
        self._stages: dict[str, float] = {}
        self._speculated: tuple[int, int] | None = None
        self._finish = ""

    def take(self, record: Any) -> bool:
        """One JSON object of the answer; returns whether it brought a token."""
        if record.get("error"):
            raise _told(record["error"])
        if isinstance(record.get("usage"), dict):
            self._usage = record["usage"]
        if record.get("timings"):
            timings = record["timings"]
            self._stages = {"prefill_s": timings["prompt_ms"] / 1000, "decode_s": timings["predicted_ms"] / 1000}
            if "draft_n" in timings:
                self._speculated = (int(timings["draft_n"]), int(timings["draft_n_accepted"]))
        choices = record.get("choices")
        if choices is None:
            return self._take_native(record)
        if choices and self._request.prompt_logprobs:
            self._prompt = prompt_places(record, choices[0], most=self._request.prompt_logprobs)
        return self._take_choice(choices[0]) if choices else False

    def _take_choice(self, choice: dict[str, Any]) -> bool:
        said = choice.get("delta") or choice.get("message") or {}
        text = said.get("content") or choice.get("text") or ""
        ids = choice.get("token_ids") or ()
        thought = said.get("reasoning_content") or said.get("reasoning")
        for place, call in enumerate(said.get("tool_calls") or ()):
            parts = self._calls.setdefault(call.get("index", place), ["", ""])
            parts[0] += call["function"].get("name") or ""
            parts[1] += call["function"].get("arguments") or ""
        if choice.get("logprobs"):
            self._logprobs += completion_tokens(choice["logprobs"])
        self._texts.append(text)
        self._ids += map(int, ids)
        self._finish = choice.get("finish_reason") or self._finish
        return bool(text or ids or thought or said.get("tool_calls"))

    def _take_native(self, record: dict[str, Any]) -> bool:
        """llama.cpp's own form."""
        text, ids = record["content"], record.get("tokens") or ()
        self._texts.append(text)
        self._ids += ids
        self._logprobs += completion_tokens({"content": record.get("completion_probabilities") or ()})
        if record.get("stop"):
            self._finish = record["stop_type"]
            used = {
                "prompt_tokens": record.get("tokens_evaluated"),
                "completion_tokens": record.get("tokens_predicted"),
            }
            self._usage = used
        return bool(text or ids)

    def completion(self, first_token_s: float | None = None, total_s: float | None = None) -> Completion:
        """What was read; raises Failure where it does not say how it ended."""
        if not self._finish:
            raise Failure(f"its answer was cut after {sum(map(len, self._texts))} characters, without an end")
        finish = FINISHES.get(self._finish)
        texts, calls = self._texts, []
        for name, arguments in self._calls.values():
            call = tool_call(name, arguments)
            if call is None:  # what the model wrote is kept for the grader to see
                texts = [*texts, json.dumps({"name": name, "arguments": arguments})]
            else:
                calls.append(call)
        answered = _count(self._usage.get("completion_tokens"))
        return Completion(
            key=self._request.key,
            text="".join(texts),
            token_ids=tuple(self._ids or self._listed_ids()),
            finish=finish or "error",
            tool_calls=tuple(calls),
            logprobs=tuple(self._logprobs) if self._logprobs and self._request.top_logprobs else None,
            prompt_logprobs=self._prompt,
            prompt_tokens=_count(self._usage.get("prompt_tokens")) or 0,
            answer_tokens=(len(self._ids) or len(self._logprobs)) if answered is None else answered,
            first_token_s=first_token_s,
            total_s=total_s,
            stages=self._stages,
            speculated=self._speculated,
            error="" if finish else f"the engine ended its answer with {self._finish[:60]!r}",
        )

    def _listed_ids(self) -> list[int]:
        """Token ids from the logprobs, where every one of them has one."""
        ids = [token.id for token in self._logprobs]
        return [id_ for id_ in ids if id_ is not None] if None not in ids else []


def completion_tokens(logprobs: dict[str, Any]) -> list[TokenLogprob]:
    """Logprobs in either form: chat's list of objects, or the parallel lists of completions."""
    if "content" in logprobs:
        return [_token(entry, entry.get("top_logprobs") or ()) for entry in logprobs["content"] or ()]
    tops = logprobs.get("top_logprobs") or [None] * len(logprobs["tokens"])
    rows = zip(logprobs["tokens"], logprobs["token_logprobs"], tops, strict=True)
    return [
        _token(
            {"token": text, "logprob": logprob},
            [{"token": other, "logprob": value} for other, value in (top or {}).items()],
        )
        for text, logprob, top in rows
    ]


def _token(entry: dict[str, Any], top: Iterable[dict[str, Any]]) -> TokenLogprob:
    text, id_ = entry["token"], entry.get("id")
    id_ = id_ if isinstance(id_, int) else None
    if text.startswith("token_id:"):
        text, id_ = "", int(text.removeprefix("token_id:"))
    logprob = entry["logprob"]
    likeliest = sorted((_token(other, ()) for other in top), key=lambda token: -token.logprob)
    # JSON has no infinity: a probability of zero comes as null.
    return TokenLogprob(text, -math.inf if logprob is None else float(logprob), id_, tuple(likeliest))


def _count(value: Any) -> int | None:
    """A number of tokens; None where a server says nothing, or nothing that one can be."""
    return int(value) if isinstance(value, int | float) and 0 <= value < MOST_TOKENS else None


def _told(error: Any) -> Failure:
    """An error inside an answer that began well."""
    code = error.get("code") if isinstance(error, dict) else None
    again = not (isinstance(code, int) and 400 <= code < 500 and code not in (408, 429))
    return Failure(f"it broke off: {words_of(json.dumps({'error': error}))}", again=again)
