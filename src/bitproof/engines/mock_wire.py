"""The server's side of the wire: JSON to a `Request`, a `Completion` to JSON, whole or in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from bitproof.engines.generation import Completion, Request, TokenLogprob
from bitproof.types import Message, ToolCall

__all__ = ["Api", "Given", "pieces", "request_of", "whole"]

Api = Literal["chat", "completions", "messages"]
Given = list[float | None]


def request_of(body: dict[str, Any], api: Api, ignores: frozenset[str], fresh_seed: int) -> Request:
    """What a body asks; without a seed it samples by `fresh_seed`.

    Raises KeyError, TypeError or ValueError for one that asks nothing sensible.
    """
    ids: tuple[int, ...] | None = None
    messages: tuple[Message, ...] | None = None
    if api == "completions":
        prompt = body["prompt"]
        if isinstance(prompt, list):
            if "prompt_ids" in ignores:
                raise ValueError("'prompt' must be a string")
            ids = tuple(int(token) for token in prompt)
        else:
            messages = (Message(role="user", content=str(prompt)),)
    else:
        said = [*([{"role": "system", "content": body["system"]}] if body.get("system") else []), *body["messages"]]
        messages = tuple(_message(record) for record in said)
    limit = body.get("max_tokens", body.get("max_completion_tokens"))
    asked = body.get("top_logprobs", 1) if body.get("logprobs") is True else int(body.get("logprobs") or 0)
    guided = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    return Request(
        key="",
        prompt_ids=ids,
        messages=messages,
        tools=tuple(tool.get("function", tool) for tool in body.get("tools") or ()),
        schema=None if "schema" in ignores else guided,
        max_tokens=16 if limit is None or "max_tokens" in ignores else int(limit),
        temperature=1.0 if "temperature" in ignores else float(body.get("temperature", 1.0)),
        top_k=max(0, int(body.get("top_k") or 0)),
        top_p=float(body.get("top_p", 1.0)),
        seed=fresh_seed if "seed" in ignores or body.get("seed") is None else int(body["seed"]),
        top_logprobs=0 if "logprobs" in ignores else asked,
        prompt_logprobs=0 if "prompt_logprobs" in ignores else int(body.get("prompt_logprobs") or 0),
        continue_final=bool(body.get("continue_final_message")),
    )


def _message(record: dict[str, Any]) -> Message:
    content = record.get("content") or ""
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", part.get("content", ""))) for part in content)
    calls = tuple(
        ToolCall(name=call["function"]["name"], arguments=json.loads(call["function"]["arguments"]))
        for call in record.get("tool_calls") or ()
    )
    return Message(role=record["role"], content=content, tool_calls=calls)


def whole(
    completion: Completion, body: dict[str, Any], api: Api, ignores: frozenset[str], given: Given | None
) -> dict[str, Any]:
    """A whole answer. `given` are the logprobs of the prompt's own tokens, where they are to be echoed."""
    if api == "messages":
        return _anthropic(completion, body)
    choice = {"index": 0, "finish_reason": _finish(completion), **_said(completion, body, api, "message")}
    if api == "completions" and given is not None:
        listed = choice.get("logprobs") or {"tokens": [], "token_logprobs": [], "top_logprobs": []}
        listed["tokens"] = [*map(str, body["prompt"]), *listed["tokens"]]
        listed["token_logprobs"] = [*given, *listed["token_logprobs"]]
        listed["top_logprobs"] = [*(None for _ in given), *listed["top_logprobs"]]
        choice["logprobs"] = listed
    if body.get("return_token_ids") and "token_ids" not in ignores and completion.token_ids:
        choice["token_ids"] = list(completion.token_ids)
    said: dict[str, Any] = {} if "usage" in ignores else {"usage": _usage(completion)}
    if completion.prompt_logprobs is not None:
        (said if api == "chat" else choice)["prompt_logprobs"] = [_place(place) for place in completion.prompt_logprobs]
    return {**_head(body, api, chunk=False), "choices": [choice], **said}


def pieces(completion: Completion, body: dict[str, Any], api: Api, ignores: frozenset[str]) -> Iterator[str]:
    """The same answer as server-sent events, one token at a time where tokens are known, else one word."""
    if api == "messages":
        yield from _anthropic_events(completion, body)
        return
    head = _head(body, api, chunk=True)
    for part in _parts(completion):
        choice = {"index": 0, "finish_reason": None, **_said(part, body, api, "delta")}
        if body.get("return_token_ids") and "token_ids" not in ignores and part.token_ids:
            choice["token_ids"] = list(part.token_ids)
        yield _event({**head, "choices": [choice]})
    nothing: dict[str, Any] = {"text": ""} if api == "completions" else {"delta": {}}
    last = {"index": 0, "finish_reason": _finish(completion), **nothing}
    yield _event({**head, "choices": [last]})
    if (body.get("stream_options") or {}).get("include_usage") and "usage" not in ignores:
        yield _event({**head, "choices": [], "usage": _usage(completion)})
    yield "data: [DONE]\n\n"


