"""Real servers: llama.cpp in process, and vLLM in its own environment, asked over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import make
import numpy as np
import psutil
import pytest

from bitproof.engines.generation import Completion, Request
from bitproof.engines.llamacpp import LlamaCppScorer
from bitproof.engines.llamacpp_forcing import Forcing
from bitproof.engines.llamacpp_server import LlamaCppGenerator
from bitproof.engines.probe import probe
from bitproof.engines.transformers_engine import TransformersScorer
from bitproof.engines.vllm_launch import __file__ as LAUNCH
from bitproof.engines.vllm_server import VllmGenerator
from bitproof.errors import CheckpointError, EnvironmentFailed, UnsupportedError
from bitproof.evaluate.speed_server import vllm_stages
from bitproof.models.reference import find_embedded
from bitproof.types import Message

PROMPT = (1, 9690, 198, 2683, 359, 253, 5356, 11173, 30, 2, 198, 1, 4093, 198, 19556, 2, 198, 1, 520, 9531, 198)
SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"], "additionalProperties": False}


def ask(engine: LlamaCppGenerator | VllmGenerator, *requests: Request) -> dict[str, Completion]:
    found: dict[str, Completion] = {}
    engine.generate(requests, lambda completion: found.update({completion.key: completion}))
    assert not [one.error for one in found.values() if one.error]
    return found


@pytest.fixture(scope="module")
def llamacpp() -> Iterator[LlamaCppGenerator]:
    with LlamaCppGenerator(find_embedded(), slots=2, context_tokens=128) as engine:
        yield engine


@pytest.mark.engine
def test_llamacpp_answers_in_slots(llamacpp: LlamaCppGenerator) -> None:
    prompts = [(*PROMPT[:14], token, *PROMPT[15:]) for token in (19556, 30, 253)]
    requests = [Request(key=f"{n}", prompt_ids=ids, max_tokens=8) for n, ids in enumerate(prompts)]
    found = ask(llamacpp, *requests)
    one = found["0"]
    assert len(one.token_ids) == one.answer_tokens == 8
    assert (one.prompt_tokens, one.finish) == (len(PROMPT), "length")
    assert one.text
    assert one.stages["decode_s"] > 0
    llamacpp.stream = True
    streamed = ask(llamacpp, *requests)
    llamacpp.stream = False
    assert streamed["0"].first_token_s is not None
    assert streamed["0"].answer_tokens == 8
    assert streamed["0"].text.startswith(one.text[:5])


@pytest.mark.engine
def test_llamacpp_scores_its_own_answer_as_it_decoded_it(llamacpp: LlamaCppGenerator) -> None:
    llamacpp.score_answers = True
    found = ask(llamacpp, Request(key="k", prompt_ids=PROMPT, max_tokens=6, top_logprobs=1))["k"]
    llamacpp.score_answers = False
    assert found.logprobs is not None
    assert found.forced is not None
    assert found.forced.same_top is not None
    np.testing.assert_allclose(found.forced.logprobs_nats, [token.logprob for token in found.logprobs], atol=0.02)
    assert found.forced.same_top.all()


@pytest.mark.engine
def test_llamacpp_scores_any_token(llamacpp: LlamaCppGenerator) -> None:
    ids = (*PROMPT, 57, 5248, 144, 253)  # one of them is no whole character
    scores = llamacpp.score([ids], first=[len(PROMPT)])[0]
    with LlamaCppScorer(find_embedded(), context_tokens=128) as scorer:
        expected = scorer.score([ids])[0][-4:]
    # Its prompt was read in one batch, by other kernels than the scorer's single steps: they round otherwise.
    np.testing.assert_allclose(scores, expected, atol=0.5)


@pytest.mark.engine
def test_llamacpp_samples_by_seed_and_follows_a_schema(llamacpp: LlamaCppGenerator) -> None:
    sampled = {"prompt_ids": PROMPT, "max_tokens": 8, "temperature": 1.5}
    found = [ask(llamacpp, Request(key="k", seed=seed, **sampled))["k"].token_ids for seed in (1, 1, 2)]  # type: ignore[arg-type]
    assert found[0] == found[1] != found[2]
    guided = ask(llamacpp, Request(key="k", prompt_ids=PROMPT, max_tokens=40, schema=SCHEMA))["k"]
    assert guided.text.split()[0].startswith("{")
    chat = ask(llamacpp, Request(key="k", messages=(Message(role="user", content="Hi"),), max_tokens=3, top_logprobs=2))
    assert [token.id for token in chat["k"].logprobs or ()] == list(chat["k"].token_ids)


@pytest.mark.engine
def test_llamacpp_scores_a_draft_in_one_request_and_its_own_answer_in_none(llamacpp: LlamaCppGenerator) -> None:
    own = ask(llamacpp, Request(key="k", prompt_ids=PROMPT, max_tokens=6))["k"].token_ids
    draft = (*own[:2], 57, 5248, 253, 2)
    sent: list[Any] = []
    client_ask = llamacpp.client.ask

    async def counted(url: Any, body: Any, *rest: Any, **options: Any) -> Completion:
        sent.append(body)
        return await client_ask(url, body, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llamacpp.client, "ask", counted)
        found = [
            ask(llamacpp, Request(key="k", prompt_ids=PROMPT, max_tokens=6, draft_ids=ids))["k"] for ids in (own, draft)
        ]
    assert len(sent) == 1 + 2
    assert sent[2]["prompt"] == [*PROMPT, *draft[:2]]
    assert all(one.token_ids == own and one.logprobs is None for one in found)
    first, second = (one.forced for one in found)
    assert first is not None
    assert second is not None
    assert first.same_top is not None
    assert first.same_top.all()
    np.testing.assert_allclose(first.logprobs_nats[:2], second.logprobs_nats[:2], atol=1e-3)
    singly = Forcing("not asked to")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llamacpp, "_forcing", singly)
        llamacpp.speak("llamacpp")
        expected = llamacpp.score([(*PROMPT, *draft)], first=[len(PROMPT)])[0]
    llamacpp.speak("llamacpp")
    # Where the prompt was read anew, other kernels were used than for single tokens.
    np.testing.assert_allclose(second.logprobs_nats, expected, atol=1e-3)


@pytest.mark.engine
def test_llamacpp_keeps_up_with_streams_that_it_closes(llamacpp: LlamaCppGenerator) -> None:
    llamacpp.stream = True
    requests = [Request(key=f"{n}", prompt_ids=(*PROMPT, n), max_tokens=2) for n in range(12)]
    found = ask(llamacpp, *requests)
    llamacpp.stream = False
    assert len(found) == 12
    assert not any(one.retries for one in found.values())


@pytest.mark.engine
@pytest.mark.slow
def test_the_probe_finds_what_llamacpp_ignores(llamacpp: LlamaCppGenerator) -> None:
    declared = llamacpp.abilities
    found = probe(llamacpp, prompt_ids=PROMPT)
    llamacpp.abilities = declared
    assert {name for name, ability in vars(found).items() if not ability} == {"tools"}
    assert found.tools.finding.startswith("ignored: tool_choice required")


@pytest.mark.engine
def test_a_draft_model_guesses_and_changes_no_answer(llamacpp: LlamaCppGenerator) -> None:
    request = Request(key="k", prompt_ids=PROMPT, max_tokens=10)
    with LlamaCppGenerator(find_embedded(), slots=1, context_tokens=128, draft=find_embedded()) as engine:
        found = ask(engine, request)["k"]
        assert not engine.abilities.logprobs
        assert engine.settings["draft_tokens"] == 8
    assert found.speculated is not None
    guessed, taken = found.speculated
    assert 0 < taken <= guessed
    assert found.token_ids[:3] == ask(llamacpp, request)["k"].token_ids[:3]


@pytest.mark.engine
def test_what_llamacpp_refuses(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="GGUF files only"):
        LlamaCppGenerator(tiny)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(find_embedded().read_bytes()[:-1_000_000])
    with pytest.raises(CheckpointError):
        LlamaCppGenerator(damaged)


@pytest.mark.engine
@pytest.mark.slow
def test_vllm_serves_and_scores(tiny: Path) -> None:
    prompt, draft = (1, 17, 300, 42, 99), (7, 8, 9)
    with VllmGenerator(tiny, slots=2, context_tokens=64, dtype="float32", skip_tokenizer=True) as engine:
        process = engine._process
        assert process is not None
        assert engine.settings["slots"] == 2
        requests = [Request(key=f"{n}", prompt_ids=(*prompt, n), max_tokens=6, top_logprobs=2) for n in range(4)]
        engine.score_answers = True
        found = ask(engine, *requests)
        forced = ask(engine, Request(key="k", prompt_ids=prompt, max_tokens=2, draft_ids=draft))["k"].forced
        sampled = [Request(key="k", prompt_ids=prompt, temperature=1.0, seed=seed, max_tokens=8) for seed in (1, 1, 2)]
        drawn = [ask(engine, request)["k"].token_ids for request in sampled]
        stages = vllm_stages(str(engine.client.url))
        asked = Request(key="k", prompt_ids=(*prompt, *draft), max_tokens=1, prompt_logprobs=3)
        prompted = ask(engine, asked)["k"].prompt_logprobs
        assert (engine.name, engine.version) == ("vLLM", "0.32.0")
    assert process.returncode is not None
    assert isinstance(stages, dict)
    assert stages.keys() == {"queue", "prefill", "decode"}
    assert {count for _, count in stages.values()} == {2 * (4 + 1 + 3)}  # each answer, and each scored
    assert all(0 < seconds < 60 for seconds, _ in stages.values())
    sequences = [(*prompt, n, *found[f"{n}"].token_ids) for n in range(4)]
    with TransformersScorer(tiny) as scorer:
        exact = [scores[5:] for scores in scorer.score([list(ids) for ids in sequences])]
        exact_draft = scorer.score([[*prompt, *draft]])[0][4:]
    for n in range(4):
        logprobs, own = found[f"{n}"].logprobs, found[f"{n}"].forced
        assert logprobs is not None
        assert own is not None
        np.testing.assert_allclose([token.logprob for token in logprobs], exact[n], atol=1e-3)
        np.testing.assert_allclose(own.logprobs_nats, exact[n], atol=1e-3)
        assert [token.id for token in logprobs] == list(found[f"{n}"].token_ids)
    assert forced is not None
    np.testing.assert_allclose(forced.logprobs_nats, exact_draft, atol=1e-3)
    assert drawn[0] == drawn[1] != drawn[2]
    assert prompted is not None
    assert [token and token.id for token in prompted] == [None, *prompt[1:], *draft]
    np.testing.assert_allclose([token.logprob for token in prompted[-3:] if token], exact_draft, atol=1e-3)
    for token in prompted[1:]:
        assert token is not None
        listed = [one.logprob for one in token.top]
        assert len(listed) == 3
        assert listed == sorted(listed, reverse=True)
        assert token.logprob <= listed[0]


@pytest.mark.engine
@pytest.mark.slow
def test_vllm_refuses_in_its_own_words(tiny: Path, tmp_path: Path) -> None:
    artifact = make.compressed(tiny, tmp_path / "w8a16", "W8A16")
    with pytest.raises(UnsupportedError, match=r"vLLM refuses it.*uint8b128"):
        VllmGenerator(artifact, context_tokens=64, skip_tokenizer=True)


def test_the_stages_that_vllm_counts_are_read_as_it_writes_them() -> None:
    """What version 0.32 said after four requests, its histograms' inner buckets left out."""

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/metrics"
            self.send_response(200)
            self.end_headers()
            self.wfile.write((Path(__file__).parent / "vllm_metrics.txt").read_bytes())

        def log_message(self, *details: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    stages = vllm_stages(f"http://127.0.0.1:{server.server_port}/v1")
    thread.join()
    server.server_close()
    assert stages == {
        "queue": (0.00012944599802722223, 4.0),
        "prefill": (0.041309597003419185, 4.0),
        "decode": (0.11099136700067902, 4.0),
    }


def script(tmp_path: Path, text: str) -> Path:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{text}\n")
    python.chmod(0o755)
    return python


def test_a_server_that_ends_says_why(tiny: Path, tmp_path: Path) -> None:
    refusing = script(
        tmp_path, "echo 'ValueError: no kernel for it'; echo 'RuntimeError: See root cause above'; exit 1"
    )
    with pytest.raises(UnsupportedError, match=r"vLLM refuses it: ValueError: no kernel for it\. On a CPU"):
        VllmGenerator(tiny, python=refusing)
    killed = script(tmp_path, "echo loading; kill -9 $$")
    with pytest.raises(EnvironmentFailed, match="status -9 while it loaded this: loading"):
        VllmGenerator(tiny, python=killed)
    with pytest.raises(EnvironmentFailed, match="Address already in use"):
        VllmGenerator(tiny, python=script(tmp_path, "echo 'OSError: [Errno 98] Address already in use'; exit 1"))


def test_a_server_that_hangs_is_ended(tiny: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    hanging = script(tmp_path, f"echo $$ > {note}; exec sleep 600")
    with pytest.raises(EnvironmentFailed, match="not healthy within 1 s"):
        VllmGenerator(tiny, python=hanging, start_s=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    (tmp_path / "vllm" / "entrypoints" / "cli").mkdir(parents=True)
    child = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    ready = "def main():\n    print('serving', sys.argv, flush=True)\n    time.sleep(600)\n"
    (tmp_path / "vllm" / "entrypoints" / "cli" / "main.py").write_text(child + ready)
    process = subprocess.Popen(
        [sys.executable, LAUNCH, "DIR", "--port", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"},
        start_new_session=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "serving ['vllm', 'serve', 'DIR', '--port', '1']\n"
        children = psutil.Process(process.pid).children()
        assert len(children) == 1
        process.stdin.close()
        assert process.wait(10) == -9
        _, alive = psutil.wait_procs(children, timeout=5)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
