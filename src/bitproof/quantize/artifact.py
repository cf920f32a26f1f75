"""A finished variant: its exports, and bitproof.json, which says what it is and what made it.

Layout of a variant's directory: `bitproof.json`; `blocks/`, the variant as solved; one directory for each export, which
an engine loads and which carries its own copy of bitproof.json.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from bitproof.errors import CheckpointError
from bitproof.formats.number import NumberFormat
from bitproof.models.checkpoint import sha256
from bitproof.models.overlay import BlockOverlay, Overlay, StoredOverlay, write_aside
from bitproof.models.reference import Reference
from bitproof.quantize.block import Block
from bitproof.quantize.exports import default_exports, run_export
from bitproof.quantize.gguf_overlay import GgufOverlay
from bitproof.types import Artifact, Measurement, Variant

RECORD = "bitproof.json"
RECORD_VERSION = 1
_EXPERT = re.compile(r"\.experts\.\d+\.")
PACKAGES = ("bitproof", "torch", "transformers", "safetensors", "numpy", "scipy", "compressed-tensors", "gguf")


def describe_block(block: Block, overlay: BlockOverlay) -> None:
    """Note in the overlay the relative output error of each of its linears on the calibration text, and what of it no
    token reached.
    """
    for layer in block.layers:
        if not layer.reached:
            overlay.unreached += [name for name in layer.names if name in overlay.quantized]
        for number, name in enumerate(layer.names):
            if name in overlay.quantized and not overlay.dense:  # a transform changes what the error is of
                overlay.errors[name] = layer.error(number, overlay.quantized[name].dequantize())


def versions() -> dict[str, str]:
    """Versions of what makes an artifact, by distribution name."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def overlay_of(reference: Reference, path: Path, variant: Variant, *, as_served: bool = False) -> Overlay:
    """A built variant as the forward pass needs it, from its directory; `as_served` rounds what its engine rounds."""
    if variant.gguf_type is None:
        return StoredOverlay(path / "blocks", variant.activations, variant.kv)
    file = next((path / "gguf").glob("*.gguf"), None)
    if file is None:
        raise CheckpointError("there is no GGUF file", where=str(path / "gguf"), remedy="Build the variant again.")
    return GgufOverlay(reference, file, variant.kv, rounds_inputs=as_served)


def unquantized(reference: Reference, quantized: set[str]) -> dict[str, str]:
    """Every weight matrix that stays in 16 bits, and why; `quantized` are modules, keys are the checkpoint's names."""
    reasons = {}
    on_disk = {reference.architecture.disk_name(module) for module in quantized}
    head = reference.architecture.disk_name("lm_head")
    for name in reference.checkpoint.names:
        module = name.removesuffix(".weight")
        if len(reference.checkpoint.shape(name)) < 2 or module in on_disk:
            continue
        if module == head:
            reasons[module] = "output head: kept, as engines do by default"
        elif "embed" in name:
            reasons[module] = "embedding: read by row, and tied to the output head in many models"
        elif "gate." in name or "router" in name:
            reasons[module] = "router: small, and an error in it sends tokens to other experts"
        else:
            reasons[module] = "not a linear of a decoder block"
    return reasons


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a bitproof.json whole or not at all."""
    content = json.dumps(record, indent=2, sort_keys=True, default=_plain) + "\n"
    write_aside(path / RECORD, lambda aside: aside.write_text(content))


def read_record(path: Path) -> dict[str, Any]:
    """The bitproof.json of an artifact directory; raises CheckpointError where there is none or it is damaged."""
    file = path / RECORD
    try:
        record: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no {RECORD}: no variant was finished here",
            where=str(path),
            remedy="Give a variant's directory made by `bitproof quantize`; if that was interrupted, run it again.",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"is not JSON ({error})", where=str(file), remedy="Build the variant again.") from error
    if not isinstance(record, dict) or record.get("bitproof_record") != RECORD_VERSION:
        raise CheckpointError(
            f"is not a record of a variant that this version of bitproof reads (version {RECORD_VERSION})",
            where=str(file),
            remedy="Give a variant's directory made by `bitproof quantize`, or build it again with this version.",
        )
    return record


def read_artifact(path: Path) -> Artifact:
    """An artifact from its directory; raises CheckpointError for anything else."""
    record = read_record(path)
    try:
        return Artifact(
            path=path,
            variant=_variant(record["variant"]),
            export=record["export"],
            size_bytes=record["size_bytes"],
            bits_per_quantized_weight=record["bits_per_quantized_weight"],
            bits_per_parameter=record["bits_per_parameter"],
            unquantized=record["unquantized"],
            notes=tuple(record["notes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"lacks what every record has, or holds what none has ({error})",
            where=str(path / RECORD),
            remedy="Build the variant again.",
        ) from error


def _variant(raw: dict[str, Any]) -> Variant:
    formats = {key: _format(raw[key]) for key in ("weights", "activations", "kv")}
    return Variant(**{**raw, "methods": tuple(raw["methods"]), **formats})


def record_measurement(path: Path, measurement: Measurement) -> None:
    """Add a measured figure, with its engine, to an artifact's bitproof.json; an older one of that engine goes.

    The exports of a variant's directory get it too: they are what is handed on.
    """
    record = read_record(path)
    kept = [each for each in record["measured"] if each["engine"] != measurement.engine]
    record["measured"] = [*kept, asdict(measurement)]
    write_record(path, record)
    for export in record["exports"]:
        if (path / export / RECORD).exists():
            write_record(path / export, read_record(path / export) | {"measured": record["measured"]})


def file_digests(path: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and size of every file under a directory but bitproof.json, by relative name."""
    return {
        str(file.relative_to(path)): {"sha256": sha256(file), "bytes": os.path.getsize(file)}
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != RECORD and not file.name.startswith(".")
    }