def _parts(completion: Completion) -> Iterator[Completion]:
    """A completion cut into pieces; tool calls come as the last."""
    tokens = completion.token_ids
    if tokens and len(tokens) == len(completion.text):
        for place, (token, text) in enumerate(zip(tokens, completion.text, strict=True)):
            logprobs = completion.logprobs[place : place + 1] if completion.logprobs else None
            yield Completion(key="", text=text, token_ids=(token,), logprobs=logprobs)
    else:
        words = [f"{word} " for word in completion.text.split(" ")]
        for place, word in enumerate(words):
            text = word if place < len(words) - 1 else word[:-1]
            yield Completion(key="", text=text, logprobs=completion.logprobs if place == 0 else None)
    if completion.tool_calls:
        yield replace(completion, text="", token_ids=(), logprobs=None)


def _said(completion: Completion, body: dict[str, Any], api: Api, name: str) -> dict[str, Any]:
    tokens_as_ids = bool(body.get("return_tokens_as_token_ids"))
    listed = completion.logprobs
    if api == "completions":
        said: dict[str, Any] = {"text": completion.text}
        if listed is not None:
            said["logprobs"] = {
                "tokens": [_name(token, tokens_as_ids) for token in listed],
                "token_logprobs": [token.logprob for token in listed],
                "top_logprobs": [{_name(top, tokens_as_ids): top.logprob for top in token.top} for token in listed],
            }
        return said
    message: dict[str, Any] = {"role": "assistant", "content": completion.text}
    if completion.tool_calls:
        message["tool_calls"] = [
            {
                "index": place,
                "id": f"call_{place}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for place, call in enumerate(completion.tool_calls)
        ]
    said = {name: message}
    if listed is not None:
        said["logprobs"] = {
            "content": [
                {**_entry(token, tokens_as_ids), "top_logprobs": [_entry(top, tokens_as_ids) for top in token.top]}
                for token in listed
            ]
        }
    return said


def _name(token: TokenLogprob, as_id: bool) -> str:
    return f"token_id:{token.id}" if as_id and token.id is not None else token.text


def _entry(token: TokenLogprob, as_id: bool) -> dict[str, Any]:
    return {"token": _name(token, as_id), "logprob": token.logprob, "bytes": list(token.text.encode())}


def _place(token: TokenLogprob | None) -> dict[str, Any] | None:
    """A prompt's token in vLLM's form; the rank of one that is not among the likeliest is one more than they are."""
    if token is None:
        return None
    ranked = {token.id: (len(token.top) + 1, token)}
    ranked |= {one.id: (rank, one) for rank, one in enumerate(token.top, 1)}
    return {
        str(id_): {"logprob": one.logprob, "rank": rank, "decoded_token": one.text}
        for id_, (rank, one) in ranked.items()
    }


def _head(body: dict[str, Any], api: Api, *, chunk: bool) -> dict[str, Any]:
    kind = "text_completion" if api == "completions" else f"chat.completion{'.chunk' if chunk else ''}"
    return {"id": "mock", "object": kind, "created": 0, "model": body.get("model", "")}


def _finish(completion: Completion) -> str:
    return "tool_calls" if completion.tool_calls and completion.finish == "stop" else completion.finish


def _usage(completion: Completion) -> dict[str, int]:
    prompt, answer = completion.prompt_tokens, completion.answer_tokens
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _anthropic(completion: Completion, body: dict[str, Any]) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": completion.text}] if completion.text else []
    blocks += [
        {"type": "tool_use", "id": f"toolu_{place}", "name": call.name, "input": call.arguments}
        for place, call in enumerate(completion.tool_calls)
    ]
    return {
        "id": "mock",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", ""),
        "content": blocks,
        "stop_reason": _anthropic_reason(completion),
        "usage": {"input_tokens": completion.prompt_tokens, "output_tokens": completion.answer_tokens},
    }


def _anthropic_reason(completion: Completion) -> str:
    reasons: dict[str, str] = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
    return "tool_use" if completion.tool_calls else reasons[completion.finish]


def _anthropic_events(completion: Completion, body: dict[str, Any]) -> Iterator[str]:
    start = {**_anthropic(completion, body), "content": [], "stop_reason": None}
    yield _event({"type": "message_start", "message": start})
    yield _event({"type": "ping"})
    yield _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for part in _parts(replace(completion, tool_calls=())):
        delta = {"type": "text_delta", "text": part.text}
        yield _event({"type": "content_block_delta", "index": 0, "delta": delta})
    for place, call in enumerate(completion.tool_calls, 1):
        block = {"type": "tool_use", "id": f"toolu_{place}", "name": call.name, "input": {}}
        yield _event({"type": "content_block_start", "index": place, "content_block": block})
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
        yield _event({"type": "content_block_delta", "index": place, "delta": delta})
    usage = {"output_tokens": completion.answer_tokens}
    yield _event({"type": "message_delta", "delta": {"stop_reason": _anthropic_reason(completion)}, "usage": usage})
    yield _event({"type": "message_stop"})


def _event(record: dict[str, Any]) -> str:
    named = f"event: {record['type']}\n" if "type" in record else ""
    return f"{named}data: {json.dumps(record)}\n\n"
