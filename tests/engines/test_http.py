"""HttpGenerator against the mock server, with every fault, and against servers that are none."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from bitproof.engines.generation import Completion, Request
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_address import choose_model
from bitproof.engines.http_client import Patience
from bitproof.engines.mock_answers import TinyModel, canned, echo
from bitproof.engines.mock_faults import Faults
from bitproof.engines.mock_server import MockServer
from bitproof.errors import BitproofError, EnvironmentFailed, UnsupportedError, UsageError
from bitproof.types import Message, ToolCall

QUICK = Patience(backoff_s=0.001, timeout_s=5)


def asked(n: int = 1, **settings: Any) -> list[Request]:
    return [
        Request(key=f"{i}", messages=(Message(role="user", content=f"question {i}"),), **{"max_tokens": 6, **settings})
        for i in range(n)
    ]


def answers(server: MockServer | str, requests: list[Request], **options: Any) -> dict[str, Completion]:
    url = server if isinstance(server, str) else server.url
    found: dict[str, Completion] = {}
    with HttpGenerator(url, **{"patience": QUICK, **options}) as engine:
        engine.generate(requests, lambda completion: found.update({completion.key: completion}))
    return found


@contextmanager
def raw(respond: Callable[[str, dict[str, Any] | None], tuple[int, dict[str, str], str]]) -> Iterator[str]:
    """A server that answers with what `respond` returns for a path and a JSON body (None of a GET)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(None)

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def answer(self, body: dict[str, Any] | None) -> None:
            status, headers, text = respond(self.path, body)
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *details: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *details: object) -> None:
            pass  # a client that stops in the middle

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_answers_are_told_as_they_came() -> None:
    with MockServer(canned({"question 1": "forty-two"})) as server:
        found = answers(server, asked(3))
    assert {key: completion.text for key, completion in found.items()} == {
        "0": "question 0",
        "1": "forty-two",
        "2": "question 2",
    }
    assert found["0"].finish == "stop"
    assert (found["0"].prompt_tokens, found["0"].answer_tokens) == (2, 2)
    assert found["0"].first_token_s is None
    assert found["0"].total_s is not None
    assert found["0"].retries == ()


def test_a_body_of_ones_own_is_sent_with_every_request_and_is_part_of_the_settings() -> None:
    route = {"provider": {"only": ["one"], "allow_fallbacks": False}}
    with MockServer() as server, HttpGenerator(server.url, patience=QUICK, body=route) as engine:
        engine.generate(asked(2), lambda completion: None)
        assert [body["provider"] for body in server.bodies] == [route["provider"]] * 2
        assert {body["model"] for body in server.bodies} == {"mock"}
        assert json.loads(str(engine.settings["body"])) == route


def test_what_is_none_in_a_body_is_not_sent() -> None:
    """A server that refuses fields it does not know, as Mistral refuses a seed."""
    with MockServer() as server, HttpGenerator(server.url, patience=QUICK, body={"seed": None}) as engine:
        engine.generate(asked(temperature=1.0, seed=7), lambda completion: None)
    assert server.bodies[0]["temperature"] == 1.0
    assert "seed" not in server.bodies[0]


def test_a_model_that_is_not_listed_is_asked_for_only_on_demand() -> None:
    with MockServer() as server:
        with HttpGenerator(server.url, model="mine", unlisted=True) as engine:
            assert engine.model == "mine"
        with pytest.raises(UsageError, match="has no model 'mine'"), HttpGenerator(server.url, model="mine"):
            pass


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("cut", "cut"),
        ("malformed", "not JSON"),
        ("server_error", "HTTP 500"),
        ("rate_limited", "HTTP 429"),
        ("html", "web page"),
    ],
)
def test_passing_faults_are_tried_again_and_recorded(fault: str, why: str, stream: bool) -> None:
    settings = {"temperature": 1.0, "seed": 5, "top_logprobs": 2}
    with MockServer(TinyModel()) as server:
        expected = answers(server, asked(30, **settings), stream=stream)
    with MockServer(TinyModel(), faults=Faults(retry_after_s=0.01, **{fault: 0.3}), seed=1) as server:
        found = answers(server, asked(30, **settings), stream=stream)
        n_sent = len(server.bodies)
    assert {key: (one.text, one.finish, one.logprobs) for key, one in found.items()} == {
        key: (one.text, one.finish, one.logprobs) for key, one in expected.items()
    }
    retries = [retry for one in found.values() for retry in one.retries]
    assert len(retries) == n_sent - 30 > 0
    assert all(why in retry.why for retry in retries)


