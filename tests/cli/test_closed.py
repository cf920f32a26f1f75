"""`bitproof audit` without a reference, over real HTTP: recordings, comparisons, faults, money, and no key anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bitproof.audit.closed import ClosedPlan, default_asking, record
from bitproof.audit.conversation import PATIENCE
from bitproof.audit.recording import MOST_BYTES, read_recording, write_recording
from bitproof.cli.closed import is_address, same_place
from bitproof.engines.generation import Completion, Request
from bitproof.engines.http import HttpGenerator
from bitproof.engines.mock_answers import TinyModel
from bitproof.engines.mock_faults import Faults
from bitproof.engines.mock_server import MockServer

Run = Callable[..., Any]
KEY = "sk-nobody-may-see-this"
PRICES = ("--price-in", "1", "--price-out", "10")


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch, fake: Callable[[str, Any], None]) -> None:
    quick = replace(PATIENCE, backoff_s=0.001, attempts=2, timeout_s=5.0, limited_s=0.5)
    fake("bitproof.audit.conversation.PATIENCE", quick)
    monkeypatch.setenv("THE_KEY", KEY)


@pytest.fixture
def server() -> Iterator[MockServer]:
    with MockServer(TinyModel(seed=1)) as running:
        yield running


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of eight questions."""
    file = tmp_path_factory.mktemp("recorded") / "m.recording"
    with MockServer(TinyModel(seed=1)) as running, HttpGenerator(running.url) as engine:
        made = record(engine, ClosedPlan(asking=default_asking(8)), endpoint=running.url, model=engine.model)
    write_recording(made, file)
    return file


def flat(paragraph: str) -> str:
    return " ".join(paragraph.split())


def test_recorded_and_compared_later(bitproof: Run, server: MockServer, tmp_path: Path):
    done = bitproof("audit", server.url, "--record", "m.recording", "--probes", "16")
    assert done.code == 0, done.err
    assert "16 questions; at most 321 requests, 2,064 answer tokens" in done.err
    assert done.out.startswith(f"Recorded: mock at {server.url}, in 2 sittings.\n16 questions, 20 logprobs a token")
    assert "What this cannot know:\n- Without the reference's weights nobody can say which precision" in done.out
    same = bitproof("audit", server.url, "--against", "m.recording", "--out", "made/r.html", "--seed", "3")
    assert same.code == 0, same.err
    assert same.out.startswith("Consistent with mock as recorded: no difference was found.")
    page = (tmp_path / "made" / "r.html").read_text()
    assert "bitproof audit http" in page
    assert "--against m.recording --out made/r.html --seed 3" in page
    with MockServer(TinyModel(seed=2)) as other:
        differs = bitproof("audit", other.url, "--against", "m.recording", "--format", "json", "--out", "r.json")
    assert differs.code == 10
    assert "answers otherwise" in differs.err
    found = json.loads(differs.out)
    assert found == json.loads((tmp_path / "r.json").read_text())
    assert (found["outcome"], found["cost_usd"]) == ("different", None)
    assert found["answers"][0]["against"] != found["answers"][0]["answered"]


def test_a_recording_of_the_same_is_added_to_and_of_another_left_alone(
    bitproof: Run, server: MockServer, tmp_path: Path
):
    file = tmp_path / "m.recording"
    assert bitproof("audit", server.url, "--record", "m.recording", "--probes", "4").code == 0
    first = read_recording(file)
    more = bitproof("audit", server.url, "--record", "m.recording", "--format", "json", *PRICES)
    assert more.code == 0, more.err
    made, said = read_recording(file), json.loads(more.out)
    assert (made.sittings[:2], len(made.sittings)) == (first.sittings, 4)
    assert said["digest"] == made.digest
    assert said["cost_usd"] == pytest.approx((said["prompt_tokens"] + 10 * said["answer_tokens"]) / 1e6)
    before, asked = file.read_bytes(), len(server.bodies)
    again = bitproof("audit", server.url, "--record", "m.recording", "--probes", "5")
    assert again.code == 2
    assert "holds 4 questions already, which are asked again: nothing can be changed by --probes" in flat(again.err)
    with MockServer(TinyModel(seed=1)) as other:
        wrong = bitproof("audit", other.url, "--record", "m.recording")
    assert wrong.code == 2
    assert f"is of mock at {server.url}, not of mock at {other.url}" in flat(wrong.err)
    assert (file.read_bytes(), len(server.bodies)) == (before, asked)


