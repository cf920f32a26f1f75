"""A variant in words: what is stored, what is computed, how the numbers were found."""

from __future__ import annotations

from bitproof.formats.number import NumberFormat
from bitproof.types import Variant

ELEMENTS = {"fp8_e4m3": "FP8 E4M3", "fp8_e5m2": "FP8 E5M2", "fp4_e2m1": "FP4 E2M1", "nf4": "NF4"}
SCALES = {"e8m0": "a power-of-two scale", "e4m3": "an FP8 scale", "nf4_double": "an 8-bit scale"}
METHODS = {
    "rtn": "round to nearest",
    "scaled": "error-weighted scales",
    "gptq": "GPTQ",
    "awq": "AWQ",
    "smoothquant": "SmoothQuant",
    "hadamard": "Hadamard rotation",
    "refined": "codes and scales refined in turn",
}


def describe(variant: Variant) -> str:
    """One line, such as `INT4 weights, a scale per 64, symmetric; GPTQ`."""
    if variant.weights is None and variant.gguf_type is None and variant.bits_budget is None:
        return "the reference"
    parts = [_stored(variant)]
    if variant.activations is not None:
        how = "per input" if variant.activations.dynamic else "fixed at calibration"
        parts.append(f"{number_format(variant.activations, 'activations')}, scales {how}")
    if variant.kv is not None:
        parts.append(number_format(variant.kv, "KV cache"))
    methods = variant.methods or (("rtn",) if variant.weights is not None else ())
    parts.append(" then ".join(METHODS.get(method, method) for method in methods))
    return "; ".join(part for part in parts if part)


def _stored(variant: Variant) -> str:
    if variant.gguf_type is not None:
        return f"GGUF {variant.gguf_type}"
    if variant.bits_budget is not None:
        return f"mixed precision, {variant.bits_budget:g} bits per weight on average"
    assert variant.weights is not None
    return number_format(variant.weights, "weights")


def number_format(number: NumberFormat, what: str) -> str:
    """`INT4 weights, a scale per 64, symmetric`."""
    element = ELEMENTS.get(number.element, number.element.upper())
    sign = "" if not number.is_int else ", symmetric" if number.symmetric else ", asymmetric"
    scale = SCALES.get(number.scale_dtype, "a scale")
    rounding = ", rounded towards zero" * (number.rounding == "zero")
    return f"{element} {what}, {scale} per {_shared(number)}{sign}{rounding}"


def _shared(number: NumberFormat) -> str:
    match number.granularity:
        case "group":
            return str(number.group_size)
        case "block":
            rows, columns = number.block or (0, 0)
            return f"{rows}x{columns} block"
        case other:
            return other
