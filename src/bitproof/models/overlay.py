"""What a variant changes in its reference, block by block: the form in which it is solved, stored and emulated.

On disk a variant's blocks are safetensors files: for each quantized linear its codes, scales, zeros and global scale
as the solver left them, and every other tensor that a method changed. Any export can be made from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bitproof.errors import CheckpointError
from bitproof.formats.nested import NestedScales
from bitproof.formats.number import NumberFormat
from bitproof.formats.quantized import Quantized
from bitproof.formats.scales import Scales
from bitproof.store import files

OUTER_FILE = "outer.safetensors"
BLOCK_VERSION = 1


@dataclass
class BlockOverlay:
    """One decoder block of a variant; linears are named as modules, without `.weight`."""

    quantized: dict[str, Quantized] = field(default_factory=dict)
    dense: dict[str, Tensor] = field(default_factory=dict)  # full tensor name -> what replaces it
    input_scales: dict[str, Tensor] = field(default_factory=dict)  # linear -> fixed activation scale, float32 scalar
    importance: dict[str, Tensor] = field(default_factory=dict)  # linear -> mean square of its input [d] (K-quants)
    errors: dict[str, float] = field(default_factory=dict)  # linear -> relative output error on the calibration text
    rounded: frozenset[str] = frozenset()  # linears of `dense` whose inputs are rounded as the overlay's activations
    unreached: list[str] = field(default_factory=list)  # linears of experts that no calibration token came to


class Overlay(Protocol):
    """A variant as the forward pass needs it."""

    activations: NumberFormat | None
    kv: NumberFormat | None

    def block(self, index: int) -> BlockOverlay: ...

    def outer(self) -> dict[str, Tensor]:
        """Tensors outside the blocks that are replaced (rotation replaces embedding, head and final norm)."""
        ...


class StoredOverlay:
    """A variant's blocks in a directory."""

    def __init__(self, path: Path, activations: NumberFormat | None = None, kv: NumberFormat | None = None) -> None:
        self.path, self.activations, self.kv = path, activations, kv

    def block(self, index: int) -> BlockOverlay:
        return read_block(self.path / block_file(index))

    def outer(self) -> dict[str, Tensor]:
        file = self.path / OUTER_FILE
        return read_block(file).dense if file.exists() else {}


def block_file(index: int) -> str:
    """Name of a block's file."""
    return f"{index:05d}.safetensors"


def write_aside(path: Path, write: Callable[[Path], Any]) -> None:
    """`store.files.write_aside` of tensors: a disk that is full is a SafetensorError."""
    files.write_aside(path, write, failures=(OSError, SafetensorError))


def write_block(path: Path, overlay: BlockOverlay) -> None:
    """Write one block of a variant; see `write_aside`."""
    tensors: dict[str, Tensor] = {}
    formats: dict[str, Any] = {}
    for name, quantized in overlay.quantized.items():
        formats[name] = asdict(quantized.format) | {"columns": quantized.shape[1]}
        scales = quantized.scales
        parts = {"codes": _narrow(quantized), "scale": scales.scale, "zero": scales.zero, "global": scales.global_scale}
        if scales.nested is not None:
            parts |= {f"nested.{key}": value for key, value in vars(scales.nested).items()}
        tensors |= {f"{name}:{key}": value.contiguous() for key, value in parts.items() if value is not None}
    tensors |= {f"{name}:dense": tensor.contiguous() for name, tensor in overlay.dense.items()}
    tensors |= {f"{name}:importance": values.contiguous() for name, values in overlay.importance.items()}
    tensors |= {f"{name}:input": scale.clone() for name, scale in overlay.input_scales.items()}
    # one key: safetensors writes several in an order that changes from one process to the next
    record = {"version": BLOCK_VERSION, "formats": formats, "errors": overlay.errors, "unreached": overlay.unreached}
    metadata = {"bitproof": json.dumps(record, sort_keys=True)}
    write_aside(path, lambda aside: save_file(tensors, aside, metadata=metadata))


def read_block(path: Path) -> BlockOverlay:
    """Read what `write_block` wrote; raises CheckpointError for a missing or damaged file."""
    overlay = BlockOverlay()
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("bitproof", "{}"))
            parts: dict[str, dict[str, Tensor]] = {}
            for key in file.keys():  # noqa: SIM118  (not a mapping)
                name, _, part = key.rpartition(":")
                parts.setdefault(name, {})[part] = file.get_tensor(key)
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"is not a sound block of a variant ({error})",
            where=str(path),
            remedy="Build the variant again with the same command.",
        ) from error
    if metadata.get("version") != BLOCK_VERSION:
        raise CheckpointError(
            f"is not a block of a variant that this version of bitproof reads (version {BLOCK_VERSION})",
            where=str(path),
            remedy="Build the variant again with this version.",
        )
    formats = metadata.get("formats", {})
    overlay.errors = metadata.get("errors", {})
    overlay.unreached = metadata.get("unreached", [])
    for name, found in parts.items():
        if "dense" in found:
            overlay.dense[name] = found["dense"]
        if "importance" in found:
            overlay.importance[name] = found["importance"]
        if "input" in found:
            overlay.input_scales[name] = found["input"]
        if "codes" in found:
            overlay.quantized[name] = _quantized(found, formats[name])
    return overlay


def _narrow(quantized: Quantized) -> Tensor:
    """Codes as stored: two to a byte where they have four bits or fewer (low nibble first, signed ones offset by 8)."""
    codes = quantized.codes
    if quantized.format.bits > 4 or codes.shape[1] % 2:
        return codes
    unsigned = (codes.to(torch.int16) + (8 if codes.dtype == torch.int8 else 0)).to(torch.uint8)
    return unsigned[:, 0::2] | (unsigned[:, 1::2] << 4)


def _quantized(parts: dict[str, Tensor], raw: dict[str, Any]) -> Quantized:
    columns = raw.pop("columns")
    fmt = NumberFormat(**{**raw, "block": tuple(raw["block"]) if raw["block"] else None})
    codes = parts["codes"]
    if codes.shape[1] != columns:
        pairs = torch.stack([codes & 15, codes >> 4], dim=-1).reshape(len(codes), -1)
        codes = (pairs.to(torch.int8) - 8) if fmt.is_int and fmt.symmetric else pairs
    nested = {key.removeprefix("nested."): value for key, value in parts.items() if key.startswith("nested.")}
    scales = Scales(parts["scale"], parts.get("zero"), parts.get("global"), NestedScales(**nested) if nested else None)
    return Quantized(codes, scales, fmt)
