"""llama.cpp on a tiny model with the embedded model's tokenizer, and the tools that make its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import make
import pytest
import torch

from bitproof.engines.artifact import describe
from bitproof.engines.check import check_artifact
from bitproof.engines.gguf_tools import convert_to_gguf, llama_quantize
from bitproof.engines.llamacpp import LlamaCppScorer
from bitproof.engines.protocol import Logprobs
from bitproof.engines.transformers_engine import TransformersScorer
from bitproof.errors import CheckpointError, EnvironmentFailed, UnsupportedError, UsageError
from bitproof.models.reference import find_embedded

pytestmark = pytest.mark.engine

VOCABULARY = 49152
TOKENS = make.tokens(10, 24, VOCABULARY)
TOKENS[1][7] = 144  # a byte that is no whole character


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    out = make.tiny_llama(tmp_path_factory.mktemp("llama") / "model", hidden=256, vocabulary=VOCABULARY, spread=0.12)
    embedded = find_embedded()
    with make.quiet():
        AutoTokenizer.from_pretrained(embedded.parent, gguf_file=embedded.name).save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def reference_scores(reference: Path) -> list[Logprobs]:
    with TransformersScorer(reference) as scorer:
        return scorer.score(TOKENS)


@pytest.fixture(scope="module")
def bf16(reference: Path) -> Path:
    return convert_to_gguf(reference, reference.parent / "bf16.gguf")


def dequantized(file: Path) -> Any:
    """A GGUF file as a dense model in float32, by transformers' own reader of GGUF."""
    from transformers import AutoModelForCausalLM

    with make.quiet():
        return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)


def test_scores_are_exact_for_every_token_given(reference: Path, reference_scores: list[Logprobs]) -> None:
    file = convert_to_gguf(reference, reference.parent / "f32.gguf", outtype="f32")
    with LlamaCppScorer(file, kv="f32") as scorer:
        scores = scorer.score(TOKENS)
        assert scorer.precision_report().quantized == 0
    assert [len(score) for score in scores] == [23] * 10
    assert max(abs(a - b).max() for a, b in zip(scores, reference_scores, strict=True)) < 1e-3
    assert make.distance(scores, reference_scores) < 2e-5


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
def test_a_quantized_file_passes_its_check(
    reference: Path, reference_scores: list[Logprobs], bf16: Path, kind: str
) -> None:
    file = llama_quantize(bf16, reference.parent / f"{kind}.gguf", kind)
    result = check_artifact(
        file,
        engine="llamacpp",
        reference=reference,
        tokens=TOKENS,
        emulate=make.emulate(dequantized(file)),
        reference_scores=reference_scores,
    )
    assert result.passed, result.findings
    assert (result.quantized_modules, result.expected_modules) == (15, 15)
    assert result.settings["flash_attention"] == "off"


def test_a_file_that_was_not_quantized_does_not_pass_as_one(
    reference: Path, reference_scores: list[Logprobs], bf16: Path
) -> None:
    quantized = llama_quantize(bf16, reference.parent / "Q4_0.gguf", "Q4_0")
    folder = reference.parent / "export"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(bf16.read_bytes())
    (folder / "bitproof.json").write_text('{"quantized_modules": 14}')
    result = check_artifact(
        folder,
        engine="llamacpp",
        reference=reference,
        tokens=TOKENS,
        emulate=make.emulate(dequantized(quantized)),
        reference_scores=reference_scores,
    )
    assert not result.passed
    assert not result.inconclusive
    assert "the engine quantized nothing: 0 of 14 layers" in result.findings
    assert any("nats from the reference, where" in finding for finding in result.findings)


def test_the_embedded_model_as_it_is(tmp_path: Path) -> None:
    file = find_embedded()
    description = describe(file)
    with LlamaCppScorer(file, context_tokens=64) as scorer:
        report = scorer.precision_report()
        assert scorer.score([[1, 4093, 198, 2683]])[0].shape == (3,)
        with pytest.raises(UsageError, match="Give 2 to 64 tokens"):
            scorer.score([list(range(65))])
        with pytest.raises(UsageError, match="999999"):
            scorer.score([[1, 999_999, 5]])
    assert report.quantized == description.asked == 210


def test_what_the_tools_refuse(reference: Path, bf16: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="invalid ftype 'Q9_X'"):
        llama_quantize(bf16, tmp_path / "out.gguf", "Q9_X")
    with pytest.raises(EnvironmentFailed, match=r"converting to GGUF failed.*tokenizer"):
        convert_to_gguf(tiny, tmp_path / "out.gguf")  # it has no tokenizer
    with pytest.raises(UsageError, match="no such file"):
        llama_quantize(tmp_path / "none.gguf", tmp_path / "out.gguf", "Q4_0")
    with pytest.raises(UsageError, match=r"no config\.json"):
        convert_to_gguf(tmp_path, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


def test_what_llamacpp_refuses(tiny: Path, bf16: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="GGUF files only"):
        LlamaCppScorer(tiny)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(bf16.read_bytes()[:-1_000_000])
    with pytest.raises(CheckpointError):
        LlamaCppScorer(damaged)
