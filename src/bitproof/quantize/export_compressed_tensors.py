"""compressed-tensors: the checkpoint format of vLLM, which transformers loads as well.

The configuration is made of the package's own classes, which refuse what no engine would understand. A linear's tensors
are those of `formats.pack_compressed`; beside them stand `input_scale` (static activations), `input_global_scale`
(NVFP4 activations, whose block scales are found at run time under a global scale fixed at calibration), and for an FP8
KV cache `k_scale` and `v_scale` of each attention, which are 1: E4M3 has exponents of its own, and emulation does so.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bitproof.errors import UsageError
from bitproof.formats.number import NumberFormat
from bitproof.formats.pack_compressed import Layout, layout_of, pack_compressed
from bitproof.formats.quantized import Quantized
from bitproof.models.overlay import BlockOverlay, StoredOverlay
from bitproof.models.reference import Reference
from bitproof.quantize.export_safetensors import Modules, write_checkpoint, write_config
from bitproof.types import Variant

if TYPE_CHECKING:
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

__all__ = ["export_compressed_tensors"]

_SCALE_DTYPES = {"e4m3": torch.float8_e4m3fn, "e8m0": torch.uint8}


def export_compressed_tensors(
    reference: Reference, variant: Variant, overlay: StoredOverlay, out: Path
) -> dict[str, Any]:
    """Write a variant as a compressed-tensors checkpoint.

    Raises UsageError for NF4 and GGUF types, which the format does not have.
    """
    _require(variant)
    modules = Modules(reference)
    formats = {name: q.format for i in range(reference.n_blocks) for name, q in overlay.block(i).quantized.items()}
    layouts = {fmt: _layout(variant, fmt) for fmt in formats.values()}

    def pack(module: str, quantized: Quantized, block: BlockOverlay) -> dict[str, Tensor]:
        tensors = pack_compressed(quantized, layouts[quantized.format])
        if module in block.input_scales:
            assert variant.activations is not None  # the solver fixed a scale for them
            name = "input_global_scale" if variant.activations.scale_dtype == "e4m3" else "input_scale"
            tensors[name] = block.input_scales[module].to(torch.float32).reshape(1)
        return tensors

    caches = modules.attentions if variant.kv and variant.kv.element == "fp8_e4m3" else ()
    extra = {modules.on_disk(f"{name}.{key}"): torch.ones(1) for name in caches for key in ("k_scale", "v_scale")}
    write_checkpoint(reference, overlay, out, pack, modules, extra)
    on_disk = {modules.on_disk(name): fmt for name, fmt in formats.items()}
    write_config(reference, overlay, out, _config(variant, on_disk, layouts, modules.unquantized(set(on_disk))))
    return {"notes": _notes(variant)}


def _require(variant: Variant) -> None:
    if variant.weights is None or variant.gguf_type:
        raise UsageError("compressed-tensors does not hold it", where=variant.name, remedy="Export it as gguf.")
    try:
        _layout(variant, variant.weights)
    except ValueError as error:
        right = "bitsandbytes" if variant.weights.element == "nf4" else "gguf"
        raise UsageError(str(error), where=variant.name, remedy=f"Export it as {right}.") from error


def _layout(variant: Variant, fmt: NumberFormat) -> Layout:
    if variant.scheme.startswith("gguf-"):
        raise ValueError(f"compressed-tensors has no {variant.scheme.removeprefix('gguf-').upper()} blocks")
    return layout_of(fmt, quantized_activations=variant.activations is not None)


def _config(
    variant: Variant, formats: dict[str, NumberFormat], layouts: dict[NumberFormat, Layout], ignore: list[str]
) -> dict[str, Any]:
    """The `quantization_config` of config.json."""
    from compressed_tensors.quantization import QuantizationConfig, QuantizationStatus

    groups = {
        f"group_{number}": _scheme(variant, fmt, layouts[fmt], targets)
        for number, (fmt, targets) in enumerate(_targets(formats).items())
    }
    used = sorted({layouts[fmt] for fmt in formats.values()})
    fp8_cache = variant.kv is not None and variant.kv.element == "fp8_e4m3"
    config = QuantizationConfig(
        config_groups=groups,
        format=used[0] if len(used) == 1 else "mixed-precision",
        quantization_status=QuantizationStatus.COMPRESSED,
        ignore=ignore,
        kv_cache_scheme=_args(variant.kv) if fp8_cache and variant.kv else None,
    )
    made: dict[str, Any] = json.loads(config.model_dump_json())
    return {"version": version("compressed-tensors"), **made}


def _targets(formats: dict[str, NumberFormat]) -> dict[NumberFormat, list[str]]:
    """Which linears have each format: all of them, or by their place in a block where that says it, or by name."""
    if len(set(formats.values())) == 1:
        return {next(iter(formats.values())): ["Linear"]}
    by_place: dict[str, set[NumberFormat]] = {}
    for name, fmt in formats.items():
        by_place.setdefault(_place(name), set()).add(fmt)
    targets: dict[NumberFormat, list[str]] = {}
    for name, fmt in formats.items():
        target = f"re:.*{re.escape(_place(name))}$" if len(by_place[_place(name)]) == 1 else name
        if target not in targets.setdefault(fmt, []):
            targets[fmt].append(target)
    return targets


def _place(name: str) -> str:
    """`.mlp.down_proj` of `model.layers.3.mlp.down_proj`: what follows the first number."""
    return re.split(r"\.\d+(?=\.)", name, maxsplit=1)[-1]


def _scheme(variant: Variant, fmt: NumberFormat, layout: Layout, targets: list[str]) -> QuantizationScheme:
    from compressed_tensors.quantization import QuantizationScheme

    return QuantizationScheme(
        targets=targets,
        weights=_args(fmt, weights=True),
        input_activations=_args(variant.activations) if variant.activations else None,
        format=layout,
    )


def _args(fmt: NumberFormat, *, weights: bool = False) -> QuantizationArgs:
    from compressed_tensors.quantization import QuantizationArgs

    is_nvfp4 = fmt.scale_dtype == "e4m3"
    extra: dict[str, Any] = {}
    if fmt.granularity == "group":
        extra["group_size"] = fmt.group_size
    if fmt.block is not None:
        extra["block_structure"] = list(fmt.block)
    if fmt.scale_dtype in _SCALE_DTYPES:
        extra |= {"scale_dtype": _SCALE_DTYPES[fmt.scale_dtype], "zp_dtype": _SCALE_DTYPES[fmt.scale_dtype]}
    dynamic: bool | str = False if weights else fmt.dynamic
    return QuantizationArgs(
        num_bits=fmt.bits,
        type="int" if fmt.is_int else "float",
        symmetric=fmt.symmetric,
        strategy="tensor_group" if is_nvfp4 else fmt.granularity,
        dynamic="local" if dynamic and is_nvfp4 else dynamic,
        **extra,
    )


def _notes(variant: Variant) -> list[str]:
    notes = []
    if variant.kv is not None and variant.kv.element != "fp8_e4m3":
        notes.append(
            f"an {variant.kv.element.upper()} KV cache is a setting of the engine: this checkpoint cannot hold it"
        )
    if variant.kv is not None and variant.kv.rounding == "zero":
        notes.append("how an FP8 KV cache is rounded is the engine's: this checkpoint cannot say it")
    if variant.weights is not None and variant.weights.is_int and variant.weights.bits not in (4, 8):
        notes.append(
            f"{variant.weights.bits}-bit integers are packed without gaps, as compressed-tensors 0.19 and later do:"
            " older versions, and vLLM on a CPU, do not load them"
        )
    return notes
