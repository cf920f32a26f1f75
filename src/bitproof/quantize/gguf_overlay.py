"""A GGUF artifact emulated: the weights that llama.cpp computes with, in the reference's arrangement.

For K-quants, whose numbers llama-quantize finds: what is emulated is read back from the file that it made.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitproof.formats.number import NumberFormat
from bitproof.models.overlay import BlockOverlay
from bitproof.models.reference import Reference
from bitproof.quantize.export_gguf import reference_gguf
from bitproof.quantize.gguf_layout import GgufLayout

_FLOATS = {"F32", "F16", "BF16"}
INPUTS = NumberFormat(  # a Q8_0 block
    element="int8", granularity="group", group_size=32, int_range="restricted", scale_dtype="fp16"
)


class GgufOverlay:
    """The quantized tensors of a GGUF file [out, in], float32, by the reference's names.

    With `rounds_inputs` the inputs of quantized linears are rounded too, as llama.cpp's kernels for a CPU do before
    they multiply: to Q8_0 (K-quants take blocks of 256 instead of 32).
    """

    def __init__(
        self, reference: Reference, file: Path, kv: NumberFormat | None = None, *, rounds_inputs: bool = False
    ) -> None:
        self.kv = kv
        self.activations = INPUTS if rounds_inputs else None
        self._reference, self._file = reference, file

    @cached_property
    def _layout(self) -> GgufLayout:
        return GgufLayout(self._reference, reference_gguf(self._reference))

    @cached_property
    def _stored(self) -> dict[str, Any]:
        from gguf import GGUFReader

        return {
            tensor.name: tensor
            for tensor in GGUFReader(str(self._file)).tensors
            if tensor.tensor_type.name not in _FLOATS
        }

    def block(self, index: int) -> BlockOverlay:
        names = [name for name in self._reference.checkpoint.names if f".layers.{index}." in name]
        dense = self._read(names)
        rounded = {name.removesuffix(".weight") for name in dense} if self.activations else set()
        return BlockOverlay(dense=dense, rounded=frozenset(rounded))

    def outer(self) -> dict[str, Tensor]:
        return self._read([name for name in self._reference.checkpoint.names if ".layers." not in name])

    def _read(self, names: list[str]) -> dict[str, Tensor]:
        from gguf.quants import dequantize

        found = {}
        for name in names:
            if len(self._reference.checkpoint.shape(name)) != 2:
                continue
            tensor = self._stored.get(self._layout.name(name))
            if tensor is not None:
                data = np.array(dequantize(tensor.data, tensor.tensor_type))
                found[name] = self._layout.restore(name, torch.from_numpy(data))
        return found