def _format(raw: dict[str, Any] | None) -> NumberFormat | None:
    return None if raw is None else NumberFormat(**{**raw, "block": tuple(raw["block"]) if raw["block"] else None})


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Tensor):
        return value.tolist()
    return vars(value)


def is_solved(path: Path, plan: str) -> bool:
    """Whether a directory holds a variant that was finished under the plan of this digest: all its blocks are there."""
    return (path / RECORD).exists() and read_record(path)["plan"]["digest"] == plan


def finish_variant(
    reference: Reference,
    variant: Variant,
    path: Path,
    *,
    calibration: dict[str, Any],
    plan: dict[str, Any],
    exports: Sequence[str] | None = None,
) -> Artifact:
    """Export a variant whose blocks are all written, and write its bitproof.json, which marks it finished.

    `exports` names the exports to make (default: the scheme's own); the first is the artifact's size. A variant that
    was finished with these exports under this plan is left as it is.
    """
    wanted = default_exports(variant) if exports is None else list(exports)
    measured = []
    if is_solved(path, plan["digest"]):
        before = read_record(path)
        same = set(before["exports"]) == set(wanted) and before["export"] == (wanted[0] if wanted else "none")
        if same and all((path / export / RECORD).exists() for export in wanted):
            return read_artifact(path)
        measured = before["measured"]
    overlay = StoredOverlay(path / "blocks", variant.activations, variant.kv)
    summary = _summarize(reference, variant, overlay)
    record: dict[str, Any] = {
        "bitproof_record": RECORD_VERSION,
        "variant": asdict(variant),
        "reference": {"name": reference.name, "digest": reference.digest, "files": reference.checkpoint.digests},
        "calibration": calibration,
        "plan": plan,
        "versions": versions(),
        **summary,
        "exports": {},
        "measured": measured,
    }
    for number, export in enumerate(wanted):
        made = run_export(export, reference, variant, overlay, path / export)
        made["notes"] = [*summary["notes"], *made.get("notes", [])]
        files = file_digests(path / export)
        own = record | {"export": export, "size_bytes": weight_bytes(files), "files": files, **made}
        write_record(path / export, own)
        record["exports"][export] = {"files": files, "size_bytes": own["size_bytes"]}
        if number == 0:
            record |= {"export": export, "size_bytes": own["size_bytes"], **made}
    if not record["exports"]:
        record |= {"export": "none", "size_bytes": int(summary["bits_per_parameter"] * reference.n_parameters / 8)}
        record["notes"] = [*record["notes"], "no engine loads this scheme: it is emulated only; its size is computed"]
    write_record(path, record)
    return read_artifact(path)


def weight_bytes(files: dict[str, dict[str, Any]]) -> int:
    """Bytes of the files that hold weights."""
    return sum(entry["bytes"] for name, entry in files.items() if name.endswith((".safetensors", ".gguf")))


def _summarize(reference: Reference, variant: Variant, overlay: StoredOverlay) -> dict[str, Any]:
    """What the blocks hold: bits, what stayed in 16 bits and why, errors by linear, deviations in words."""
    bits = weights = 0.0
    quantized: dict[str, float] = {}
    fallback: set[str] = set()
    notes: list[str] = []
    for index in range(reference.n_blocks):
        block = overlay.block(index)
        quantized |= {name: block.errors.get(name, float("nan")) for name in block.quantized}
        for name, tensor in block.quantized.items():
            bits += tensor.n_bytes * 8
            weights += tensor.shape[0] * tensor.shape[1]
            wanted = variant.weights
            if wanted and variant.bits_budget is None and tensor.format.group_size != wanted.group_size:
                fallback.add(f"{name.split('.', 3)[-1]} (group {tensor.format.group_size})")
        notes += _unreached_experts(index, block, variant)
    if fallback:
        notes.insert(0, f"fallback group for {', '.join(sorted(fallback))}")
    rest = reference.n_parameters - weights
    return {
        "bits_per_quantized_weight": bits / max(weights, 1),
        "bits_per_parameter": (bits + 16 * rest) / reference.n_parameters,
        "quantized_modules": len(quantized),
        "relative_output_error": {name: error for name, error in quantized.items() if error == error},
        "unquantized": unquantized(reference, set(quantized)),
        "notes": notes,
    }


def _unreached_experts(index: int, block: BlockOverlay, variant: Variant) -> list[str]:
    """What became of the experts of a block that no calibration token was routed to."""
    experts = {match[0] for match in map(_EXPERT.search, block.quantized) if match}
    unreached = {match[0] for match in map(_EXPERT.search, block.unreached) if match}
    outcomes = ["rounded to nearest"] if variant.methods else []
    if block.input_scales:
        outcomes.append("activation scales are those of the others")
    if not unreached or not outcomes:
        return []
    what = f"{len(unreached)} of {len(experts)} experts of block {index} saw no calibration token"
    return [f"{what}: {', '.join(outcomes)}"]
