"""A model in one precision, as its cost sees it: bytes of weights, which of them a step reads, and the KV cache.

An argument is read as the first of these that it is: an artifact, a model's folder or a GGUF file (sizes from headers,
shape from config.json or the GGUF metadata; no weights are loaded), or a name of the catalogue, alone (BF16) or with a
variant behind a colon (`llama-3.1-8b:w4a16-g128`). With a comma and a folder behind it, `BASE,ADAPTER`, a LoRA adapter
(PEFT's layout) is kept beside the base's weights, unmerged: its bytes and operations come on top.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bitproof.errors import CheckpointError, UsageError
from bitproof.evaluate.cost_catalogue import Catalogue, ModelShape, find
from bitproof.formats.number import NumberFormat
from bitproof.models.headers import read_header
from bitproof.models.inspect import Inspection, inspect
from bitproof.quantize.names import parse_variant
from bitproof.quantize.schemes import KV_FORMATS
from bitproof.types import LayerPrecision, Variant

__all__ = ["Rung", "kv_bytes", "read_rung"]

# Bits per parameter of a whole Llama-3.1-8B, embeddings included: llama.cpp's tools/quantize/README.md.
K_QUANT_BITS = {
    "Q2_K": 3.16, "Q3_K_S": 3.64, "Q3_K_M": 4.00, "Q3_K_L": 4.30, "Q4_K_S": 4.67, "Q4_K_M": 4.89, "Q5_K_S": 5.57,
    "Q5_K_M": 5.70, "Q6_K": 6.56,
}  # fmt: skip
ADAPTER = "adapter_model.safetensors"
CONFIG_KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "vocabulary": "vocab_size",
}
GGUF_KEYS = {
    "layers": "block_count",
    "hidden": "embedding_length",
    "heads": "attention.head_count",
    "kv_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "experts": "expert_count",
    "experts_per_token": "expert_used_count",
}


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One row's model. `dense_bytes` are read in every step, `expert_bytes` as far as a batch's tokens are routed
    there; the input embedding is read by row and is in neither, unless it is the output head too.
    """

    name: str
    shape: ModelShape
    weight_bytes: int
    dense_bytes: int
    expert_bytes: int
    precision: str  # what the linears compute in: "bf16", "int8", "fp8", "fp4"
    kv_bits: float  # of each number of the KV cache, scales included
    measured_size: bool  # from the files, not computed from the shape

    @property
    def active_parameters(self) -> float:
        """Parameters that multiply each token: all but the embedding and the experts it is not routed to."""
        shape = self.shape
        embedding = 0 if shape.tied else shape.vocabulary * shape.hidden
        routed = (shape.experts_per_token or 0) / shape.experts if shape.experts else 0.0
        return shape.parameters - embedding - (shape.expert_parameters or 0) * (1 - routed)


def read_rung(argument: str, catalogue: Catalogue, *, kv: str | None = None) -> Rung:
    """What `argument` names; `kv` ("bf16", "fp8", "int8", "int4") overrides the KV cache's format.

    Raises UsageError for a name that is nothing, with the nearest ones; CheckpointError for a damaged file.
    """
    base, comma, adapter = argument.rpartition(",")
    if comma and (Path(adapter) / ADAPTER).is_file():
        rung = _with_adapter(read_rung(base, catalogue), Path(adapter))
    else:
        path = Path(argument)
        rung = _from_files(path) if path.exists() else _from_catalogue(argument, catalogue)
    if kv is None:
        return rung
    if kv not in ("bf16", *KV_FORMATS):
        raise UsageError(f"there is no KV format {kv!r}", remedy=f"There are: bf16, {', '.join(KV_FORMATS)}.")
    return replace(rung, kv_bits=_kv_bits(KV_FORMATS.get(kv), rung.shape.head_dim))


