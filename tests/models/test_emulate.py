"""Activations and KV cache rounded in the forward pass, as an engine would round them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitproof.formats.number import NumberFormat
from bitproof.formats.quantized import fake_quantize, quantize
from bitproof.models import Reference, load
from bitproof.models.architecture import SUPPORTED
from bitproof.models.emulate import attach_activations
from bitproof.models.fakes import tiny_model
from bitproof.models.noise import quiet
from bitproof.models.overlay import BlockOverlay
from bitproof.models.stream import BlockStream
from bitproof.quantize.names import KV_FORMATS


class Only:
    """A variant that quantizes nothing but its cache, or its activations."""

    def __init__(self, *, kv: NumberFormat | None = None, activations: NumberFormat | None = None) -> None:
        self.kv, self.activations = kv, activations

    def block(self, index: int) -> BlockOverlay:
        return BlockOverlay()

    def outer(self) -> dict[str, Tensor]:
        return {}


def tokens(length: int = 24) -> Tensor:
    return torch.randint(4, 260, (2, length), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("kind", KV_FORMATS)
@pytest.mark.parametrize("model_type", SUPPORTED)
def test_the_cache_of_every_architecture_is_rounded(
    model_type: str, kind: str, tiny: Callable[[str], Reference]
) -> None:
    reference, batch = tiny(model_type), tokens()
    exact = BlockStream(reference).final([batch])[0]
    rounded = BlockStream(reference, Only(kv=KV_FORMATS[kind])).final([batch])[0]
    distance = (rounded - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert 1e-4 < float(distance) < {"fp8": 0.3, "fp8rz": 0.6, "int8": 0.1, "int4": 0.9}[kind]
    assert not torch.equal(rounded[:, 0], exact[:, 0])  # the first position reads its own rounded value


def test_finer_caches_come_closer(tiny: Callable[[str], Reference]) -> None:
    reference, batch = tiny("llama"), tokens()
    exact = BlockStream(reference).final([batch])[0]
    distance = {
        kind: float((BlockStream(reference, Only(kv=fmt)).final([batch])[0] - exact).square().mean())
        for kind, fmt in KV_FORMATS.items()
    }
    assert distance["int8"] < distance["fp8"] < distance["fp8rz"] < distance["int4"]


def by_rounding_the_cache(reference: Reference, batch: Tensor, rounded: Callable[[Tensor], Tensor]) -> Tensor:
    """Last hidden states by transformers' own decoding, a token at a time, with a cache that rounds what it stores."""
    from transformers import AutoModelForCausalLM, DynamicCache

    class RoundingCache(DynamicCache):
        def update(self, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
            return super().update(rounded(key), rounded(value), *args, **kwargs)

    with quiet():
        model: Any = AutoModelForCausalLM.from_pretrained(reference.path, dtype=torch.float32).eval()
    cache, states = RoundingCache(config=model.config), []
    with torch.inference_mode():
        for position in range(batch.shape[1]):
            output = model.base_model(batch[:, position : position + 1], past_key_values=cache, use_cache=True)
            states.append(output.last_hidden_state)
    return torch.cat(states, dim=1)


@pytest.mark.parametrize("kind", KV_FORMATS)
@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gpt_neox"])
def test_scoring_a_prompt_reads_the_cache_that_decoding_reads(model_type: str, kind: str, tmp_path: Path) -> None:
    fmt = KV_FORMATS[kind]

    def rounded(x: Tensor) -> Tensor:  # keys after rotary embedding [n, heads, 1, d]
        if kind.startswith("fp8"):  # with a scale of 1, as engines take it where none was calibrated
            nearest = x.clamp(-448, 448).to(torch.float8_e4m3fn)
            lower = (nearest.view(torch.uint8) - 1).view(torch.float8_e4m3fn).to(x.dtype)  # sign and magnitude
            beyond = (nearest.to(x.dtype).abs() > x.abs()) & (kind == "fp8rz")
            return torch.where(beyond, lower, nearest.to(x.dtype))
        return fake_quantize(x, fmt)

    reference, batch = load(tiny_model(model_type, tmp_path, num_hidden_layers=1)), tokens(10)
    expected = by_rounding_the_cache(reference, batch, rounded)
    exact = BlockStream(reference).final([batch])[0]
    found = BlockStream(reference, Only(kv=fmt)).final([batch])[0]
    # Medians over positions: a value at the edge of two codes may fall to the other side where decoding adds otherwise.
    assert float((found - expected).abs().amax(-1).median()) < 1e-5
    assert float((found - exact).abs().amax(-1).median()) > 1e-3


def test_integer_caches_have_a_scale_for_each_token_and_head() -> None:
    cache = torch.randn(2, 3, 5, 16) * torch.rand(2, 3, 5, 1) * 100
    for kind, bits in (("int8", 8), ("int4", 4)):
        error = (fake_quantize(cache, KV_FORMATS[kind]) - cache).abs()
        spread = cache.amax(-1, keepdim=True).clamp(min=0) - cache.amin(-1, keepdim=True).clamp(max=0)
        step = spread / (2**bits - 1) if kind == "int4" else cache.abs().amax(-1, keepdim=True) / 127.5
        assert bool((error <= 0.51 * step + 1e-6).float().mean() > 0.98)


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.o_proj = (nn.Linear(16, 16, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.q_proj(x), self.k_proj(x), self.o_proj(x)


def test_only_inputs_of_quantized_linears_are_rounded_and_hooks_go_away() -> None:
    torch.manual_seed(0)
    layer, x = _Layer(), torch.randn(4, 16)
    fmt = NumberFormat(element="int8", granularity="token", scale_dtype="fp32")
    weights = NumberFormat(element="int8", granularity="channel")
    overlay = BlockOverlay(
        quantized={f"block.{name}": quantize(torch.randn(16, 16), weights) for name in ("q_proj", "k_proj")}
    )
    hooks = attach_activations(layer, "block", fmt, overlay)
    with torch.no_grad():
        q, k, o = layer(x)
        rounded = fake_quantize(x, fmt)
        assert torch.equal(q, rounded @ layer.q_proj.weight.T)
        assert torch.equal(k, rounded @ layer.k_proj.weight.T)
        assert torch.equal(o, x @ layer.o_proj.weight.T)
        for hook in hooks:
            hook.remove()
        assert torch.equal(layer(x)[0], x @ layer.q_proj.weight.T)


def test_a_fixed_activation_scale_saturates() -> None:
    layer, x = _Layer(), torch.tensor([[100.0] + [1.0] * 15])
    fmt = NumberFormat(element="int8", granularity="tensor", scale_dtype="fp32", dynamic=False)
    weights = NumberFormat(element="int8", granularity="channel")
    overlay = BlockOverlay(
        quantized={"block.q_proj": quantize(torch.randn(16, 16), weights)},
        input_scales={"block.q_proj": torch.tensor(0.1)},
    )
    attach_activations(layer, "block", fmt, overlay)
    expected = torch.tensor([[12.7] + [1.0] * 15])
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], expected @ layer.q_proj.weight.T)


def test_a_stream_without_a_cache_format_is_left_alone(tmp_path: Path) -> None:
    reference = load(tiny_model("llama", tmp_path))
    batch = tokens()
    plain = BlockStream(reference).final([batch])[0]
    assert torch.equal(BlockStream(reference, Only()).final([batch])[0], plain)
