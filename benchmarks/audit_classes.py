"""What the audit's benchmark serves: the classes, all made of one master, and the files that engines load.

Weight-only classes are dequantized to BF16 and served as a plain model, in every engine the same weights. What an
engine has kernels for is served natively too. Nothing here is served by an engine in which the class would be another.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from bitproof.engines.gguf_tools import convert_to_gguf
from bitproof.formats.number import NumberFormat
from bitproof.formats.quantized import Quantized
from bitproof.models.checkpoint import sha256
from bitproof.models.overlay import BlockOverlay, Overlay, StoredOverlay
from bitproof.models.reference import Reference, load
from bitproof.quantize.artifact import overlay_of, read_artifact
from bitproof.quantize.build import build
from bitproof.quantize.calibration import load_calibration
from bitproof.quantize.export_compressed_tensors import export_compressed_tensors
from bitproof.quantize.export_safetensors import Modules, write_checkpoint, write_config
from bitproof.quantize.names import parse_variant
from bitproof.quantize.schemes import KV_FORMATS
from bitproof.types import Artifact

REFERENCE, KV = "reference", "bf16+kvfp8"
NATIVE_INT4 = "w4a16-rtn-g64-native"
NINE = (
    REFERENCE,
    "w4a16-rtn-g64",
    "nf4",
    "w6a16-rtn-g64",
    "fp8a16-rtn-channel",
    "fp8-rtn-channel",
    "w8a16-rtn-channel",
    "w8a8-rtn-channel",
    KV,
)
SCALE = ("w3a16-rtn-g64", "w5a16-rtn-g64", "w7a16-rtn-g64", "w8a16-rtn-g64")
UNKNOWN = ("gptq-other", "awq-other")
DECOYS = (
    "decoy-template",
    "decoy-system",
    "decoy-finetune",
    "decoy-finetune-longer",
    "decoy-finetune-code",
    "decoy-sibling",
    "decoy-temperature",
)
# Served from the master's own files: what is other about them is the engine's setting, or the request.
MASTER_ITSELF = (REFERENCE, KV, "decoy-system", "decoy-temperature")
ROUNDS_ACTIVATIONS = ("fp8-rtn-channel", "w8a8-rtn-channel")

LADDER = (
    "w8a16-channel",
    "w8a16-g64",
    "w7a16-g64",
    "w6a16-g64",
    "w5a16-g64",
    "w4a16-g64",
    "w3a16-g64",
    "nf4",
    "fp8a16",
    "fp8",
    "w8a8",
    "gguf-q8_0",
    "gguf-q4_0",
)
K_QUANTS = ("gguf-q4_k_m",)


def build_ladder(master: Path, out: Path) -> None:
    """Build `LADDER` as blocks without exports, and `K_QUANTS`, whose weights are what llama-quantize wrote."""
    reference = load(master)
    text = load_calibration(None, reference, max_tokens=4096)
    build(reference, [parse_variant(name) for name in LADDER], calibration=text, out=out, exports=())
    if not all((out / name).exists() for name in K_QUANTS):
        beside = out.with_name(f"{out.name}-k-quants")
        build(reference, [parse_variant(name) for name in K_QUANTS], calibration=text, out=beside, exports=("gguf",))
        for name in K_QUANTS:
            shutil.move(beside / name, out / name)
        shutil.rmtree(beside)


@dataclass
class KeyValueOverlay:
    """The reference's own weights with an FP8 KV cache."""

    kv: NumberFormat | None = KV_FORMATS["fp8"]
    activations: NumberFormat | None = None

    def block(self, index: int) -> BlockOverlay:
        """Nothing is changed in a block."""
        return BlockOverlay()

    def outer(self) -> dict[str, Tensor]:
        """Nor outside the blocks."""
        return {}


# Makes the model directory of a class that is no rung, in an empty folder.
Maker = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Workshop:
    """Makes what engines load, once each: `folder` holds what was made of `master` and of `ladder`.

    `makers` are the classes that are no rung of the ladder.
    """

    master: Path
    ladder: Path
    folder: Path
    makers: Mapping[str, Maker] = field(default_factory=dict)

    @cached_property
    def reference(self) -> Reference:
        return load(self.master)

    def directory(self, name: str) -> Path:
        """A class as a model directory: dequantized, or as compressed-tensors where it is served natively."""
        if name in MASTER_ITSELF:
            return self.master
        make = self.makers.get(name)
        if make is not None:
            return _made(self.folder / name, lambda aside: make(self.master, aside))
        if name == "fp8-rtn-channel":
            raise ValueError(f"{name}: FP8 activations have no kernel in an engine that loads a directory here")
        return _made(self.folder / name, lambda aside: self._write_rung(name, aside))

    def gguf(self, name: str) -> Path:
        """A class as a BF16 GGUF file, which llama.cpp's converter makes of its directory."""
        if name in ROUNDS_ACTIVATIONS or name in (KV, NATIVE_INT4):
            raise ValueError(f"{name}: as a GGUF file it would be another class")
        source = self.directory(name)
        file = self.folder / f"{REFERENCE if source == self.master else name}.bf16.gguf"
        return file if file.exists() else convert_to_gguf(source, file)

    def overlay(self, name: str) -> Overlay | None:
        """A class as the forward pass emulates it."""
        if name in (REFERENCE, KV):
            return KeyValueOverlay() if name == KV else None
        artifact = self._artifact(name)
        return overlay_of(self.reference, artifact.path, artifact.variant)

    def solved(self, name: str) -> Path:
        """Where the numbers that `overlay` emulates are stored."""
        return self.master if name in (REFERENCE, KV) else self._artifact(name).path

    def _artifact(self, name: str) -> Artifact:
        return read_artifact(self.ladder / parse_variant(name.removesuffix("-native")).name)

    def _write_rung(self, name: str, out: Path) -> None:
        artifact = self._artifact(name)
        overlay = StoredOverlay(artifact.path / "blocks", artifact.variant.activations, artifact.variant.kv)
        if name == NATIVE_INT4 or name in ROUNDS_ACTIVATIONS:
            export_compressed_tensors(self.reference, artifact.variant, overlay, out)
            return
        modules = Modules(self.reference)

        def dequantized(module: str, quantized: Quantized, block: BlockOverlay) -> dict[str, Tensor]:
            return {"weight": quantized.dequantize().to(torch.bfloat16)}

        write_checkpoint(self.reference, overlay, out, dequantized, modules)
        write_config(self.reference, overlay, out)


def _made(path: Path, make: Callable[[Path], None]) -> Path:
    """`path`, made by `make(empty folder)` where it is not there; whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
        try:
            make(aside)
            if not path.exists():  # another run may have made it meanwhile
                os.replace(aside, path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return path


def digest(path: Path) -> str:
    """SHA-256 over what is loaded: a file, or the weights, configuration and chat template in a directory."""
    if path.is_file():
        return sha256(path)
    files = [file for file in sorted(path.rglob("*")) if file.suffix in (".safetensors", ".jinja", ".gguf", ".json")]
    return hashlib.sha256("".join(sha256(file) for file in files if file.name != "bitproof.json").encode()).hexdigest()
