"""A GGUF file rounded again: what the gguf package reads back, against the weights rounded by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quantize
from torch import Tensor

from bitproof.errors import CheckpointError, EnvironmentFailed
from bitproof.formats.quantized import fake_quantize
from bitproof.quantize.gguf_rounded import stored_as, write_rounded
from bitproof.quantize.names import parse_variant

ROWS, COLUMNS = 64, 128


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file as the embedded model's is: linears in Q4_1, the embedding in Q8_0, vectors in float32."""
    random = np.random.default_rng(7)
    writer = GGUFWriter(str(tmp_path / "source.gguf"), "llama")
    writer.add_file_type(LlamaFileType.MOSTLY_Q4_1)
    writer.add_array("tokenizer.ggml.tokens", ["a", "ß"])
    for name, kind in (
        ("token_embd.weight", GGMLQuantizationType.Q8_0),
        ("blk.0.ffn_up.weight", GGMLQuantizationType.Q4_1),
    ):
        weights = random.normal(size=(ROWS, COLUMNS)).astype(np.float32)
        writer.add_tensor(name, quantize(weights, kind), raw_dtype=kind)
    writer.add_tensor("output_norm.weight", random.normal(size=COLUMNS).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "source.gguf"


def held(file: Path) -> dict[str, tuple[str, Tensor]]:
    """Type and values of every tensor, by name."""
    return {
        tensor.name: (
            tensor.tensor_type.name,
            torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)),
        )
        for tensor in GGUFReader(str(file)).tensors
    }


@pytest.mark.parametrize(
    ("variant", "kind"),
    [
        ("gguf-q8_0", "Q8_0"),
        ("gguf-q4_0", "Q4_0"),
        ("gguf-q5_1", "Q5_1"),
        ("w4a16-g64", "BF16"),
        ("fp8a16", "BF16"),
        (None, "BF16"),
    ],
)
def test_linears_are_rounded_from_bf16_and_nothing_else_is(source: Path, tmp_path: Path, variant, kind: str):
    fmt = parse_variant(variant).weights if variant else None
    out = tmp_path / "out.gguf"
    write_rounded(source, out, fmt)
    before = {name: values.to(torch.bfloat16) for name, (_, values) in held(source).items()}
    after = held(out)
    assert list(after) == list(before)
    wanted = before["blk.0.ffn_up.weight"].float()
    if fmt is not None:
        wanted = fake_quantize(wanted, fmt)
        assert not torch.equal(wanted, before["blk.0.ffn_up.weight"].float())
    if kind == "BF16":
        wanted = wanted.to(torch.bfloat16).float()
    assert after["blk.0.ffn_up.weight"][0] == kind == stored_as(fmt)
    assert torch.equal(after["blk.0.ffn_up.weight"][1], wanted)
    assert after["token_embd.weight"][0] == "BF16"
    assert after["output_norm.weight"][0] == "F32"
    for name in ("token_embd.weight", "output_norm.weight"):
        assert torch.equal(after[name][1], before[name].float())


def test_the_keys_are_the_sources_but_for_the_type(source: Path, tmp_path: Path):
    write_rounded(source, tmp_path / "out.gguf", parse_variant("gguf-q4_0").weights)
    reader = GGUFReader(str(tmp_path / "out.gguf"))
    assert reader.get_field("tokenizer.ggml.tokens").contents() == ["a", "ß"]
    assert reader.get_field("general.file_type").contents() == LlamaFileType.MOSTLY_Q4_0


def test_a_damaged_source_and_a_place_that_cannot_be_written(source: Path, tmp_path: Path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(source.read_bytes()[:-2000])
    with pytest.raises(CheckpointError):
        write_rounded(cut, tmp_path / "out.gguf", None)
    assert not (tmp_path / "out.gguf").exists()
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnvironmentFailed):
        write_rounded(source, tmp_path / "folder", None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cut.gguf", "folder", "source.gguf"]
