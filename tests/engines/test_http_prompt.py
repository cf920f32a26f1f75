"""Logprobs of a prompt's own tokens: what is asked, what is read, and servers that give something else."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from bitproof.engines.generation import Completion, Request, TokenLogprob
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_patience import Patience
from bitproof.engines.http_prompt import prompt_places
from bitproof.engines.http_wire import Dialect, body_of
from bitproof.engines.mock_answers import TinyModel
from bitproof.engines.mock_faults import Faults
from bitproof.engines.mock_server import MockServer
from bitproof.types import Message

QUICK = Patience(backoff_s=0.001, attempts=2, timeout_s=5)
REQUEST = Request(
    key="k",
    messages=(Message(role="user", content="Who?"), Message(role="assistant", content="It is")),
    max_tokens=1,
    prompt_logprobs=3,
    continue_final=True,
)


def place(*entries: tuple[int, Any]) -> dict[str, Any]:
    return {str(id_): {"logprob": logprob, "rank": None, "decoded_token": f" {id_}"} for id_, logprob in entries}


def read(places: Any, *, most: int = 2, **beside: Any) -> Any:
    return prompt_places({"prompt_logprobs": places, **beside}, {}, most=most)


def ask(server: MockServer, request: Request = REQUEST, **options: Any) -> Completion:
    found: list[Completion] = []
    with HttpGenerator(server.url, patience=QUICK, **options) as engine:
        engine.generate([request], found.append)
    return found[0]


@pytest.mark.parametrize(("dialect", "there"), [("vllm", True), ("openai", True), ("llamacpp", False)])
def test_the_prompt_is_asked_for_where_the_server_may_know_it(dialect: Dialect, there: bool) -> None:
    body = body_of(REQUEST, dialect, by_ids=False, stream=False, limit="max_tokens")
    assert (body.get("prompt_logprobs") == 3) is there
    assert (body.get("continue_final_message") is True) is there
    assert (body.get("add_generation_prompt") is False) is there
    assert not {"logprobs", "top_logprobs"} & body.keys()


@pytest.mark.parametrize("stream", [False, True])
def test_all_places_of_a_begun_answer_come_with_one_token(stream: bool) -> None:
    model = TinyModel()
    with MockServer(model, owner="vllm") as server:
        found = ask(server, stream=stream)
        none = ask(server, replace(REQUEST, prompt_logprobs=0))
    prompt = model.encode("Who?It is")
    assert found.prompt_logprobs is not None
    assert found.prompt_logprobs[0] is None
    own = [token for token in found.prompt_logprobs if token]
    assert [token.id for token in own] == prompt[1:]
    assert [token.logprob for token in own] == [logprob for logprob, _ in model.score(prompt)]
    for number, token in enumerate(own, 1):
        exact = sorted(model.logprobs(prompt[:number]), reverse=True)
        assert [one.logprob for one in token.top] == exact[:3]
    assert (found.prompt_tokens, found.answer_tokens) == (len(prompt), 1)
    assert none.prompt_logprobs is None


def test_a_server_that_ignores_it_gives_none() -> None:
    with MockServer(TinyModel(), faults=Faults(ignores=("prompt_logprobs",))) as server:
        found = ask(server)
    assert found.prompt_logprobs is None
    assert found.answer_tokens == 1


def test_a_prompts_own_tokens_are_those_listed_or_else_the_first() -> None:
    places = [None, place((5, -3.0), (7, -0.5), (6, -1.0)), place((7, -0.5), (6, -1.0))]
    first, second = (TokenLogprob(f" {id_}", logprob, id_) for id_, logprob in ((7, -0.5), (6, -1.0)))
    assert read(places) == (
        None,
        TokenLogprob(" 5", -3.0, 5, (first, second)),
        TokenLogprob(" 7", -0.5, 7, (first, second)),
    )
    assert [one and one.id for one in read(places, prompt_token_ids=[1, 6, 6])] == [None, 6, 6]
    assert read(places, prompt_token_ids=[1, 5, 8])[2] is None  # a token that has no logprob
    assert prompt_places({}, {"prompt_logprobs": places}, most=2) == read(places)  # of completions


def test_no_more_alternatives_are_kept_than_asked_for() -> None:
    crowd = place(*((id_, -float(id_)) for id_ in range(50_000)))
    assert [one.id for one in read([None, crowd], most=3)[1].top] == [0, 1, 2]


@pytest.mark.parametrize("nothing", [None, [], {}, 0, ""])
def test_no_places_are_none(nothing: Any) -> None:
    assert read(nothing) is None


@pytest.mark.parametrize(("value", "read_as"), [(None, -math.inf), (-9999.0, -9999.0), (0, 0.0), (math.inf, math.inf)])
def test_odd_logprobs_are_kept_as_they_are(value: Any, read_as: float) -> None:
    assert read([place((1, value))])[0].logprob == read_as


@pytest.mark.parametrize(
    "places",
    [
        "none",
        {"0": place((1, -1.0))},
        [None] * (1 << 17),
        [{}],
        [7],
        ["a"],
        [place((1, "-1.0"))],
        [{"one": {"logprob": -1.0}}],
        [{"1": -1.0}],
        [{"1": {"rank": 1}}],
        [{"1": None}],
    ],
)
def test_places_of_another_form_fail_the_request(places: Any) -> None:
    def tampered(self: Any, completion: Completion, body: Any, api: Any, fault: str) -> Any:
        record = {"choices": [{"message": {"content": "."}, "finish_reason": "stop"}], "prompt_logprobs": places}
        return _json(record)

    server = type("Tampered", (MockServer,), {"_written": tampered})(TinyModel())
    with server:
        found = ask(server)
    assert found.finish == "error"
    assert "not of the known form" in found.error


def _json(record: Any) -> Any:
    from starlette.responses import Response

    return Response(json.dumps(record), media_type="application/json")


def test_as_many_places_as_the_prompt_has_tokens() -> None:
    with pytest.raises(ValueError, match="zip"):
        read([None, place((1, -1.0))], prompt_token_ids=[1, 2, 3])