@pytest.mark.parametrize("stream", [False, True])
def test_where_there_is_a_proxy_or_tls_httpx_asks(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"temperature": 1.0, "seed": 5, "top_logprobs": 2}
    with MockServer(TinyModel()) as server:
        expected = answers(server, asked(30, **settings), stream=stream)
    monkeypatch.setattr("bitproof.engines.http_transport.PlainTransport", None)
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"http": "http://somewhere"})
    monkeypatch.setattr("bitproof.engines.http_transport.LOOPBACK", frozenset())
    monkeypatch.delenv("http_proxy", raising=False)
    with MockServer(TinyModel(), faults=Faults(cut=0.2, server_error=0.2), seed=1) as server:
        found = answers(server, asked(30, **settings), stream=stream)
    assert {key: (one.text, one.logprobs) for key, one in found.items()} == {
        key: (one.text, one.logprobs) for key, one in expected.items()
    }
    assert any(one.retries for one in found.values())
    assert all((one.first_token_s is not None) == stream for one in found.values())


def test_the_same_seed_meets_the_same_faults() -> None:
    def failed(seed: int) -> dict[str, int]:
        with MockServer(echo, faults=Faults(server_error=0.4), seed=seed) as server:
            return {key: len(one.retries) for key, one in answers(server, asked(20)).items()}

    assert failed(3) == failed(3) != failed(4)


def test_requests_are_read_as_slots_become_free() -> None:
    read, most_ahead = 0, 0

    def lazily() -> Iterator[Request]:
        nonlocal read
        for request in asked(40):
            read += 1
            yield request

    done: list[Completion] = []

    def keep(completion: Completion) -> None:
        nonlocal most_ahead
        most_ahead = max(most_ahead, read - len(done))
        done.append(completion)

    with (
        MockServer(echo, faults=Faults(delay_s=0.01)) as server,
        HttpGenerator(server.url, workers=4) as engine,
    ):
        engine.generate(lazily(), keep)
        assert server.most_in_flight == 4
    assert len(done) == 40
    assert most_ahead <= 4


def test_raising_in_on_completion_stops_the_run() -> None:
    class Enough(Exception):
        pass

    done: list[Completion] = []

    def keep(completion: Completion) -> None:
        done.append(completion)
        if len(done) == 5:
            raise Enough

    with MockServer(echo) as server, HttpGenerator(server.url, workers=2) as engine:
        with pytest.raises(Enough):
            engine.generate(asked(100), keep)
        assert len(server.bodies) <= 7
        engine.generate(asked(1), done.append)  # and it can be asked again
    assert len(done) == 6


def test_a_bad_item_is_a_completion_with_an_error() -> None:
    def choosy(request: Request) -> Completion:
        if request.messages and request.messages[-1].content == "question 3":
            return Completion(key="", finish="error", error="the prompt is too long")
        return echo(request)

    with MockServer(choosy) as server:
        found = answers(server, asked(6))
    assert found["3"].finish == "error"
    assert found["3"].error == "HTTP 400: the prompt is too long"
    assert not found["3"].again
    assert not found["3"].retries
    assert sum(bool(one.error) for one in found.values()) == 1


