import pytest
import torch

from bitproof.formats.elements import (
    E2M1_VALUES,
    NF4_VALUES,
    code_range,
    decode,
    encode,
    largest,
    round_to_element,
    round_to_format,
)
from bitproof.formats.number import NumberFormat


def every_bf16() -> torch.Tensor:
    """All finite bfloat16 numbers: enough to meet every midpoint of every small float exactly."""
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
    values = bits.view(torch.bfloat16).to(torch.float32)
    return values[values.isfinite()]


def neighbours(values: torch.Tensor) -> torch.Tensor:
    infinity = torch.tensor(torch.inf)
    return torch.cat([values, values.nextafter(infinity), values.nextafter(-infinity)])


@pytest.mark.parametrize(
    ("element", "dtype", "top"),
    [("fp8_e4m3", torch.float8_e4m3fn, 448.0), ("fp8_e5m2", torch.float8_e5m2, 57344.0)],
)
def test_fp8_is_the_saturated_cast(element, dtype, top):
    x = neighbours(every_bf16())
    expected = x.clamp(-top, top).to(dtype).to(torch.float32)
    assert torch.equal(round_to_element(x, element), expected)


@pytest.mark.parametrize(("element", "dtype"), [("fp8_e4m3", torch.float8_e4m3fn), ("fp8_e5m2", torch.float8_e5m2)])
def test_towards_zero_is_the_largest_value_that_is_no_larger(element, dtype):
    fmt = NumberFormat(element=element, granularity="tensor", scale_dtype="fp32", rounding="zero")
    x = neighbours(every_bf16())
    grid = torch.arange(128, dtype=torch.uint8).view(dtype).float()
    grid = grid[grid.isfinite()]
    expected = grid[torch.searchsorted(grid, x.abs().contiguous(), right=True) - 1].copysign(x)
    assert torch.equal(round_to_format(x, fmt), expected)


def test_integers_are_rounded_to_nearest_only():
    with pytest.raises(ValueError, match="int8 is rounded to nearest"):
        NumberFormat(element="int8", granularity="token", rounding="zero")


def test_fp4_rounds_to_the_nearest_of_its_values_and_ties_to_the_even_code():
    x = neighbours(torch.cat([torch.linspace(-8, 8, 200_001), every_bf16()]))
    table = torch.tensor(E2M1_VALUES, dtype=torch.float64)
    distance = (x.abs().clamp(max=100).double().unsqueeze(1) - table).abs()
    nearest = distance.amin(1, keepdim=True)
    is_nearest = distance == nearest
    even_first = torch.tensor([1.0, 0.5] * 4) * is_nearest  # of two equally near, the one with an even index
    expected = table[even_first.argmax(1)].float().copysign(x)
    assert torch.equal(round_to_element(x, "fp4_e2m1"), expected)


def test_fp4_ties_by_hand():
    ties = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
    assert round_to_element(ties, "fp4_e2m1").tolist() == [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0]


def test_nf4_is_cut_at_midpoints_and_a_midpoint_goes_down():
    values = torch.tensor(NF4_VALUES)
    midpoints = (values[:-1] + values[1:]) / 2
    x = neighbours(torch.cat([torch.linspace(-1.5, 1.5, 300_001), midpoints, values]))
    expected = torch.bucketize(x, midpoints)
    fmt = NumberFormat(element="nf4", granularity="group", group_size=64, scale_dtype="fp32")
    assert torch.equal(encode(x, fmt).long(), expected)
    assert torch.equal(round_to_element(x, "nf4"), values[expected])


def test_integers_round_half_to_even_and_saturate():
    x = torch.tensor([-9.0, -0.5, 0.5, 1.5, 2.5, 7.4, 9.0])
    assert round_to_element(x, "int4").tolist() == [-8, 0, 0, 2, 2, 7, 7]
    assert round_to_element(x, "int4", int_low=0, int_high=15).tolist() == [0, 0, 0, 2, 2, 7, 9]


def test_rounding_writes_in_place(fmt):
    x = torch.randn(50, 7) * 3
    expected = round_to_format(x, fmt)
    assert torch.equal(round_to_format(x, fmt, out=x, scratch=torch.empty_like(x)), expected)
    assert torch.equal(x, expected)


def test_every_code_survives_decoding(fmt):
    low, high = code_range(fmt)
    if fmt.is_int:
        codes = torch.arange(int(low), int(high) + 1, dtype=torch.int8 if fmt.symmetric else torch.uint8)
    else:
        codes = torch.arange(1 << fmt.bits).to(torch.uint8)
        codes = codes[decode(codes, fmt).isfinite()]
    values = decode(codes, fmt)
    assert torch.equal(encode(values, fmt), codes)
    assert values.min() == low
    assert values.max() == high


def test_rounding_is_monotonic_and_idempotent(fmt):
    x = torch.linspace(-20, 20, 10_001)
    rounded = round_to_format(x, fmt)
    assert bool((rounded.diff() >= 0).all())
    assert torch.equal(round_to_format(rounded, fmt), rounded)


@pytest.mark.parametrize(
    ("element", "options", "expected"),
    [
        ("int4", {}, 7.5),
        ("int4", {"int_range": "restricted"}, 7.0),
        ("int4", {"symmetric": False}, 15.0),
        ("int8", {}, 127.5),
        ("fp8_e4m3", {}, 448.0),
        ("fp8_e5m2", {}, 57344.0),
        ("fp4_e2m1", {}, 6.0),
        ("nf4", {}, 1.0),
    ],
)
def test_largest(element, options, expected):
    assert largest(NumberFormat(element=element, granularity="channel", **options)) == expected
