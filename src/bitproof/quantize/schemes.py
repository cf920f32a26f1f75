"""The table of schemes: what a variant stores and computes. Importing this loads no torch.

Adding a scheme is a row here; one of yours is a module that calls `register_scheme`, see `quantize.methods`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bitproof.formats.number import GGUF_FORMATS, NumberFormat

_INT8_TOKEN = NumberFormat(element="int8", granularity="token", scale_dtype="fp32")
_FP8_TOKEN = NumberFormat(element="fp8_e4m3", granularity="token", scale_dtype="fp32")


def _int(bits: int) -> NumberFormat:
    return NumberFormat(element=f"int{bits}", granularity="group")  # type: ignore[arg-type]


def _fp8(granularity: str = "channel", **extra: object) -> NumberFormat:
    return NumberFormat(element="fp8_e4m3", granularity=granularity, **extra)  # type: ignore[arg-type]


_MXFP4 = NumberFormat(element="fp4_e2m1", granularity="group", group_size=32, scale_dtype="e8m0")
_NVFP4 = NumberFormat(element="fp4_e2m1", granularity="group", group_size=16, scale_dtype="e4m3")
_NF4 = NumberFormat(element="nf4", granularity="group", group_size=64, scale_dtype="nf4_double")


@dataclass(frozen=True)
class Scheme:
    """What a scheme stores and computes, and the export that engines load it from ("" if none does).

    A name may choose one of `granularities`; without any, those of the formats are fixed.
    """

    meaning: str
    weights: NumberFormat
    activations: NumberFormat | None = None
    granularities: tuple[str, ...] = ()
    asymmetric: bool = False
    export: str = "compressed-tensors"


SCHEMES: dict[str, Scheme] = {
    **{
        f"w{bits}a16": Scheme(
            f"INT{bits} weights, 16-bit activations", _int(bits), None, ("group", "channel", "tensor"), True
        )
        for bits in range(2, 8)
    },
    "w8a16": Scheme(
        "INT8 weights, 16-bit activations",
        replace(_int(8), granularity="channel"),
        None,
        ("group", "channel", "tensor"),
        True,
    ),
    "w8a8": Scheme(
        "INT8 weights, INT8 activations scaled per token",
        replace(_int(8), granularity="channel"),
        _INT8_TOKEN,
        ("channel", "tensor"),
    ),
    "w8a8-static": Scheme(
        "INT8 weights, INT8 activations with a fixed scale",
        replace(_int(8), granularity="channel"),
        replace(_INT8_TOKEN, granularity="tensor", dynamic=False),
        ("channel", "tensor"),
    ),
    "w4a8": Scheme("INT4 weights, INT8 activations scaled per token", _int(4), _INT8_TOKEN, ("group", "channel")),
    "fp8": Scheme("FP8 E4M3 weights, FP8 activations scaled per token", _fp8(), _FP8_TOKEN, ("channel", "tensor")),
    "fp8-static": Scheme(
        "FP8 E4M3 weights, FP8 activations with a fixed scale",
        _fp8(),
        replace(_FP8_TOKEN, granularity="tensor", dynamic=False),
        ("channel", "tensor"),
    ),
    "fp8a16": Scheme("FP8 E4M3 weights, 16-bit activations", _fp8(), None, ("channel", "tensor")),
    "fp8-block": Scheme(
        "FP8 E4M3 weights in blocks of 128x128, FP8 activations in groups of 128",
        _fp8("block", block=(128, 128)),
        replace(_FP8_TOKEN, granularity="group", group_size=128),
    ),
    "nf4": Scheme("NF4 weights with double quantization (bitsandbytes)", _NF4, export="bitsandbytes"),
    "mxfp4": Scheme("MXFP4 weights and activations, blocks of 32", _MXFP4, _MXFP4),
    "mxfp4a16": Scheme("MXFP4 weights, 16-bit activations", _MXFP4),
    "nvfp4": Scheme("NVFP4 weights and activations, blocks of 16", _NVFP4, replace(_NVFP4, dynamic=True)),
    "nvfp4a16": Scheme("NVFP4 weights, 16-bit activations", _NVFP4),
}

GGUF_BLOCKS = {name.lower(): fmt for name, fmt in GGUF_FORMATS.items()}
GGUF_K_QUANTS = ("q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k")

_FP8_KV = NumberFormat(element="fp8_e4m3", granularity="tensor", scale_dtype="fp32", dynamic=False)
KV_FORMATS: dict[str, NumberFormat] = {
    "fp8": _FP8_KV,
    "fp8rz": replace(_FP8_KV, rounding="zero"),  # as vLLM 0.32 stores it on a CPU
    "int8": NumberFormat(element="int8", granularity="token", scale_dtype="fp32"),
    "int4": NumberFormat(element="int4", granularity="token", scale_dtype="fp32", symmetric=False),
}


def register_scheme(name: str, scheme: Scheme) -> Scheme:
    """Add a scheme, for a module outside bitproof; returns it.

    Raises ValueError for a name that is taken or that the grammar of variants cannot hold.
    """
    if SCHEMES.get(name, scheme) != scheme:
        raise ValueError(f"there is a scheme {name!r} already")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name.startswith("mix"):
        raise ValueError(f"{name!r} cannot stand in a variant's name: use letters, digits and _")
    SCHEMES[name] = scheme
    return scheme
