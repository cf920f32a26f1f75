"""GGUF files, which llama.cpp loads: our own solved codes on GGUF's grids, K-quants by llama-quantize, and plain BF16.

llama.cpp's converter turns the reference into a GGUF file once. A variant is that file with other tensors in it:
linears that a method solved, packed block by block and arranged as the converter arranged the originals. K-quants have
grids of grids that llama-quantize fits; it gets the same importance that our own methods use. Activations are
llama.cpp's own business: it rounds the inputs of every quantized layer to 8 bits.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitproof.engines.gguf_tools import convert_to_gguf, llama_quantize
from bitproof.errors import UsageError
from bitproof.formats.number import NumberFormat
from bitproof.formats.pack_gguf import gguf_type_of, pack_gguf
from bitproof.models.headers import read_header
from bitproof.models.inspect_gguf import inspect_gguf
from bitproof.models.overlay import BlockOverlay, StoredOverlay
from bitproof.models.reference import Reference, cache_dir
from bitproof.quantize.export_gptq import HalfScales, engine_cache_note
from bitproof.quantize.export_safetensors import Modules
from bitproof.quantize.gguf_file import Entry, write_gguf
from bitproof.quantize.gguf_layout import GgufLayout
from bitproof.quantize.imatrix import read_importance, write_imatrix
from bitproof.types import Variant

__all__ = ["export_gguf", "reference_gguf"]

_OUTTYPES: dict[str, Literal["bf16", "f16", "f32"]] = {"BF16": "bf16", "F16": "f16", "F32": "f32"}
_FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def reference_gguf(reference: Reference) -> Path:
    """The reference as a GGUF file in the type of its embedding, made on first use and kept in the cache.

    Raises EnvironmentFailed where the converter refuses the model or cannot be installed.
    """
    name = next((name for name in reference.checkpoint.names if "embed" in name), reference.checkpoint.names[0])
    outtype = _OUTTYPES[reference.checkpoint.dtype(name)]
    file = cache_dir() / "converted" / f"{reference.digest[:32]}.{outtype}.gguf"
    return file if file.exists() else convert_to_gguf(reference.path, file, outtype=outtype)


def export_gguf(reference: Reference, variant: Variant, overlay: StoredOverlay, out: Path) -> dict[str, Any]:
    """Write a variant, or the reference itself, as a GGUF file.

    Raises UsageError for formats that no GGUF type stores, UnsupportedError for tensors that the converter changes in
    a way that bitproof does not know, EnvironmentFailed where the converter or llama-quantize fails.
    """
    _require(variant)
    base = reference_gguf(reference)
    kind = variant.gguf_type or (_type_of(variant.weights) if variant.weights else base.suffixes[-2][1:].upper())
    file = out / f"{Path(reference.name).name}-{kind}.gguf"
    layout = GgufLayout(reference, base)
    notes = engine_cache_note(variant)
    if variant.gguf_type:
        _quantize(layout, overlay, base, file, variant.gguf_type)
    elif variant.weights is None:
        shutil.copyfile(base, file)
    else:
        writer = _Writer(layout, variant, overlay)
        writer.write(file, kind)
        notes = writer.notes + notes
    if variant.gguf_type:
        notes += inspect_gguf(read_header(file))[2]  # where llama-quantize fell back
    return _described(file, variant, reference) | {"notes": notes}


def _require(variant: Variant) -> None:
    problem = None
    if variant.weights is not None and variant.activations is not None:
        problem = "llama.cpp rounds activations in its own way, and this variant has its own"
    elif variant.weights is not None:
        try:
            _type_of(variant.weights)
        except ValueError as error:
            problem = str(error)
    if problem:
        right = "bitsandbytes" if variant.scheme == "nf4" else "compressed-tensors"
        raise UsageError(problem, where=variant.name, remedy=f"Export it as {right}.")


def _type_of(fmt: NumberFormat) -> str:
    """The GGUF type of a format; its scales go to FP16 as all of GGUF's do."""
    return gguf_type_of(replace(fmt, scale_dtype="fp16"))


def _quantize(layout: GgufLayout, overlay: StoredOverlay, base: Path, file: Path, kind: str) -> None:
    """A K-quant of the base file, by llama-quantize with our importance."""
    modules, importance = Modules(layout.reference), read_importance(overlay.path)
    by_tensor = {f"{modules.on_disk(name)}.weight": values for name, values in importance.items()}
    entries = {}
    for name, sources in layout.sources.items():
        if all(source in by_tensor for source in sources):
            entries[name] = torch.cat([by_tensor[source].reshape(-1) for source in sources])
    imatrix = file.with_suffix(".imatrix")
    write_imatrix(imatrix, entries)
    llama_quantize(base, file, kind, imatrix=imatrix)
    imatrix.unlink()