def test_two_endpoints(bitproof: Run, server: MockServer):
    with MockServer(TinyModel(seed=2)) as other:
        done = bitproof("audit", server.url, "--against", other.url, "--probes", "6", "--format", "json", *PRICES)
    assert done.code == 10, done.err
    found = json.loads(done.out)
    assert (found["endpoint"], found["against"]) == (server.url, f"mock at {other.url}")
    assert found["recording_digest"] == ""
    assert len(server.bodies) + len(other.bodies) == found["n_requests"]
    assert found["cost_usd"] > 0


def test_a_key_goes_to_its_own_host_alone(bitproof: Run):
    with MockServer(TinyModel(seed=1), key=KEY) as one, MockServer(TinyModel(seed=1), key=KEY) as other:
        ask = ("audit", one.url, "--key-env", "THE_KEY", "--against", other.url, "--probes", "4")
        refused = bitproof(*ask)
        assert refused.code != 0
        assert other.url in refused.err
        assert other.bodies == []
        given = bitproof(*ask, "--against-key-env", "THE_KEY", "--max-tokens", "60")
        assert given.code == 11, given.err
        itself = bitproof("audit", one.url, "--key-env", "THE_KEY", "--against", one.url, "--max-tokens", "60")
        assert itself.code == 11, itself.err
    assert same_place("https://host/v1", "https://host/v2?a=b")
    assert not same_place("https://host/v1", "https://host:8443/v1")
    assert not same_place("https://host/v1", "http://host/v1")
    assert is_address("http://host/v1")
    assert not is_address("folder/m.recording")


