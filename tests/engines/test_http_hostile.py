"""HttpGenerator against servers that mean harm, or are broken: bodies without end, other types, keys sent back."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import pytest

from bitproof.engines.generation import Completion, Request
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_client import Patience
from bitproof.engines.http_response import MOST_BYTES
from bitproof.engines.mock_answers import echo
from bitproof.engines.mock_server import MockServer
from bitproof.errors import UsageError
from bitproof.types import Message

KEY = "sk-a/key+that=nobody_sees"
QUICK = Patience(backoff_s=0.001, attempts=2, timeout_s=5)
Respond = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def hostile(post: Respond, get: Respond | None = None) -> Iterator[str]:
    """A server of handlers that write what they like."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (get or not_found)(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            post(self)

        def log_message(self, *details: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

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


def not_found(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def said(content: bytes | str, status: int = 200, **headers: str) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        body = content.encode() if isinstance(content, str) else content
        handler.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def chat(**changes: Any) -> Respond:
    choice = {"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}
    return said(json.dumps({"model": "m", "choices": [choice], "usage": {"completion_tokens": 1}} | changes))


def endless(prefix: bytes, piece: bytes, content_type: str = "application/json") -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", content_type)
        handler.end_headers()
        handler.wfile.write(prefix)
        while True:
            handler.wfile.write(piece)

    return respond


def answer(url: str, **options: Any) -> Completion:
    found: list[Completion] = []
    request = Request(key="0", messages=(Message(role="user", content="?"),), max_tokens=4, top_logprobs=2)
    with HttpGenerator(url, **{"model": "m", "patience": QUICK, **options}) as engine:
        engine.generate([request], found.append)
    return found[0]


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_body_without_end_is_not_read_to_it(proxied: bool, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "text/event-stream" if stream else "application/json"
    monkeypatch.setattr("bitproof.engines.http_response.MOST_BYTES", 1 << 20)
    if proxied:  # the general transport, which TLS and proxies need, asked directly
        monkeypatch.setattr("bitproof.engines.http_transport.LOOPBACK", frozenset())
        monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://127.0.0.1:1"})
    with hostile(endless(b"data: ", b"x" * 65536, kind)) as url:
        found = answer(url, stream=stream)
    assert found.finish == "error"
    assert "longer than 1 MiB" in found.error
    assert not found.retries


def test_a_small_body_that_unpacks_to_a_large_one_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitproof.engines.http_response.MOST_BYTES", 1 << 20)
    monkeypatch.setattr("bitproof.engines.http_transport.LOOPBACK", frozenset())
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://127.0.0.1:1"})
    bomb = gzip.compress(gzip.compress(b" " * (1 << 26)))
    with hostile(said(bomb, **{"content-encoding": "gzip, gzip"})) as url:
        assert "longer than 1 MiB" in answer(url).error


def test_the_longest_answer_has_room() -> None:
    assert MOST_BYTES >= 32_000 * 20 * 100


def test_a_list_of_models_that_never_comes_is_not_waited_for() -> None:
    waiting = threading.Event()
    began = monotonic()
    with hostile(chat(), get=lambda handler: waiting.wait(10) and None) as url:  # type: ignore[arg-type,func-returns-value]
        assert answer(url, patience=Patience(timeout_s=0.3, attempts=1)).text == "yes"
        waiting.set()
    assert monotonic() - began < 5


@pytest.mark.parametrize(
    "listed",
    [
        {"data": [{"id": "m", "owned_by": ["list"]}, {"id": "m", "owned_by": {}}]},
        {"data": {"a": 1}},
        {"data": [1, "x"]},
        {"data": 5},
        [],
        "text",
    ],
)
def test_a_list_of_models_of_any_form_does_no_harm(listed: Any) -> None:
    with hostile(chat(), get=said(json.dumps(listed))) as url:
        assert answer(url).text == "yes"


@pytest.mark.parametrize(
    "body",
    [
        '{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1e999}}',
        '{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {"completion_tokens": -7}}',
        '{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {"completion_tokens": "4"}}',
        '{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": NaN}}',
    ],
)
def test_counts_that_are_none_count_as_not_given(body: str) -> None:
    with hostile(said(body)) as url:
        found = answer(url)
    assert (found.text, found.answer_tokens, found.prompt_tokens) == ("a", 0, 0)


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": ["a"]}},
        {"message": "a"},
        {"finish_reason": ["stop"]},
        {"finish_reason": {"a": 1}},
        {"token_ids": "abc"},
        {"token_ids": [1e999]},
        {"logprobs": {"content": {"a": 1}}},
        {"logprobs": {"content": [{"token": 5, "logprob": -1}]}},
        {"logprobs": {"content": [{"token": "a", "logprob": "low"}]}},
        {"logprobs": {"content": [{"token": "a", "logprob": 10**400}]}},
        {"logprobs": {"content": [{"token": "a", "logprob": -1, "top_logprobs": 7}]}},
        {"logprobs": []},
    ],
)
def test_other_types_are_failures_or_read_and_never_raise(choice: dict[str, Any]) -> None:
    whole = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"} | choice
    with hostile(chat(choices=[whole])) as url:
        found = answer(url)
    assert found.finish == "error" or choice == {"logprobs": []}
    assert len(found.error) < 500


def test_ids_that_are_no_numbers_are_none() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -1, "id": [1], "top_logprobs": []}]}
    choice = {"message": {"content": "a"}, "finish_reason": "stop", "logprobs": logprobs}
    with hostile(chat(choices=[choice])) as url:
        assert answer(url).logprobs[0].id is None  # type: ignore[index]


