"""The grids: which values one stored code can take, and the nearest of them to a number.

Everything here works in code units: a weight already divided by its scale, with the zero point added. Integers
round half to even. The small floats (FP8 E4M3 and E5M2 of Micikevicius et al. 2022; FP4 E2M1 of OCP MX 1.0,
section 5.3.3) round to nearest, ties to even, and saturate. NF4 is the table of QLoRA (Dettmers et al. 2023,
appendix E) as bitsandbytes writes it, cut at its midpoints; a midpoint itself goes to the lower value.

The rounding of small floats is a closed form, no table: with p the power of two just below |x|, the grid's step
around x is p * 2^-mantissa, and adding then subtracting 1.5 * 2^23 steps makes the processor round x to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from bitproof.formats.number import Element, NumberFormat
from bitproof.formats.tables import TABLES, round_to_table, table_codes, table_values

__all__ = [
    "E2M1_VALUES",
    "NF4_VALUES",
    "code_range",
    "decode",
    "encode",
    "largest",
    "round_to_element",
    "round_to_format",
]

# Magnitudes of the eight codes 0..7; codes 8..15 are their negatives (sign-magnitude nibble).
E2M1_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
# Values of the sixteen codes 0..15, ascending.
NF4_VALUES = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)

_EXPONENT_MASK = 0x7F800000  # of a float32


@dataclass(frozen=True)
class _SmallFloat:
    mantissa_bits: int
    smallest_normal: float
    largest: float


_SMALL_FLOATS: dict[str, _SmallFloat] = {
    "fp8_e4m3": _SmallFloat(3, 2.0**-6, 448.0),
    "fp8_e5m2": _SmallFloat(2, 2.0**-14, 57344.0),
    "fp4_e2m1": _SmallFloat(1, 1.0, 6.0),
}
_FLOAT8_DTYPES = {"fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}


def code_range(fmt: NumberFormat) -> tuple[float, float]:
    """Lowest and highest value in code units: (-8, 7) for symmetric INT4, (0, 15) for asymmetric, (-6, 6) for FP4."""
    if fmt.is_int:
        half = 1 << (fmt.bits - 1)
        if not fmt.symmetric:
            return 0.0, 2.0 * half - 1.0
        return (-half + 1.0 if fmt.int_range == "restricted" else -float(half)), half - 1.0
    if fmt.element in TABLES:
        return TABLES[fmt.element][0], TABLES[fmt.element][-1]
    top = 1.0 if fmt.element == "nf4" else _SMALL_FLOATS[fmt.element].largest
    return -top, top


def largest(fmt: NumberFormat) -> float:
    """The value in code units that the largest magnitude of a tile is mapped to: 448, 57344, 6, 1; 7.5 or 7 for INT4.

    A symmetric integer of `full` range maps it half a step beyond the highest code, (2^b - 1) / 2, as
    compressed-tensors does; `restricted` maps it to the highest code. An asymmetric one spans 2^b - 1 steps.
    """
    if fmt.is_int and fmt.symmetric and fmt.int_range == "full":
        return (2.0**fmt.bits - 1.0) / 2.0
    return code_range(fmt)[1]


def round_to_element(
    x: Tensor,
    element: Element,
    *,
    int_low: float | None = None,
    int_high: float | None = None,
    out: Tensor | None = None,
    scratch: Tensor | None = None,
) -> Tensor:
    """The nearest representable value of every number of `x`, saturated.

    Parameters: x, float32, any shape, in code units; int_low and int_high, the range of an integer element
    (default: the symmetric full range, -2^(b-1) .. 2^(b-1)-1; ignored for others); out, float32 of the same
    shape to write to, which may be `x` itself; scratch, another such buffer, for callers in a loop.

    Returns float32 of the shape of `x`, on the grid. Zeros lose their sign; NaN stays NaN, but for NF4.
    """
    out = torch.empty_like(x) if out is None else out
    if element == "nf4":
        return out.copy_(
            torch.index_select(_decoding_table(element, x.device), 0, _nf4_index(x).view(-1)).view(x.shape)
        )
    if element in TABLES:
        return out.copy_(round_to_table(x, element))
    if element in _SMALL_FLOATS:
        return _round_small_float(x, _SMALL_FLOATS[element], out, torch.empty_like(x) if scratch is None else scratch)
    half = 1 << (int(element[3:]) - 1)
    low = -half if int_low is None else int_low
    high = half - 1 if int_high is None else int_high
    return (x.clamp(low, high) if out is None else torch.clamp(x, low, high, out=out)).round_()


def round_to_format(
    x: Tensor, fmt: NumberFormat, *, out: Tensor | None = None, scratch: Tensor | None = None
) -> Tensor:
    """`round_to_element` with the integer range and the rounding that the format says."""
    if fmt.rounding == "zero":
        return _round_toward_zero(x, _SMALL_FLOATS[fmt.element], torch.empty_like(x) if out is None else out)
    low, high = code_range(fmt)
    return round_to_element(x, fmt.element, int_low=low, int_high=high, out=out, scratch=scratch)


def encode(values: Tensor, fmt: NumberFormat) -> Tensor:
    """The stored code of values that lie on the grid (code units, any shape).

    Returns int8 for symmetric integers; uint8 for all others: asymmetric integers as they are; FP8 the byte;
    FP4 the sign-magnitude nibble (bit 3 the sign, 0..7 index `E2M1_VALUES`); NF4 the index in `NF4_VALUES`.
    """
    if fmt.is_int:
        return values.to(torch.int8 if fmt.symmetric else torch.uint8)
    if fmt.element == "nf4":
        return nf4_codes(values)
    if fmt.element in TABLES:
        return table_codes(values, fmt.element)
    if fmt.element == "fp4_e2m1":
        # Times 2^-6, the grid is the eight smallest values of E4M3 with even mantissa: its byte holds the nibble.
        byte = (values * 2.0**-6).to(torch.float8_e4m3fn).view(torch.uint8)
        return ((byte >> 2) & 7).bitwise_or_((byte >> 4) & 8)
    return values.to(_FLOAT8_DTYPES[fmt.element]).view(torch.uint8)


def decode(codes: Tensor, fmt: NumberFormat) -> Tensor:
    """The values (float32, code units) of stored codes; the inverse of `encode`."""
    if fmt.is_int:
        return codes.to(torch.float32)
    table = (
        table_values(fmt.element, codes.device) if fmt.element in TABLES else _decoding_table(fmt.element, codes.device)
    )
    return torch.index_select(table, 0, codes.reshape(-1).to(torch.int32)).view(codes.shape)


def nf4_codes(x: Tensor) -> Tensor:
    """Index (uint8) of the NF4 value nearest to each number of `x`; a midpoint goes to the lower one."""
    return _nf4_index(x).to(torch.uint8)


def _nf4_index(x: Tensor) -> Tensor:
    # 32 cells of 1/16 hold one midpoint each at most: five times the speed of a search among fifteen.
    codes_below, midpoints = _nf4_cells(x.device)
    cell = ((x.clamp(-1, 1) + 1) * 16).to(torch.int32).clamp_(min=0).view(-1)
    above = torch.index_select(midpoints, 0, cell)
    torch.gt(x.reshape(-1), above, out=above)
    return torch.index_select(codes_below, 0, cell).add_(above).to(torch.int32).view(x.shape)


def _round_small_float(x: Tensor, grid: _SmallFloat, out: Tensor | None, power: Tensor | None) -> Tensor:
    mask, half_range = _exponent_mask(x.device), 1.5 * 2.0 ** (23 - grid.mantissa_bits)
    if power is None:  # a solver's columns are short: what counts is the cost of a call
        power = x.view(torch.int32).bitwise_and(mask).view(torch.float32)
    else:
        torch.bitwise_and(x.view(torch.int32), mask, out=power.view(torch.int32))
    power.clamp_(grid.smallest_normal, grid.largest)  # 2^floor(log2 |x|), within the grid
    rounded = x.add(power, alpha=half_range) if out is None else torch.add(x, power, alpha=half_range, out=out)
    return rounded.sub_(power, alpha=half_range).clamp_(-grid.largest, grid.largest)


def _round_toward_zero(x: Tensor, grid: _SmallFloat, out: Tensor) -> Tensor:
    power = x.view(torch.int32).bitwise_and(_exponent_mask(x.device)).view(torch.float32)
    step = power.clamp_(grid.smallest_normal, grid.largest).mul_(2.0**-grid.mantissa_bits)
    return torch.div(x, step, out=out).trunc_().mul_(step).clamp_(-grid.largest, grid.largest)


@cache
def _exponent_mask(device: torch.device) -> Tensor:
    return torch.tensor(_EXPONENT_MASK, dtype=torch.int32, device=device)


@cache
def _nf4_cells(device: torch.device) -> tuple[Tensor, Tensor]:
    """For each cell [k/16 - 1, (k+1)/16 - 1): how many midpoints lie below it, and the one inside it or infinity."""
    values = torch.tensor(NF4_VALUES, dtype=torch.float32)
    midpoints = (values[:-1] + values[1:]) / 2
    edges = torch.arange(33) / 16 - 1
    inside = torch.full((33,), torch.inf)
    inside[((midpoints + 1) * 16).long()] = midpoints
    return torch.bucketize(edges, midpoints).to(torch.float32).to(device), inside.to(device)


@cache
def _decoding_table(element: str, device: torch.device) -> Tensor:
    if element == "nf4":
        return torch.tensor(NF4_VALUES, dtype=torch.float32, device=device)
    if element == "fp4_e2m1":
        return torch.tensor([*E2M1_VALUES, *(-value for value in E2M1_VALUES)], dtype=torch.float32, device=device)
    return torch.arange(256, dtype=torch.uint8, device=device).view(_FLOAT8_DTYPES[element]).to(torch.float32)
