"""A variant emulated in the forward pass: activations and KV cache rounded as an engine would.

Activations are rounded where a quantized linear reads them. Keys and values are rounded where attention reads them,
after rotary embedding, as engines store them; every position reads the rounded cache, so scoring a prompt does too.
Integer caches have a scale for each token and head; an FP8 cache has the scale 1, which engines (vLLM among them) take
where a checkpoint brings none: values are cast to E4M3, saturating at 448.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bitproof.formats.number import NumberFormat
from bitproof.formats.quantized import fake_quantize
from bitproof.formats.scales import Scales
from bitproof.models.overlay import BlockOverlay

_KV_ATTENTION = "bitproof_kv"


def attention_name(kv: NumberFormat | None) -> str:
    """The attention implementation to build a model with; registers ours with transformers on first use."""
    if kv is None:
        return "sdpa"
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_KV_ATTENTION, _attend)
    AttentionMaskInterface.register(_KV_ATTENTION, sdpa_mask)
    return _KV_ATTENTION


def _attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any) -> Any:
    """sdpa attention that reads keys and values [n, heads, L, d] through the cache's number format."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    fmt = getattr(module, "bitproof_kv", None)
    if fmt is not None:
        # A fixed scale is 1: what artifacts say, and engines take where they say nothing.
        scales = None if fmt.dynamic else Scales(torch.ones(1, 1))
        key, value = fake_quantize(key, fmt, scales), fake_quantize(value, fmt, scales)
    return sdpa_attention_forward(module, query, key, value, mask, **kwargs)


def attach_kv(layer: nn.Module, fmt: NumberFormat) -> None:
    """Have the attention of a layer read its cache in this format."""
    for name, module in layer.named_modules():
        if name.endswith(("self_attn", "attention")):
            module.bitproof_kv = fmt


def attach_activations(
    layer: nn.Module, prefix: str, fmt: NumberFormat, overlay: BlockOverlay
) -> list[RemovableHandle]:
    """Round the input of every quantized linear of a layer; returns the hooks, to be removed by the caller."""
    last: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(name: str) -> Any:
        scale = overlay.input_scales.get(name)
        is_global = fmt.scale_dtype == "e4m3"
        global_scale = scale if is_global else None
        scales = None if scale is None or is_global else Scales(scale.reshape(1, 1).float())

        def quantize_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if scales is not None:
                return (fake_quantize(inputs[0], fmt, scales), *inputs[1:])
            if "x" not in last or last["x"][0] is not inputs[0]:  # q, k and v read the same tensor: round it once
                last["x"] = (inputs[0], fake_quantize(inputs[0], fmt, global_scale=global_scale))
            return (last["x"][1], *inputs[1:])

        return quantize_input

    return [
        module.register_forward_pre_hook(hook(f"{prefix}.{name}"))
        for name, module in layer.named_modules()
        if f"{prefix}.{name}" in overlay.quantized or f"{prefix}.{name}" in overlay.rounded
    ]
