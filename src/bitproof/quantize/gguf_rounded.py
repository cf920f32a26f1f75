"""A GGUF file with the weights of another one, rounded to nearest: what llama.cpp serves, without its converter.

The keys, the names and the arrangement of tensors are those of the file that is there, so that nothing of them has to
be known: weights are rounded within their rows, whose order does not matter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitproof.formats.number import NumberFormat
from bitproof.formats.pack_gguf import gguf_type_of, pack_gguf
from bitproof.formats.quantized import quantize
from bitproof.models.headers import TensorEntry, read_header
from bitproof.quantize.gguf_file import write_gguf
from bitproof.store.files import write_aside

__all__ = ["stored_as", "write_rounded"]


def stored_as(fmt: NumberFormat | None) -> str:
    """The GGUF type of linears in a format: its own where there is one, else BF16, which holds their values."""
    if fmt is None:
        return "BF16"
    try:
        return gguf_type_of(fmt)
    except ValueError:
        return "BF16"


def write_rounded(source: Path, out: Path, fmt: NumberFormat | None) -> None:
    """Write the GGUF file `source` again, with the linears of its blocks rounded to a format (None: as they are).

    What is rounded are its weights in BF16, as they are in a reference that is loaded from it. Other matrices stay
    BF16, vectors float32. Raises CheckpointError for a damaged file, EnvironmentFailed where the disk is full, and
    ValueError where a group does not divide a row.
    """
    header = read_header(source)
    entries = {tensor.name: tensor for tensor in header.tensors}
    stored: NDArray[np.uint8] = np.memmap(source, np.uint8, "r")

    def data(name: str, gguf_type: str) -> NDArray[np.uint8]:
        tensor = entries[name]
        weights = _dequantized(stored[tensor.start : tensor.start + tensor.n_bytes], tensor)
        return _bytes(weights, gguf_type, fmt if _is_linear(tensor) else None)

    tensors = [(tensor.name, tensor.shape, _type(tensor, fmt)) for tensor in header.tensors]
    write_aside(out, lambda aside: write_gguf(aside, header, stored_as(fmt), tensors, data))


def _is_linear(tensor: TensorEntry) -> bool:
    return len(tensor.shape) == 2 and tensor.name.startswith("blk.")


def _type(tensor: TensorEntry, fmt: NumberFormat | None) -> str:
    if len(tensor.shape) < 2:
        return "F32"
    return stored_as(fmt) if _is_linear(tensor) else "BF16"


def _dequantized(raw: NDArray[np.uint8], tensor: TensorEntry) -> Tensor:
    """Weights in BF16, [rows, columns] or [1, n]."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
    values = dequantize(np.array(raw).reshape(rows, -1), GGMLQuantizationType[tensor.dtype])
    return torch.from_numpy(np.ascontiguousarray(values)).to(torch.bfloat16)


def _bytes(weights: Tensor, gguf_type: str, fmt: NumberFormat | None) -> NDArray[np.uint8]:
    if fmt is None:
        stored = weights.to(torch.float32) if gguf_type == "F32" else weights
    elif gguf_type == "BF16":
        stored = quantize(weights, fmt).dequantize().to(torch.bfloat16)
    else:
        stored = pack_gguf(quantize(weights, fmt))
    raw: NDArray[np.uint8] = stored.contiguous().view(torch.uint8).numpy()
    return raw