def test_words_of_a_server_do_not_reach_the_terminal_as_commands() -> None:
    error = json.dumps({"error": {"message": "\x1b]0;owned\x07\x1b[31mred \u202e txt"}})
    with hostile(said(error, 400)) as url:
        found = answer(url)
    assert "owned" in found.error
    assert found.error.isprintable()
    listed = said(json.dumps({"data": [{"id": "\x1b[2Jm" + "x" * 5000}]}))
    with hostile(chat(), get=listed) as url, pytest.raises(UsageError) as caught:
        answer(url)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", [KEY, KEY.replace("/", "\\/"), "\\u0073" + KEY[1:]])
def test_a_key_that_is_sent_back_is_seen_nowhere(form: str, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    token = f'{{"token": "{form}", "logprob": -1, "top_logprobs": [{{"token": "{form}", "logprob": -1}}]}}'
    said_ = f'"{"delta" if stream else "message"}": {{"content": "it is {form}!"}}'
    choice = f'{{"index": 0, {said_}, "finish_reason": "stop", "logprobs": {{"content": [{token}]}}}}'
    record = f'{{"model": "{form}", "system_fingerprint": "{form}", "choices": [{choice}]}}'
    body = f"data: {record}\n\n" if stream else record
    with hostile(said(body, **{"content-type": "text/event-stream" if stream else "application/json"})) as url:
        found: list[Completion] = []
        with HttpGenerator(url, model="m", key_env="SOME_KEY", patience=QUICK, stream=stream) as engine:
            request = Request(key="0", messages=(Message(role="user", content="?"),), top_logprobs=2)
            engine.generate([request], found.append)
            assert found[0].text == "it is ***!"
            for shown in (repr(found), repr(engine.heard), repr(engine), repr(engine.client._secrets)):
                assert KEY not in shown


def test_a_key_that_comes_in_pieces_is_hidden_when_they_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    parts = [KEY[:7], KEY[7:]]
    events = [{"choices": [{"delta": {"content": part}}]} for part in parts]
    events.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    with hostile(said(body, **{"content-type": "text/event-stream"})) as url:
        assert answer(url, stream=True, key_env="SOME_KEY").text == "***"


def test_a_key_in_the_address_is_hidden_too() -> None:
    with hostile(said('{"error": "no such key: in-the-query"}', 400)) as url:
        found = answer(f"{url}?api_key=in-the-query&api-version=2024-10-21")
    assert found.error == "HTTP 400: no such key: ***"


@pytest.mark.parametrize("proxied", [False, True])
def test_no_key_is_logged(proxied: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SOME_KEY", KEY)
    if proxied:
        monkeypatch.setattr("bitproof.engines.http_transport.LOOPBACK", frozenset())
        monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://127.0.0.1:1"})
    filters = list(logging.getLogger("httpx2").filters)
    with hostile(chat()) as url:
        assert answer(f"{url}?api_key=in-the-query", key_env="SOME_KEY").text == "yes"
    assert ("/v1/chat/completions" in caplog.text) == proxied
    assert "in-the-query" not in caplog.text
    assert KEY not in caplog.text
    assert logging.getLogger("httpx2").filters == filters


def test_a_models_list_that_names_the_key_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    listed = said(json.dumps({"data": [{"id": KEY}, {"id": "other"}]}))
    with hostile(chat(), get=listed) as url, pytest.raises(UsageError, match="other") as caught:
        answer(url, key_env="SOME_KEY")
    assert KEY not in str(caught.value)


def test_what_the_server_says_of_itself_is_recorded() -> None:
    usage = {"completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 7}}
    choices = [{"message": {"content": "yes"}, "finish_reason": "stop"}]
    record = {"model": "m-2", "system_fingerprint": "fp_1", "choices": choices, "usage": usage}
    request = Request(key="0", messages=(Message(role="user", content="?"),))
    with hostile(said(json.dumps(record), **{"x-cache": "HIT"})) as url, HttpGenerator(url, model="m") as engine:
        engine.generate([request] * 2, lambda completion: None)
        assert engine.heard.models == {"m-2": 2}
        assert engine.heard.fingerprints == {"fp_1": 2}
        assert (engine.heard.answers, engine.heard.cached, engine.heard.cached_prompt_tokens) == (2, 2, 14)


def test_what_is_not_said_is_not_recorded() -> None:
    request = Request(key="0", messages=(Message(role="user", content="?"),))
    with MockServer(echo) as server, HttpGenerator(server.url) as engine:
        engine.generate([request], lambda completion: None)
        assert (engine.heard.models, engine.heard.fingerprints, engine.heard.cached) == ({"mock": 1}, {}, 0)
