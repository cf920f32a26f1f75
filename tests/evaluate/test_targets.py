"""Two models by name: artifacts, the reference itself, an endpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitproof.engines.http_client import Patience
from bitproof.engines.mock_answers import echo
from bitproof.engines.mock_server import MockServer
from bitproof.errors import CheckpointError, EnvironmentFailed, UsageError
from bitproof.evaluate.evaluate import evaluate
from bitproof.evaluate.hosts import export_of
from bitproof.evaluate.plan import Plan
from bitproof.evaluate.suite.build import Profile
from bitproof.evaluate.targets import PairHost
from bitproof.quantize.artifact import file_digests, read_record, write_record
from bitproof.types import Estimate, Item, Message, NotMeasured

TINY = Profile(name="demo", items=4, max_tokens=48, max_context=300)


def compared(ladder: Any, out: Path, first: str, second: str) -> Any:
    items = tuple(
        Item(
            id=f"own/{i}",
            slices=("own",),
            cluster=f"c{i}",
            messages=(Message(role="user", content=f"{i} say something"),),
            grader="contains",
            gold={"expected": ["something"]},
            max_tokens=8,
        )
        for i in range(6)
    )
    plan = Plan(profile=replace(TINY, items=2), slices=("rare-vocabulary",), further=items)
    return evaluate(PairHost(ladder.reference, first, second, patience=Patience(attempts=1)), plan, out=out)


def test_an_artifact_against_another(ladder, tmp_path):
    worse, better = (str(ladder.artifacts[number].path) for number in (2, 0))
    found = compared(ladder, tmp_path / "a", better, worse)
    assert found.reference == ladder.artifacts[0].variant.name
    (variant,) = found.variants
    assert variant.name == ladder.artifacts[2].variant.name
    assert variant.overall.kl_nats.value > 0.01
    again = compared(ladder, tmp_path / "a", better, worse)
    assert again.variants[0].comparisons == variant.comparisons, "kept answers and their states are enough"


def test_the_reference_against_itself_does_not_differ(ladder, tmp_path):
    path = str(ladder.reference.path)
    (variant,) = compared(ladder, tmp_path, path, path).variants
    assert variant.overall.kl_nats.value < 1e-6
    assert variant.overall.lost == variant.overall.gained == 0


def test_an_endpoint_is_probed_and_compared_by_its_answers(ladder, tmp_path):
    with MockServer(echo) as server:
        (variant,) = compared(ladder, tmp_path, str(ladder.reference.path), server.url).variants
    own = variant.comparisons[-1]
    assert own.variant_score.value == 1, "it echoes, and the word is in the question"
    assert own.gained > 0
    assert isinstance(own.difference, Estimate)
    assert isinstance(variant.size_bytes, NotMeasured)
    assert isinstance(own.kl_nats, NotMeasured)


def test_an_endpoint_that_is_down_keeps_what_the_first_said(ladder, tmp_path):
    with pytest.raises(EnvironmentFailed, match=r"127\.0\.0\.1:9/v1"):
        compared(ladder, tmp_path, str(ladder.reference.path), "http://127.0.0.1:9/v1#m")
    with MockServer() as server:
        assert compared(ladder, tmp_path / "b", str(ladder.reference.path), server.url).variants


def test_a_name_that_is_no_model_says_what_would_be_one(ladder):
    with pytest.raises(UsageError, match=r"nowhere: is no model to compare.*llamacpp:PATH.*URL"):
        PairHost(ladder.reference, str(ladder.reference.path), "nowhere")


def test_an_export_is_the_one_that_was_written(ladder, tmp_path):
    artifact = replace(ladder.artifacts[0], path=tmp_path)
    weights = tmp_path / "compressed-tensors" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    record = read_record(ladder.artifacts[0].path)
    write_record(tmp_path, record | {"exports": {"compressed-tensors": {"files": file_digests(weights.parent)}}})
    assert export_of(artifact, ("gguf", "compressed-tensors"), "vLLM") == weights.parent
    with pytest.raises(UsageError, match=r"has no export that llama.cpp loads \(gguf\).*--export gguf"):
        export_of(artifact, ("gguf",), "llama.cpp")
    weights.write_bytes(b"Weights")
    with pytest.raises(CheckpointError, match=r"model.safetensors: is not the file that was exported here"):
        export_of(artifact, ("compressed-tensors",), "vLLM")
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors: is not the file that was exported here"):
        export_of(artifact, ("compressed-tensors",), "vLLM")
