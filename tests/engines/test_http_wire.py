from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitproof.engines.generation import Completion, Request, TokenLogprob
from bitproof.engines.http_failures import Failure
from bitproof.engines.http_messages import chat_messages
from bitproof.engines.http_wire import OpenAIReader, body_of, completion_tokens
from bitproof.engines.mock_wire import pieces, whole
from bitproof.types import Message, ToolCall

SCHEMA = {"type": "object"}
REQUEST = Request(
    key="k",
    prompt_ids=(1, 2, 3),
    messages=(Message(role="user", content="hi"),),
    schema=SCHEMA,
    max_tokens=7,
    temperature=0.5,
    top_p=0.9,
    seed=11,
    stop=("\n",),
    top_logprobs=4,
)


def test_greedy_requests_hold_nothing_that_has_no_effect() -> None:
    body = body_of(
        Request(key="k", messages=(Message(role="user", content="hi"),), seed=3, top_p=0.5),
        "openai",
        by_ids=False,
        stream=False,
        limit="max_tokens",
    )
    assert body == {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 64, "temperature": 0.0}


def test_openai_chat() -> None:
    body = body_of(REQUEST, "openai", by_ids=False, stream=True, limit="max_completion_tokens")
    assert body["max_completion_tokens"] == 7
    assert (body["seed"], body["top_p"], body["temperature"], body["stop"]) == (11, 0.9, 0.5, ["\n"])
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (body["logprobs"], body["top_logprobs"]) == (True, 4)
    assert body["stream_options"] == {"include_usage": True}
    assert not {"top_k", "return_token_ids", "prompt"} & body.keys()


def test_vllm_by_token_ids() -> None:
    body = body_of(REQUEST, "vllm", by_ids=True, stream=False, limit="max_tokens")
    assert body["prompt"] == [1, 2, 3]
    assert body["logprobs"] == 4
    assert body["return_token_ids"] is True
    assert body["return_tokens_as_token_ids"] is True
    assert body["top_k"] == 0
    assert "messages" not in body


def test_llamacpp_by_token_ids() -> None:
    body = body_of(REQUEST, "llamacpp", by_ids=True, stream=False, limit="max_tokens")
    assert (body["n_predict"], body["n_probs"], body["json_schema"]) == (7, 4, SCHEMA)
    assert body["return_tokens"] is True
    # it samples from the 40 likeliest tokens of at least a twentieth of the best unless told otherwise
    assert (body["top_k"], body["min_p"]) == (0, 0.0)
    assert not {"max_tokens", "response_format", "logprobs"} & body.keys()


def test_tools_answer_the_calls_in_order() -> None:
    call = ToolCall(name="f", arguments={"a": 1})
    records = chat_messages(
        [
            Message(role="assistant", content="", tool_calls=(call, call)),
            Message(role="tool", content="first"),
            Message(role="tool", content="second"),
            Message(role="assistant", content="", tool_calls=(call,)),
            Message(role="tool", content="third"),
        ]
    )
    assert [one["id"] for record in records for one in record.get("tool_calls", [])] == ["call_0", "call_1", "call_2"]
    assert [record["tool_call_id"] for record in records if record["role"] == "tool"] == ["call_0", "call_1", "call_2"]
    assert json.loads(records[0]["tool_calls"][0]["function"]["arguments"]) == {"a": 1}


def test_both_forms_of_logprobs_say_the_same() -> None:
    chat = {
        "content": [
            {
                "token": "a",
                "logprob": -1.0,
                "top_logprobs": [{"token": "b", "logprob": -2.0}, {"token": "a", "logprob": -1.0}],
            }
        ]
    }
    completions = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"b": -2.0, "a": -1.0}]}
    assert completion_tokens(chat) == completion_tokens(completions)
    assert [token.text for token in completion_tokens(chat)[0].top] == ["a", "b"]
    assert completion_tokens({"tokens": ["token_id:31"], "token_logprobs": [None]}) == [
        TokenLogprob("", float("-inf"), 31)
    ]


def test_llamacpps_own_form_and_its_times() -> None:
    reader = OpenAIReader(REQUEST)
    entry = {"token": "a", "id": 5, "logprob": -0.5, "top_logprobs": [{"token": "a", "id": 5, "logprob": -0.5}]}
    assert reader.take({"content": "a", "tokens": [5], "stop": False, "completion_probabilities": [entry]})
    last = {
        "content": "",
        "tokens": [],
        "stop": True,
        "stop_type": "limit",
        "tokens_evaluated": 9,
        "tokens_predicted": 1,
    }
    timings = {"prompt_ms": 20.0, "predicted_ms": 5.0, "draft_n": 8, "draft_n_accepted": 6}
    assert not reader.take({**last, "timings": timings})
    completion = reader.completion()
    assert (completion.text, completion.token_ids, completion.finish) == ("a", (5,), "length")
    assert (completion.prompt_tokens, completion.answer_tokens) == (9, 1)
    assert completion.stages == {"prefill_s": 0.02, "decode_s": 0.005}
    assert completion.speculated == (8, 6)
    assert completion.logprobs == (TokenLogprob("a", -0.5, 5, (TokenLogprob("a", -0.5, 5),)),)


def test_an_answer_without_an_end_is_none() -> None:
    reader = OpenAIReader(REQUEST)
    reader.take({"choices": [{"delta": {"content": "half"}}]})
    with pytest.raises(Failure, match="cut after 4 characters"):
        reader.completion()


@given(
    text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    with_ids=st.booleans(),
    finish=st.sampled_from(["stop", "length"]),
    api=st.sampled_from(["chat", "completions"]),
    calls=st.lists(st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), max_size=2),
)
def test_a_stream_says_what_the_whole_answer_says(
    text: str, with_ids: bool, finish: Any, api: Any, calls: list[dict[str, int]]
) -> None:
    answered = Completion(
        key="k",
        text=text,
        token_ids=tuple(text.encode()) if with_ids else (),
        finish=finish,
        tool_calls=tuple(ToolCall(name="f", arguments=one) for one in calls) if api == "chat" else (),
        logprobs=tuple(TokenLogprob(char, -1.0, None, (TokenLogprob(char, -1.0),)) for char in text) or None,
        prompt_tokens=3,
        answer_tokens=len(text),
    )
    body = {"model": "m", "return_token_ids": True, "stream_options": {"include_usage": True}}
    at_once, streamed = OpenAIReader(REQUEST), OpenAIReader(REQUEST)
    at_once.take(whole(answered, body, api, frozenset(), None))
    for piece in pieces(answered, body, api, frozenset()):
        data = piece.removeprefix("data: ").strip()
        if data != "[DONE]":
            streamed.take(json.loads(data))
    assert at_once.completion() == streamed.completion() == answered