def test_no_key_is_in_a_recording_or_a_report(bitproof: Run, tmp_path: Path):
    secret = "sk-also-secret-0123456789"
    with MockServer(TinyModel(seed=1), key=KEY) as running:
        url = f"{running.url}?api-key={secret}&region=eu"
        for last in (("--record", "m.recording"), ("--against", "m.recording"), ("--against", url)):
            limit = ("--out", "r.html", "--format", "json", "--max-tokens", "200")
            limit = ("--probes", "4") if last[0] == "--record" else limit
            done = bitproof("audit", url, "--key-env", "THE_KEY", *last, *limit)
            assert done.code in (0, 11), done.err
            for file in tmp_path.iterdir():
                assert KEY not in file.read_text()
                assert secret not in file.read_text()
            assert secret not in done.out + done.err
    assert "?api-key=***&amp;region=eu" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is nothing to compare with"),
        (("--record", "f", "--against", "g"), "--record and --against are different audits"),
        (("--record", "f", "--reference", "smollm2-135m"), "--reference and --record are different audits"),
        (("--profile", "p", "--against", "f"), "--profile and --against are different audits"),
        (("--record", "f", "--test", "text"), "nothing is meant by --test with --record"),
        (("--record", "f", "--out", "r.html"), "A recording is its own report"),
        (("--against", "f", "--probes", "9"), "nothing is meant by --probes with --against a recording"),
        (("--against", "f", "--against-model", "m"), "nothing is meant by --against-model with --against a recording"),
        (("--profile", "p", "--probes", "9"), "nothing is meant by --probes with an audit with a reference"),
        (("--record", "f", "--max-cost-usd", "1"), "needs the prices of a million prompt tokens"),
        (("--profile", "p", "--max-cost-usd", "1"), "needs the prices of a million prompt tokens"),
        (("--record", "f", "--price-in", "1"), "--price-out: is missing beside --price-in"),
        (("--against", "f"), "f: cannot be read"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_paragraph(
    bitproof: Run, server: MockServer, tmp_path: Path, arguments: tuple[str, ...], words: str
):
    done = bitproof("audit", server.url, *arguments)
    assert done.code == 2
    assert words in flat(done.err)
    assert "Traceback" not in done.err
    assert (server.bodies, list(tmp_path.iterdir())) == ([], [])


def test_options_of_a_configuration_are_for_whom_they_fit(bitproof: Run, server: MockServer, tmp_path: Path):
    (tmp_path / "bitproof.yaml").write_text("audit: {reference: smollm2-135m, test: text, probes: 5}")
    done = bitproof("audit", server.url, "--record", "m.recording")
    assert done.code == 0, done.err
    assert len(read_recording(tmp_path / "m.recording").asking.probes) == 5


def damaged(content: bytes) -> Iterator[tuple[str, bytes]]:
    yield "no JSON", b"\x89PNG\r\n"
    yield "nothing", b""
    yield "cut", content[: len(content) // 2]
    yield "changed", content.replace(b'"lost":0', b'"lost":1', 1)
    yield "another version", content.replace(b'"bitproof_recording":1', b'"bitproof_recording":2', 1)
    yield "a list", b"[1, 2]"
    yield "deep", b"[" * 100_000
    yield "of other types", b'{"bitproof_recording": 1, "sha256": 3, "recording": []}'


def test_a_damaged_recording_is_refused_and_left_as_it_is(
    bitproof: Run, server: MockServer, tmp_path: Path, recorded: Path
):
    file = tmp_path / "m.recording"
    for name, content in damaged(recorded.read_bytes()):
        file.write_bytes(content)
        for option in ("--against", "--record"):
            done = bitproof("audit", server.url, option, "m.recording")
            assert (name, done.code) == (name, 2), done.err
            assert "Traceback" not in done.err
        assert file.read_bytes() == content
    with file.open("wb") as huge:
        huge.truncate(MOST_BYTES + 1)  # a hole: it takes no room
    assert "larger than a recording can be" in bitproof("audit", server.url, "--against", "m.recording").err
    assert server.bodies == []


FAULTY = {
    "malformed": Faults(malformed=1.0),
    "html": Faults(html=1.0),
    "rate_limited": Faults(rate_limited=1.0, retry_after_s=0.1),
    "server_error": Faults(server_error=1.0),
}


@pytest.mark.parametrize("name", FAULTY)
def test_an_endpoint_that_never_answers_cannot_be_reached(bitproof: Run, tmp_path: Path, recorded: Path, name: str):
    with MockServer(TinyModel(seed=1), faults=FAULTY[name]) as faulty:
        for last in (("--record", "n.recording"), ("--against", str(recorded))):
            done = bitproof("audit", faulty.url, *last)
            assert done.code == 12, done.err
            assert done.out == ""
    assert list(tmp_path.iterdir()) == []


@contextmanager
def raw(body: bytes | None) -> Iterator[str]:
    """A server that answers everything with one body; None is one without end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            while body is None:
                self.wfile.write(b" " * 65536)
            self.wfile.write(body)

        def log_message(self, *details: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *details: object) -> None:
            pass  # a client that stops in the middle

    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def chat(**choice: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop", **choice}]}).encode()


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (None, {12}),
        (b'{"choices": {"0": []}, "usage": "many"}', {12}),
        (chat(message=7), {12}),
        (chat(logprobs={"content": "many"}), {10, 11, 12}),
        (chat(logprobs={"content": [{"token": 5, "logprob": "x", "top_logprobs": {}}]}), {10, 11, 12}),
        (chat(logprobs={"content": [{"token": "x", "logprob": -1e999, "top_logprobs": []}] * 3}), {10, 11}),
        (chat(message={"content": "x" * 100_000}), {10, 11}),
    ],
)
def test_a_hostile_endpoint_is_never_consistent(
    bitproof: Run,
    tmp_path: Path,
    recorded: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes | None,
    codes: set[int],
):
    monkeypatch.setattr("bitproof.engines.http_response.MOST_BYTES", 1 << 20)
    with raw(body) as url:
        done = bitproof("audit", url, "--model", "m", "--against", str(recorded), "--out", "r.html")
        assert done.code in codes, done.err
        made = bitproof("audit", url, "--model", "m", "--record", "n.recording", "--probes", "4", "--alpha", "0.5")
        assert made.code in (0, 12), made.err
    assert "Traceback" not in done.err + made.err
    assert (tmp_path / "n.recording").exists() == (made.code == 0)
    if made.code == 0:
        assert read_recording(tmp_path / "n.recording").findings  # its temperature is locked, say


def test_a_dead_endpoint_cannot_be_reached(bitproof: Run, server: MockServer, recorded: Path):
    nowhere = "http://127.0.0.1:9/v1"
    for url, last in ((nowhere, str(recorded)), (nowhere, server.url), (server.url, nowhere)):
        done = bitproof("audit", url, "--against", last)
        assert (done.code, done.out) == (12, "")
        assert nowhere in done.err
    assert server.bodies == []


def test_an_endpoint_that_dies_makes_it_inconclusive_and_leaves_no_recording(
    bitproof: Run, tmp_path: Path, recorded: Path
):
    class Dying(TinyModel):
        asked = 0

        def __call__(self, request: Request) -> Completion:
            self.asked += 1
            if self.asked > 6:
                return Completion(key="", finish="error", error="no more today")
            return super().__call__(request)

    with MockServer(Dying(seed=1)) as dying:
        done = bitproof("audit", dying.url, "--against", str(recorded))
    assert done.code == 11, done.err
    assert done.out.startswith("Inconclusive: the endpoint fails: HTTP 400: no more today.")
    with MockServer(Dying(seed=1)) as dying:
        done = bitproof("audit", dying.url, "--record", "n.recording")
    assert done.code == 12
    assert "nothing was recorded" in flat(done.err)
    assert list(tmp_path.iterdir()) == []


def test_money_stops_it_and_is_said(bitproof: Run, server: MockServer, tmp_path: Path, recorded: Path):
    done = bitproof("audit", server.url, "--against", str(recorded), *PRICES, "--max-cost-usd", "0.002")
    assert done.code == 11, done.err
    assert "the budget of 0.002 USD allows no more than" in done.out
    assert "; budget: 0.002 USD." in done.err
    found = json.loads(
        bitproof(
            "audit", server.url, "--against", server.url, *PRICES, "--max-cost-usd", "0.002", "--format", "json"
        ).out
    )
    assert 0.001 < found["cost_usd"] <= 0.002
    asked = len(server.bodies)
    small = bitproof("audit", server.url, "--record", "n.recording", *PRICES, "--max-cost-usd", "0.002")
    assert small.code == 2
    assert "the budget: holds 0.002 USD, and a recording of 40 questions can take 0.11" in flat(small.err)
    assert (len(server.bodies), list(tmp_path.iterdir())) == (asked, [])


def test_where_it_cannot_be_written_nothing_is_asked(bitproof: Run, server: MockServer, tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = bitproof("audit", server.url, "--record", "file/m.recording")
    assert (done.code, server.bodies) == (12, [])


@pytest.mark.parametrize("there", [False, True])
def test_a_recording_that_is_killed_leaves_what_was_there(tmp_path: Path, recorded: Path, there: bool):
    """kill -9 while the endpoint is asked."""
    file, code = tmp_path / "m.recording", "import sys; from bitproof.cli.main import main; main(sys.argv[1:])"
    with MockServer(TinyModel(seed=1), faults=Faults(delay_s=0.05)) as slow:
        if there:
            write_recording(replace(read_recording(recorded), endpoint=slow.url), file)
        before = [path.read_bytes() for path in tmp_path.iterdir()]
        process = subprocess.Popen(
            [sys.executable, "-c", code, "audit", slow.url, "--record", str(file)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
        )
        while len(slow.bodies) < 20 and process.poll() is None:
            time.sleep(0.01)
        assert process.poll() is None
        process.kill()
        process.communicate()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == before
