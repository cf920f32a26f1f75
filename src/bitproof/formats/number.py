"""What a number format is, as plain data: importing this loads no torch.

A format is an `element` (the grid that one stored code can take), a `granularity` (what shares one scale) and
how the scale itself is stored. A weight is reconstructed as `(code - zero) * scale`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Element = Literal["int2", "int3", "int4", "int5", "int6", "int7", "int8", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "nf4"]
Granularity = Literal["tensor", "channel", "group", "block", "token"]
ScaleDtype = Literal["bf16", "fp16", "fp32", "e8m0", "e4m3", "nf4_double"]
IntRange = Literal["full", "restricted"]
MxRounding = Literal["floor", "even", "ceil", "rceil"]

ELEMENT_BITS: dict[str, int] = {
    **{f"int{bits}": bits for bits in range(2, 9)},
    "fp8_e4m3": 8,
    "fp8_e5m2": 8,
    "fp4_e2m1": 4,
    "nf4": 4,
}
SCALE_BITS: dict[str, float] = {
    "bf16": 16,
    "fp16": 16,
    "fp32": 32,
    "e8m0": 8,
    "e4m3": 8,
    "nf4_double": 8 + 32 / 256,
}


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """One number format of a weight, an activation or a KV cache.

    `group_size` counts columns that share a scale (granularity `group`), `block` is (rows, columns) for `block`.
    `symmetric=False` stores a zero point, an integer code (`zero="int"`) or a real minimum (`zero="min"`, GGUF).
    `int_range` is the range of a symmetric integer: `full` is -2^(b-1)..2^(b-1)-1 with the scale absmax/(2^b-1)*2
    of compressed-tensors, `restricted` is -(2^(b-1)-1)..2^(b-1)-1 with the scale absmax/(2^(b-1)-1).
    `mx_rounding` is how a power-of-two scale is found from the largest magnitude of a block: its power of two by
    `floor` (OCP MX 1.0, section 6.3), by `ceil`, or after rounding the magnitude to the element's mantissa (`even`,
    compressed-tensors and torchao), over the power of two of the largest element; `rceil` rounds the quotient of
    the magnitude and the largest element up, so that nothing saturates (cuBLAS).
    `code_scale` is the scale that codes are rounded to nearest under: the one as stored (the smaller error), or the
    exact one before it was rounded to its type (bitsandbytes with double quantization).
    `dynamic` (activations) finds the scale from each input; otherwise it is fixed at calibration.
    `rounding` is to nearest, or, of a small float, towards `zero`: what a cast that drops mantissa bits does.
    """

    element: Element
    granularity: Granularity
    group_size: int | None = None
    block: tuple[int, int] | None = None
    symmetric: bool = True
    zero: Literal["int", "min"] = "int"
    scale_dtype: ScaleDtype = "bf16"
    int_range: IntRange = "full"
    mx_rounding: MxRounding = "even"
    dynamic: bool = True
    code_scale: Literal["stored", "exact"] = "stored"
    rounding: Literal["nearest", "zero"] = "nearest"

    def __post_init__(self) -> None:
        problem = None
        if self.group_size is not None and self.group_size < 1:
            problem = "groups need a positive size"
        elif self.granularity == "block" and not self.block:
            problem = "blocks need (rows, columns)"
        elif not self.symmetric and not self.is_int:
            problem = f"{self.element} has no zero point"
        elif self.scale_dtype in ("e8m0", "e4m3") and self.element not in ("fp4_e2m1", "fp8_e4m3", "fp8_e5m2"):
            problem = f"{self.scale_dtype} scales go with FP4 and FP8, not {self.element}"
        elif self.rounding == "zero" and self.element not in ("fp8_e4m3", "fp8_e5m2", "fp4_e2m1"):
            problem = f"{self.element} is rounded to nearest"
        elif self.scale_dtype == "nf4_double" and self.element != "nf4":
            problem = "double quantization of the scales goes with NF4"
        if problem:
            raise ValueError(f"no such number format: {problem}")

    @property
    def bits(self) -> int:
        """Bits of one stored code."""
        return ELEMENT_BITS[self.element]

    @property
    def is_int(self) -> bool:
        return self.element.startswith("int")

    def stored_bits(self, rows: int, columns: int) -> float:
        """Bits of a [rows, columns] tensor as stored, scales and zeros included."""
        match self.granularity:
            case "tensor":
                n_scales = 1
            case "channel" | "token":
                n_scales = rows
            case "group":
                n_scales = rows * (columns // (self.group_size or columns))
            case "block":
                height, width = self.block or (rows, columns)
                n_scales = -(-rows // height) * -(-columns // width)
        per_scale = SCALE_BITS[self.scale_dtype]
        if not self.symmetric:
            per_scale += 16 if self.zero == "min" else self.bits
        global_bits = 32 if self.scale_dtype == "e4m3" else 0
        return rows * columns * self.bits + n_scales * per_scale + global_bits


def _gguf(element: Element, *, minimum: bool = False, int_range: IntRange = "full") -> NumberFormat:
    return NumberFormat(
        element=element,
        granularity="group",
        group_size=32,
        symmetric=not minimum,
        zero="min" if minimum else "int",
        scale_dtype="fp16",
        int_range=int_range,
    )


# The ggml types whose blocks are one scale, at most one minimum, and codes.
GGUF_FORMATS: dict[str, NumberFormat] = {
    "Q8_0": _gguf("int8", int_range="restricted"),
    "Q4_0": _gguf("int4"),
    "Q4_1": _gguf("int4", minimum=True),
    "Q5_0": _gguf("int5"),
    "Q5_1": _gguf("int5", minimum=True),
}
