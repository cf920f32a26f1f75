"""llmcompressor, as its documentation shows it: one `oneshot` call, a modifier or two, everything else left default.

Groups are 64 wide where the preset says 128, because 128 does not divide this model's width of 576. What is timed is
`oneshot` without an output directory: recipe, tracing, calibration forward passes and solving.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from compressed_tensors.quantization import QuantizationScheme, preset_name_to_scheme
from compressed_tensors.quantization.lifecycle.forward import forward_quantize
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from llmcompressor.pipelines.cache import IntermediatesCache
from protocol import Job, Solved, linears, main
from transformers import AutoModelForCausalLM

GROUP = 64
# AWQ pins what it keeps in memory, which torch refuses where there is no accelerator.
if not torch.accelerator.is_available():
    IntermediatesCache._pin_intermediate = classmethod(lambda cls, intermediate: None)  # type: ignore[method-assign]


def scheme(preset: str, *, group: int | None = None, observer: str | None = None) -> dict[str, QuantizationScheme]:
    """A preset scheme for every linear layer, with another group size or weight observer."""
    made = preset_name_to_scheme(preset, ["Linear"])
    if group is not None:
        made.weights.group_size = group
    if observer is not None:
        made.weights.observer = observer
    return {"group_0": made}


def _rtn(preset: str, **changes: Any) -> list[Any]:
    return [QuantizationModifier(config_groups=scheme(preset, **changes), ignore=["lm_head"])]


def _gptq(preset: str, **changes: Any) -> list[Any]:
    return [GPTQModifier(config_groups=scheme(preset, **changes), ignore=["lm_head"])]


# recipe: modifiers, how activations are rounded, whether it reads calibration text
RECIPES: dict[str, tuple[Callable[[], list[Any]], str | None, bool]] = {
    "gptq": (lambda: _gptq("W4A16", group=GROUP), None, True),
    "gptq-mse": (lambda: _gptq("W4A16", group=GROUP, observer="mse"), None, True),
    "awq": (lambda: [AWQModifier(), *_rtn("W4A16", group=GROUP)], None, True),
    "rtn": (lambda: _rtn("W4A16", group=GROUP), None, False),
    "int3-gptq": (lambda: _gptq("W3A16", group=GROUP), None, True),
    "int3-gptq-mse": (lambda: _gptq("W3A16", group=GROUP, observer="mse"), None, True),
    "int8": (lambda: _rtn("W8A16", group=GROUP), None, False),
    "nvfp4": (lambda: _rtn("NVFP4A16"), None, False),
    "nvfp4-mse": (lambda: _rtn("NVFP4A16", observer="nvfp4_expanded_mse"), None, False),
    "nvfp4-gptq": (lambda: _gptq("NVFP4A16"), None, True),
    "nvfp4-gptq-mse": (lambda: _gptq("NVFP4A16", observer="nvfp4_expanded_mse"), None, True),
    "mxfp4": (lambda: _rtn("MXFP4A16"), None, False),
    "mxfp4-mse": (lambda: _rtn("MXFP4A16", observer="mse"), None, False),
    "mxfp4-gptq": (lambda: _gptq("MXFP4A16"), None, True),
    "w8a8": (lambda: _rtn("W8A8"), "int8-token", False),
    "w8a8-smoothquant": (lambda: [SmoothQuantModifier(smoothing_strength=0.8), *_rtn("W8A8")], "int8-token", True),
    "w8a8-smoothquant-gptq": (
        lambda: [SmoothQuantModifier(smoothing_strength=0.8), *_gptq("W8A8")],
        "int8-token",
        True,
    ),
    "fp8-dynamic": (lambda: _rtn("FP8_DYNAMIC"), "fp8-token", False),
}


def solve(job: Job) -> Solved:
    """Run one recipe and dequantize what it made."""
    make, activations, reads_text = RECIPES[job.recipe]
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=job.dtype)
    data: dict[str, Any] = {}
    if reads_text:
        rows = job.tokens.tolist()
        data = {
            "dataset": Dataset.from_dict({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}),
            "num_calibration_samples": len(rows),
            "max_seq_length": job.tokens.shape[1],
        }
    with job.clock.solving():
        oneshot(model=model, recipe=make(), **data)
    quantized = 0
    with torch.no_grad():
        for module in linears(model).values():
            made = getattr(module, "quantization_scheme", None)
            if made is None or made.weights is None:
                continue
            module.weight.data = forward_quantize(module, module.weight.data, "weight", made.weights)
            quantized += 1
    # the scales stay behind: only what the plain model has goes out
    plain = {name: tensor for name, tensor in model.state_dict().items() if name.endswith((".weight", ".bias"))}
    return Solved(plain, quantized, activations)


if __name__ == "__main__":
    main(solve, ("llmcompressor", "compressed-tensors", "transformers", "torch"))