def test_an_endpoint_that_breaks_ends_the_run_and_what_is_there_is_kept() -> None:
    n_asked = 0

    def breaking(request: Request) -> Completion:
        nonlocal n_asked
        n_asked += 1
        return echo(request) if n_asked <= 5 else Completion(key="", error="no memory", again=True)

    done: list[Completion] = []
    patience = Patience(backoff_s=0.001, attempts=2, in_a_row=4)
    with (
        MockServer(breaking) as server,
        HttpGenerator(server.url, workers=1, patience=patience) as engine,
        pytest.raises(EnvironmentFailed, match=r"4 requests in a row failed.*HTTP 500: no memory"),
    ):
        engine.generate(asked(100), done.append)
    assert [one.finish for one in done] == ["stop"] * 5 + ["error"] * 4
    assert all(one.again and len(one.retries) == 1 for one in done[5:])


def test_an_endpoint_that_refuses_everything_ends_the_run() -> None:
    refusing: Any = lambda request: Completion(key="", error="unknown parameter top_p")  # noqa: E731
    with MockServer(refusing) as server, pytest.raises(UsageError, match=r"in a row failed.*unknown parameter"):
        answers(server, asked(100), patience=Patience(in_a_row=3))


def test_a_slow_endpoint_is_given_two_attempts() -> None:
    with MockServer(echo, faults=Faults(slow=1.0, slow_s=0.5)) as server:
        found = answers(server, asked(2), patience=Patience(timeout_s=0.05, backoff_s=0.001))
    assert found["0"].error == "no answer within 0 s"
    assert found["0"].again
    assert len(found["0"].retries) == 1


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EnvironmentFailed, match=rf"127.0.0.1:{port}/v1: nothing answers there .*that the server runs"):
        answers(f"http://127.0.0.1:{port}/v1", asked())


def test_a_wrong_model_is_answered_with_the_names_there_are() -> None:
    with (
        MockServer(models=("llama-3-8b", "llama-3-70b", "qwen")) as server,
        pytest.raises(UsageError, match=r"has no model 'lama-3-8b'. It offers llama-3-8b, llama-3-70b"),
    ):
        answers(server, asked(), model="lama-3-8b")
    with pytest.raises(UsageError, match="offers 2 models, and none was named"):
        choose_model("", ["a", "b"], "there")
    assert choose_model("", ["a"], "there") == "a"
    assert choose_model("a", [], "there") == "a"


def test_a_model_that_no_list_names_ends_the_run_at_the_first_request() -> None:
    def respond(path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, str], str]:
        return 404, {}, json.dumps({"error": {"message": "The model does not exist"}})

    with raw(respond) as url, pytest.raises(UsageError, match=r"HTTP 404: The model does not exist"):
        answers(url, asked(50), model="m")


def test_a_web_page_ends_the_run_before_anything_else() -> None:
    def respond(path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, str], str]:
        return 200, {"content-type": "text/html"}, "<html><title>Hello &amp; welcome</title></html>"

    with raw(respond) as url, pytest.raises(BitproofError, match=r"web page instead of JSON.*Hello & welcome"):
        answers(url, asked(50), model="m")


def test_a_redirect_is_told_and_not_followed() -> None:
    def respond(path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, str], str]:
        return 308, {"location": "https://elsewhere.test/v1?token=abc"}, ""

    with raw(respond) as url, pytest.raises(UsageError, match=r"redirects to https://elsewhere.test/v1$"):
        answers(url, asked(), model="m")