def kv_bytes(shape: ModelShape, kv_bits: float, tokens: int) -> float:
    """Bytes of the KV cache of one sequence of `tokens`: 2 x layers x KV heads x head dimension numbers a token.

    Layers with a sliding window keep its tokens only; a compressed cache (MLA, DeepSeek-V2, arXiv 2405.04434) keeps
    `latent` numbers a token and layer. Source of the plain form: Pope et al., arXiv 2211.05102, section 3.3.
    """
    numbers = shape.latent or 2 * shape.kv_heads * shape.head_dim
    kept = (shape.layers - shape.window_layers) * tokens
    if shape.window:
        kept += shape.window_layers * min(tokens, shape.window)
    return numbers * kept * kv_bits / 8


def _with_adapter(base: Rung, folder: Path) -> Rung:
    """A base with a LoRA adapter, whose low-rank products are computed beside its linears in every step."""
    tensors = read_header(folder / ADAPTER).tensors
    n_bytes, n = sum(tensor.n_bytes for tensor in tensors), sum(tensor.n_elements for tensor in tensors)
    return replace(
        base,
        name=f"{base.name},{folder.name or folder.resolve().name}",
        shape=base.shape.model_copy(update={"parameters": base.shape.parameters + n}),
        weight_bytes=base.weight_bytes + n_bytes,
        dense_bytes=base.dense_bytes + n_bytes,
    )


def _from_catalogue(argument: str, catalogue: Catalogue) -> Rung:
    name, colon, asked = argument.partition(":")
    shape = find(catalogue.models, name, "file, and no model")
    variant = parse_variant(asked) if colon and asked.lower() != "bf16" else None
    embedding = shape.vocabulary * shape.hidden
    outside = embedding * (1 if shape.tied else 2)  # embedding and head, which stay in 16 bits
    experts = shape.expert_parameters or 0
    if variant is not None and variant.gguf_type in K_QUANT_BITS:
        bits = kept = K_QUANT_BITS[variant.gguf_type]
    else:
        bits, kept = (16.0 if variant is None else _weight_bits(variant, shape)), 16.0
    dense = (shape.parameters - outside - experts) * bits / 8
    head, rows = embedding * kept / 8, 0.0 if shape.tied else embedding * kept / 8
    return Rung(
        name=argument,
        shape=shape,
        weight_bytes=round(dense + experts * bits / 8 + head + rows),
        dense_bytes=round(dense + head),
        expert_bytes=round(experts * bits / 8),
        precision=_precision(variant.activations if variant else None),
        kv_bits=_kv_bits(variant.kv if variant else None, shape.head_dim),
        measured_size=False,
    )


def _weight_bits(variant: Variant, shape: ModelShape) -> float:
    """Bits of a quantized weight, scales included, on a square linear of the model's width."""
    if variant.bits_budget is not None:
        return variant.bits_budget
    form = variant.weights
    if form is None:
        return 16.0
    if form.granularity == "group" and form.group_size is None:
        form = replace(form, group_size=128)
    return form.stored_bits(shape.hidden, shape.hidden) / shape.hidden**2


def _precision(activations: NumberFormat | None) -> str:
    if activations is None:
        return "bf16"
    return {"int8": "int8", "fp8_e4m3": "fp8", "fp4_e2m1": "fp4"}.get(activations.element, "bf16")


def _kv_bits(form: NumberFormat | None, head_dim: int) -> float:
    """Bits of a number of the cache; scales are per token and head where the format has them."""
    return (
        16.0 if form is None else form.stored_bits(1, head_dim) / head_dim if form.granularity == "token" else form.bits
    )


def _from_files(path: Path) -> Rung:
    record = _json(path / "bitproof.json") if (path / "bitproof.json").exists() else {}
    found = inspect(path)
    shape = _gguf_shape(found) if found.kind == "gguf" else _config_shape(_folder(found.path), found)
    variant = parse_variant(record["variant"]["name"]) if record.get("variant", {}).get("name") else None
    layers = found.layers
    embedding = sum(layer.n_bytes for layer in layers if _is_embedding(layer)) if not shape.tied else 0
    experts = sum(layer.n_bytes for layer in layers if _is_expert(layer))
    return Rung(
        name=path.name or path.resolve().name,
        shape=shape,
        weight_bytes=found.total_bytes,
        dense_bytes=found.total_bytes - embedding - experts,
        expert_bytes=experts,
        precision=_precision(variant.activations) if variant else _config_precision(_folder(found.path)),
        kv_bits=_kv_bits(variant.kv if variant else None, shape.head_dim),
        measured_size=True,
    )


