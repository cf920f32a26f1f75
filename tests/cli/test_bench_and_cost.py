"""`bitproof bench` and `bitproof cost` from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitproof.engines.mock_answers import echo
from bitproof.engines.mock_server import MockServer

Run = Callable[..., Any]


def test_bench_of_a_url_and_its_speed_in_cost(bitproof: Run, tmp_path: Path) -> None:
    with MockServer(echo) as server:
        done = bitproof(
            "bench", server.url, "--rate", "50", "--requests", "10", "--answer-tokens", "4", "--prompt-tokens", "20",
            "--format", "json",
        )  # fmt: skip
    assert done.code == 0
    record = json.loads(done.out)
    load = record["targets"][0]["loads"][0]
    assert load["n_answered"] == 10
    assert load["whole_s"]["p95"] == {"not_measured": "p95 needs 59 requests, and there are 10"}
    assert load["load"]["rate_per_s"] == 50
    assert "10 requests" in done.err
    record["targets"][0]["name"] = "smollm2-135m"
    (tmp_path / "bench.json").write_text(json.dumps(record))
    cost = bitproof("cost", "smollm2-135m", "--bench", "bench.json", "--on", "l4", "--format", "json")
    row = json.loads(cost.out)["rows"][0]
    assert row["limit"] == "measured"
    assert row["tokens_per_s"]["value"] == load["tokens_per_s"]["value"]
    other = bitproof("cost", "llama-3.1-8b", "--bench", "bench.json", "--on", "l4")
    assert (other.code, "It measured smollm2-135m" in " ".join(other.err.split())) == (2, True)


def test_guided_against_free_and_the_page(bitproof: Run, tmp_path: Path) -> None:
    """The mock answers with the smallest value that a schema allows, and without one with words."""
    with MockServer(echo) as server:
        done = bitproof("bench", server.url, "--guided", "--requests", "20", "--out", "out", "--format", "json")
        asked = [body for body in server.bodies if "messages" in body]
    assert done.code == 0
    record = json.loads(done.out)
    row = next(row for row in record["guided"] if row["slice"] == "json")
    assert (row["n_items"], row["failed"]) == (20, 0)
    assert row["valid_free"]["value"] == 0 < row["valid_guided"]["value"]
    assert row["token_time_ratio"].keys() != {"not_measured"}
    assert record["targets"][0]["loads"] == []
    assert json.loads((tmp_path / "out" / "speed.json").read_text()) == record
    assert "Guided decoding" in (tmp_path / "out" / "report.html").read_text()
    by_schema = ["response_format" in body for body in asked[3:]]  # after the warm-up
    first, second = by_schema[:32], by_schema[32:40]
    assert sorted(first) == [False] * 16 + [True] * 16
    assert first.index(True) >= 8  # free first in the first block
    assert second.index(False) >= 1  # guided first in the second


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cost", "lama-3.1-8b"), "Did you mean llama-3.1-8b"),
        (("cost", "llama-3.1-8b", "--on", "h10-sxm"), "Did you mean h100-sxm"),
        (("cost", "llama-3.1-8b", "--api", "together"), "together-llama"),
        (("cost", "llama-3.1-8b:w4a17"), "w4a1"),
        (("cost", "llama-3.1-8b", "--detected", "w4a16"), "Add --api NAME"),
        (("cost", "llama-3.1-8b", "--prompt-tokens", "8000"), "Raise --context"),
        (("cost", "llama-3.1-8b", "qwen3-32b", "--tokens-per-s", "10"), "Give one MODEL"),
        (("cost", "llama-3.1-8b", "--bench", "none.json"), "no result of"),
        (("cost", "llama-3.1-8b", "--catalogue", "none.yaml"), "cannot be read"),
        (("bench", "nowhere"), "no such file or folder"),
        (("bench", "."), "holds nothing that llama.cpp or vLLM loads"),
        (("bench", "http://127.0.0.1:9/v1", "--draft", "x.gguf"), "no target is served by llama.cpp"),
        (("bench", "http://127.0.0.1:9/v1", "--schema", "none.json"), "cannot be read"),
        (("bench", "http://127.0.0.1:9/v1", "--prompt-tokens", "1"), "too few"),
    ],
)
def test_wrong_usage_says_what_would_be_right(bitproof: Run, arguments: tuple[str, ...], said: str) -> None:
    done = bitproof(*arguments)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert done.out == ""


def test_cost_needs_no_tensors() -> None:
    code = (
        "import sys; from bitproof.cli.main import run;"
        "assert run(['cost', 'llama-3.1-8b:w4a16']) == 0; assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "160"}
    )
    assert done.returncode == 0, done.stderr
    assert "llama-3.1-8b:w4a16" in done.stdout