@dataclass(frozen=True)
class _Place:
    """Where the replacement of a tensor is found, and the GGUF type it is stored in (None: as in the base file)."""

    block: int | None
    module: str  # name in the overlay
    gguf_type: str | None


class _Writer:
    """A GGUF file made of the base file and an overlay, one tensor at a time."""

    def __init__(self, layout: GgufLayout, variant: Variant, overlay: StoredOverlay) -> None:
        self._layout, self._variant, self._overlay = layout, variant, overlay
        self._modules, self._half = Modules(layout.reference), HalfScales("GGUF", variant)
        self._outer = overlay.outer()
        self._block: tuple[int, BlockOverlay] = (-1, BlockOverlay())

    @property
    def notes(self) -> list[str]:
        return self._half.notes

    @cached_property
    def _places(self) -> dict[str, _Place]:
        """Tensors that the variant replaces, by the checkpoint's names."""
        places = {name: _Place(None, name, None) for name in self._outer}
        for index in range(self._layout.reference.n_blocks):
            block = self._overlay.block(index)
            for name, quantized in block.quantized.items():
                disk = f"{self._modules.on_disk(name)}.weight"
                places[disk] = _Place(index, name, self._type(name, quantized.format))
            places |= {self._modules.on_disk(name): _Place(index, name, None) for name in block.dense}
        return places

    def _type(self, name: str, fmt: NumberFormat) -> str:
        try:
            return _type_of(fmt)
        except ValueError as error:
            raise UsageError(
                f"{error}, which {name} has", where=self._variant.name, remedy="Export it as compressed-tensors."
            ) from error

    def write(self, file: Path, kind: str) -> None:
        write_gguf(file, self._layout.header, kind, list(self._tensors()), self._data)

    def _tensors(self) -> Iterator[Entry]:
        """Name, shape (outermost first) and type of every tensor, in the base file's order."""
        for name, tensor in self._layout.tensors.items():
            places = [self._places[source] for source in self._sources(name) if source in self._places]
            gguf_type = next((place.gguf_type for place in places if place.gguf_type), tensor.dtype)
            yield name, tensor.shape, gguf_type
        if "output.weight" not in self._layout.tensors and any("lm_head" in name for name in self._outer):
            head = next(name for name in self._outer if "lm_head" in name)
            yield "output.weight", tuple(self._outer[head].shape), self._layout.tensors["token_embd.weight"].dtype

    def _sources(self, name: str) -> list[str]:
        return self._layout.sources.get(name, [])

    def _data(self, name: str, gguf_type: str) -> NDArray[np.uint8]:
        if name not in self._layout.tensors:
            head = next(source for source in self._outer if "lm_head" in source)
            return _raw(self._outer[head].to(_FLOATS[gguf_type]))
        sources = self._sources(name)
        if not any(source in self._places for source in sources):
            return self._layout.raw(name)
        return np.concatenate([_raw(self._replacement(source, gguf_type)) for source in sources])

    def _replacement(self, source: str, gguf_type: str) -> Tensor:
        """A replaced tensor in the file's arrangement: raw bytes [rows, bytes per row], or floats."""
        place = self._places[source]
        if place.gguf_type is not None:
            quantized = self._half(place.module, self._read(place.block).quantized[place.module])
            return self._layout.arrange(source, pack_gguf(quantized))
        tensor = self._outer[source] if place.block is None else self._read(place.block).dense[place.module]
        return self._layout.arrange(source, tensor.float()).to(_FLOATS[gguf_type])

    def _read(self, index: int | None) -> BlockOverlay:
        assert index is not None  # of a block's tensor
        if self._block[0] != index:
            self._block = (index, self._overlay.block(index))
        return self._block[1]


def _raw(tensor: Tensor) -> NDArray[np.uint8]:
    raw: NDArray[np.uint8] = tensor.contiguous().view(torch.uint8).reshape(-1).numpy()
    return raw


def _described(file: Path, variant: Variant, reference: Reference) -> dict[str, Any]:
    """What the file really holds, for its record: llama-quantize falls back to other types where widths do not fit."""
    tensors = [tensor for tensor in read_header(file).tensors if tensor.dtype not in _FLOATS]
    layers = [tensor for tensor in tensors if not tensor.name.startswith("token_embd")]
    made: dict[str, Any] = {"quantized_modules": len(layers)}
    if variant.gguf_type:
        weights = sum(tensor.n_elements for tensor in layers)
        made["bits_per_quantized_weight"] = sum(tensor.n_bytes for tensor in layers) * 8 / weights
        made["bits_per_parameter"] = file.stat().st_size * 8 / reference.n_parameters
        made["stored_types"] = dict(Counter(tensor.dtype for tensor in tensors))
    return made