def test_keys_come_from_the_environment_and_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(UsageError, match="SOME_KEY: holds no key"):
        HttpGenerator("http://127.0.0.1:1/v1", key_env="SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "sk-right")
    with MockServer(echo, key="sk-right") as server:
        assert answers(server, asked(), key_env="SOME_KEY")["0"].text == "question 0"
        monkeypatch.setenv("SOME_KEY", "sk-wrong-secret")
        with pytest.raises(UsageError, match=r"refuses the key.*provided: \*\*\*.*variable SOME_KEY") as caught:
            answers(server, asked(), key_env="SOME_KEY")
        engine = HttpGenerator(server.url, key_env="SOME_KEY")
        shown = [repr(engine), repr(engine.client), str(caught.value), repr(caught.value), str(engine.settings)]
        assert not any("secret" in text for text in shown)
        monkeypatch.setenv("SOME_KEY", "sk-\nnewline")
        with pytest.raises(UsageError, match="characters that no key has"):
            HttpGenerator(server.url, key_env="SOME_KEY")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://host/v1", "no http or https URL"),
        ("not a url", "no http or https URL"),
        ("http://user:secret@host/v1", "holds a password"),
    ],
)
def test_urls_that_cannot_be_asked(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        HttpGenerator(url)
    assert "secret" not in str(caught.value)


def test_a_path_given_too_long_is_cut() -> None:
    with MockServer(echo) as server:
        assert answers(f"{server.url}/chat/completions/", asked())["0"].text == "question 0"


def test_rate_limits_hold_everyone_back() -> None:
    with MockServer(echo, faults=Faults(rate_limited=0.3, retry_after_s=0.05), seed=2) as server:
        found = answers(server, asked(20))
    waits = [retry.wait_s for one in found.values() for retry in one.retries]
    assert waits
    assert min(waits) >= 0.05


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_longer_than_our_patience_is_an_error_at_once(status: int) -> None:
    def respond(path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, str], str]:
        return (404, {}, "") if body is None else (status, {"retry-after": "3600"}, "")

    with raw(respond) as url:
        found = answers(url, asked(12), model="m", workers=2, patience=Patience(limited_s=60))
        with pytest.raises(EnvironmentFailed, match=rf"in a row failed, the last one because HTTP {status}"):
            answers(url, asked(40), model="m")
    error = f"HTTP {status} (it asks to wait 3600 s)"
    assert [(one.error, one.again, one.retries) for one in found.values()] == [(error, True, ())] * 12


def test_streams_tell_the_first_token() -> None:
    with MockServer(TinyModel(), faults=Faults(between_s=0.02)) as server:
        found = answers(server, asked(2, top_logprobs=1), stream=True)["0"]
        whole = answers(server, asked(1, top_logprobs=1))["0"]
    assert found.first_token_s is not None
    assert found.total_s is not None
    assert found.first_token_s + 0.05 < found.total_s
    assert (found.text, found.logprobs, found.answer_tokens) == (whole.text, whole.logprobs, whole.answer_tokens)


def test_a_server_that_does_not_stream_still_answers() -> None:
    with MockServer(echo, faults=Faults(ignores=("stream",))) as server:
        found = answers(server, asked(), stream=True)["0"]
    assert (found.text, found.first_token_s) == ("question 0", None)


def test_a_notebook_can_ask() -> None:
    async def cell(url: str) -> dict[str, Completion]:
        return answers(url, asked(3))

    with MockServer(echo) as server:
        assert len(asyncio.run(cell(server.url))) == 3


def test_tools_go_out_and_calls_come_back() -> None:
    tool = {"name": "add", "parameters": {"type": "object", "properties": {}}}
    calls = [
        {"function": {"name": "add", "arguments": '{"a": 1}'}},
        {"function": {"name": "add", "arguments": '{"a": '}},
    ]
    sent: list[Any] = []

    def respond(path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, str], str]:
        sent.append(body)
        message = {"content": None, "tool_calls": calls}
        return 200, {}, json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]})

    with raw(respond) as url:
        found = answers(url, asked(tools=(tool,)), model="m")["0"]
    assert sent[-1]["tools"] == [{"type": "function", "function": tool}]
    assert found.tool_calls == (ToolCall(name="add", arguments={"a": 1}),)
    assert json.loads(found.text) == {"name": "add", "arguments": '{"a": '}  # kept as the model wrote it
    assert found.finish == "stop"