def _config_shape(folder: Path, found: Inspection) -> ModelShape:
    config = _json(folder / "config.json")
    config = config.get("text_config", config)
    values = {key: config[name] for key, name in CONFIG_KEYS.items() if isinstance(config.get(name), int)}
    values.setdefault("kv_heads", values.get("heads", 0))
    values["experts"] = config.get("num_experts") or config.get("num_local_experts") or config.get("n_routed_experts")
    values["experts_per_token"] = config.get("num_experts_per_tok") if values["experts"] else None
    if isinstance(config.get("kv_lora_rank"), int):
        values["latent"] = config["kv_lora_rank"] + config.get("qk_rope_head_dim", 0)
    kinds = config.get("layer_types") or []
    if isinstance(config.get("sliding_window"), int) and kinds:
        values |= {"window": config["sliding_window"], "window_layers": kinds.count("sliding_attention")}
    return _shape(values, found, str(folder / "config.json"))


def _gguf_shape(found: Inspection) -> ModelShape:
    file = found.path if found.path.is_file() else next(found.path.glob("*.gguf"))
    metadata = read_header(file).metadata
    kind = metadata.get("general.architecture")
    # Which layers have a sliding window the header does not say: all are counted as full.
    values = {key: metadata.get(f"{kind}.{name}") for key, name in GGUF_KEYS.items()}
    values["vocabulary"] = next((layer.shape[0] for layer in found.layers if _is_embedding(layer)), None)
    values["kv_heads"] = values["kv_heads"] or values["heads"]
    return _shape({key: value for key, value in values.items() if value}, found, str(file))


def _shape(values: dict[str, Any], found: Inspection, where: str) -> ModelShape:
    if "head_dim" not in values and values.get("heads"):
        values["head_dim"] = values.get("hidden", 0) // values["heads"]
    experts = sum(_n(layer) for layer in found.layers if _is_expert(layer))
    heads = [
        layer for layer in found.layers if layer.name.removesuffix(".weight") in ("lm_head", "output", "embed_out")
    ]
    try:
        return ModelShape(
            name=found.path.name or "model",
            parameters=found.n_parameters,
            tied=not heads,
            expert_parameters=experts or None,
            **values,
        )
    except ValidationError as error:
        lacking = ", ".join(dict.fromkeys(str(each["loc"][0]) for each in error.errors() if each["loc"]))
        raise CheckpointError(
            f"does not say what the cost hangs on ({lacking or 'its experts'})",
            where=where,
            remedy="Give a model with its config.json, or describe it in a catalogue.",
        ) from None


def _config_precision(folder: Path) -> str:
    """What linears compute in, by the quantization_config of a foreign checkpoint."""
    config = _json(folder / "config.json") if (folder / "config.json").exists() else {}
    groups = (config.get("quantization_config") or {}).get("config_groups") or {}
    for group in groups.values():
        inputs = (group or {}).get("input_activations") or {}
        if inputs.get("num_bits") == 8:
            return "fp8" if inputs.get("type") == "float" else "int8"
        if inputs.get("num_bits") == 4:
            return "fp4"
    return "bf16"


def _is_embedding(layer: LayerPrecision) -> bool:
    return "embed_tokens" in layer.name or layer.name.startswith(("token_embd", "gpt_neox.embed_in"))


def _is_expert(layer: LayerPrecision) -> bool:
    return ".experts." in layer.name or "_exps." in layer.name


def _n(layer: LayerPrecision) -> int:
    count = 1
    for size in layer.shape:
        count *= size
    return count


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _json(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot be read ({error})", where=str(file), remedy="Give a whole model.") from error
    if not isinstance(record, Mapping):
        raise CheckpointError("is not a JSON object", where=str(file), remedy="Give a whole model.")
    return dict(record)
