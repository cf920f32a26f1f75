"""The mock itself, asked with a plain client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import pytest

from bitproof.engines.generation import Abilities, Completion, Request
from bitproof.engines.http import HttpGenerator
from bitproof.engines.mock_answers import END, Backed, TinyModel, echo, example_of
from bitproof.engines.mock_faults import KINDS, Faults, Lot
from bitproof.engines.mock_server import MockServer
from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.types import Message


def post(server: MockServer, path: str, **body: Any) -> httpx2.Response:
    return httpx2.post(f"{server.url}/{path}", json={"model": "mock", **body}, trust_env=False)


def test_the_three_apis_and_the_models() -> None:
    said = [{"role": "user", "content": "a b c"}]
    with MockServer(echo) as server:
        assert httpx2.get(f"{server.url}/models", trust_env=False).json()["data"][0]["id"] == "mock"
        chat = post(server, "chat/completions", messages=said, max_tokens=2).json()
        assert chat["choices"][0]["message"]["content"] == "a b"
        assert chat["choices"][0]["finish_reason"] == "length"
        assert post(server, "completions", prompt="a b c").json()["choices"][0]["text"] == "a b c"
        message = post(server, "messages", messages=said, max_tokens=5).json()
        assert (message["content"][0]["text"], message["stop_reason"]) == ("a b c", "end_turn")
        assert post(server, "chat/completions", max_tokens=2).status_code == 400
        wrong = httpx2.post(f"{server.url}/completions", json={"model": "x", "prompt": "a"}, trust_env=False)
        assert wrong.status_code == 404


def test_events_of_a_stream() -> None:
    with MockServer(TinyModel()) as server:
        text = post(server, "completions", prompt=[72, 105], max_tokens=3, temperature=0, stream=True).text
    events = [line.removeprefix("data: ") for line in text.split("\n") if line]
    assert events[-1] == "[DONE]"
    assert len([json.loads(event)["choices"][0]["text"] for event in events[:-2]]) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_faults_come_as_often_as_asked(kind: str) -> None:
    lot = Lot(Faults(**{kind: 0.25}), seed=0)
    drawn = [lot.draw(str(n).encode()) for n in range(4000)]
    assert set(drawn) == {"", kind}
    assert 0.22 < drawn.count(kind) / 4000 < 0.28


def test_faults_hang_on_the_request_and_not_on_the_order() -> None:
    faults = Faults(cut=0.3, slow=0.3)
    one, other = Lot(faults, 7), Lot(faults, 7)
    contents = [str(n % 20).encode() for n in range(60)]
    found = {(content, n // 20): one.draw(content) for n, content in enumerate(contents)}
    for content in set(contents):
        for n in range(3):
            assert other.draw(content) == found[content, n]
    assert len({found[b"3", 0], found[b"3", 1], found[b"3", 2], found[b"4", 0], found[b"5", 0]}) > 1


@pytest.mark.parametrize("wrong", [{"cut": 1.5}, {"cut": -0.1}, {"cut": 0.6, "slow": 0.6}, {"ignores": ("thunder",)}])
def test_faults_that_cannot_be(wrong: Any) -> None:
    with pytest.raises(UsageError):
        Faults(**wrong)


def test_the_tiny_model_is_a_distribution_and_samples_from_it() -> None:
    import numpy as np

    model = TinyModel(seed=3)
    assert np.exp(model.logprobs([1, 2, 3])).sum() == pytest.approx(1)
    request = Request(key="", prompt_ids=(1, 2, 3), max_tokens=1, temperature=1.0)
    from dataclasses import replace

    drawn = [model(replace(request, seed=seed)).token_ids for seed in range(400)]
    likeliest = int(model.logprobs([1, 2, 3])[:END].argmax())
    share = drawn.count((likeliest,)) / 400
    assert share == pytest.approx(np.exp(model.logprobs([1, 2, 3])[likeliest]), abs=0.08)
    assert len(set(drawn)) > 3
    narrow = [model(replace(request, seed=seed, top_p=0.01)).token_ids for seed in range(5)]
    assert len(set(narrow)) == 1


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer", "minimum": 4}}, "required": ["a"]}, {"a": 4}),
        ({"type": "array", "items": {"type": "string", "minLength": 2}, "minItems": 2}, ["aa", "aa"]),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": 3}, 3),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
    ],
)
def test_the_smallest_value(schema: dict[str, Any], value: object) -> None:
    import jsonschema

    assert example_of(schema) == value
    jsonschema.validate(value, schema)


class Doubling:
    """An engine that says everything twice, in batches."""

    name, version = "doubling", "1"
    settings: dict[str, str | int] = {}  # noqa: RUF012
    abilities = Abilities()

    def __init__(self) -> None:
        self.batches: list[int] = []

    def generate(self, requests: Iterable[Request], on_completion: Callable[[Completion], None]) -> None:
        batch = list(requests)
        self.batches.append(len(batch))
        for request in batch:
            text = (request.messages or ())[-1].content
            if text == "question 7":
                raise EnvironmentFailed("the engine is out of memory")
            on_completion(Completion(key=request.key, text=f"{text} {text}"))


def test_any_engine_of_ours_can_answer() -> None:
    engine: Any = Doubling()
    requests = [Request(key=f"{n}", messages=(Message(role="user", content=f"question {n}"),)) for n in range(6)]
    found: dict[str, str] = {}
    with (
        Backed(engine) as answerer,
        MockServer(answerer, faults=Faults(delay_s=0.01)) as server,
        HttpGenerator(server.url, workers=6) as client,
    ):
        client.generate(requests, lambda completion: found.update({completion.key: completion.text}))
        failed = post(server, "chat/completions", messages=[{"role": "user", "content": "question 7"}])
    assert found == {f"{n}": f"question {n} question {n}" for n in range(6)}
    assert sum(engine.batches) == 7
    assert failed.status_code == 500
    assert "out of memory" in failed.text


def test_a_port_that_is_taken() -> None:
    with MockServer() as server, pytest.raises(EnvironmentFailed, match="cannot be listened on"):
        MockServer(port=int(server.url.split(":")[2].split("/")[0])).__enter__()


@pytest.mark.parametrize("path", ["chat/completions", "messages"])
def test_a_filter_answers_with_nothing_and_says_so(path: str) -> None:
    said = [{"role": "user", "content": "a b c"}]
    with MockServer(echo, faults=Faults(filtered=1)) as server:
        record = post(server, path, messages=said, max_tokens=5).json()
    if path == "messages":
        assert (record["content"], record["stop_reason"]) == ([], "refusal")
    else:
        assert record["choices"][0]["message"]["content"] == ""
        assert record["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("stream", [False, True])
def test_usage_can_be_left_out(stream: bool) -> None:
    said = [{"role": "user", "content": "a b c"}]
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    for ignores, there in (((), True), (("usage",), False)):
        with MockServer(echo, faults=Faults(ignores=ignores)) as server:
            text = post(server, "chat/completions", messages=said, **options).text
        assert ("completion_tokens" in text) == there