def test_models_that_name_the_limit_otherwise() -> None:
    def respond(path: str, body: dict[str, Any] | None) -> tuple[int, dict[str, str], str]:
        if body is None or "max_tokens" in body:
            return 400, {}, json.dumps({"error": {"message": "Use 'max_completion_tokens' instead."}})
        message = {"content": str(body["max_completion_tokens"])}
        return 200, {}, json.dumps({"choices": [{"message": message, "finish_reason": "length"}]})

    with raw(respond) as url:
        found = answers(url, asked(5), model="m", workers=3)
    assert [one.text for one in found.values()] == ["6"] * 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "known form"),
        ("{}", "known form"),
        ('{"choices": [{}]}', "without an end"),
        ('{"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]}', "known form"),
        ('{"choices": [{"message": {"content": "a"}, "finish_reason": "sneezed"}]}', "ended its answer with 'sneezed'"),
        ('{"error": {"message": "sad", "code": 400}}', "broke off: sad"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_answers_of_another_form_are_errors(text: str, why: str) -> None:
    with raw(lambda path, body: (200, {}, text)) as url:
        found = answers(url, asked(), model="m", patience=Patience(backoff_s=0.001, attempts=2))["0"]
    assert found.finish == "error"
    assert why in found.error


def test_vllm_is_recognized_and_asked_by_token_ids() -> None:
    model = TinyModel()
    prompt = (72, 101, 108, 108, 111)
    draft = (65, 66, 67)
    request = Request(key="k", prompt_ids=prompt, max_tokens=4, top_logprobs=3, draft_ids=draft)
    with MockServer(model, owner="vllm") as server:
        found = answers(server, [request])["k"]
        with HttpGenerator(server.url) as engine:
            scores = engine.score([prompt, (*prompt, *draft)], first=[1, 5])
            assert engine.name == "vLLM"
    expected = model(request)
    assert found.token_ids == expected.token_ids
    assert found.text == expected.text
    assert found.logprobs is not None
    assert expected.logprobs is not None
    listed = [(token.id, token.logprob, [top.id for top in token.top]) for token in expected.logprobs]
    assert [(token.id, token.logprob, [top.id for top in token.top]) for token in found.logprobs] == listed
    exact = model.score((*prompt, *draft))
    assert found.forced is not None
    assert found.forced.same_top is not None
    np.testing.assert_array_equal(found.forced.logprobs_nats, [logprob for logprob, _ in exact[4:]])
    np.testing.assert_array_equal(found.forced.same_top, [rank == 1 for _, rank in exact[4:]])
    np.testing.assert_array_equal(scores[0], [logprob for logprob, _ in exact[:4]])
    np.testing.assert_array_equal(scores[1], [logprob for logprob, _ in exact[4:]])


def test_a_reference_scores_its_own_answers() -> None:
    with MockServer(TinyModel(), owner="vllm") as server, HttpGenerator(server.url) as engine:
        engine.score_answers = True
        found: list[Completion] = []
        engine.generate([Request(key="k", prompt_ids=(72, 105), max_tokens=5)], found.append)
    assert found[0].forced is not None
    assert len(found[0].forced.logprobs_nats) == len(found[0].token_ids) == 5
    assert found[0].forced.same_top is not None
    assert found[0].forced.same_top.all()  # it was greedy


def test_what_is_not_declared_is_refused() -> None:
    with MockServer(echo) as server, HttpGenerator(server.url) as engine:
        with pytest.raises(UnsupportedError, match="gives no logprobs of given tokens"):
            engine.score([[1, 2, 3]])
        found: list[Completion] = []
        engine.generate([Request(key="k", prompt_ids=(1, 2))], found.append)
    assert found[0].error == "this endpoint is asked by messages, and the request has none"


def test_a_request_that_asks_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="request 'k': asks nothing"):
        Request(key="k")
