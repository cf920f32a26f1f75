"""Exports: one row for each format that an engine loads.

| export | holds | loads in |
|---|---|---|
| compressed-tensors | every scheme but NF4 and GGUF types | vLLM, transformers |
| gptq, awq | w4a16 (GPTQ: also w2a16, w3a16, w8a16) | vLLM |
| bitsandbytes | nf4 | transformers, vLLM |
| gguf | gguf-*, and the reference | llama.cpp |

Adding one is a module with an `Exporter` and a row here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.models.overlay import StoredOverlay
from bitproof.models.reference import Reference
from bitproof.quantize.export_awq import export_awq
from bitproof.quantize.export_bitsandbytes import export_bitsandbytes
from bitproof.quantize.export_compressed_tensors import export_compressed_tensors
from bitproof.quantize.export_gguf import export_gguf
from bitproof.quantize.export_gptq import export_gptq
from bitproof.quantize.schemes import SCHEMES
from bitproof.types import Variant

# Writes the export into an empty directory; returns fields for its bitproof.json (e.g. notes).
Exporter = Callable[[Reference, Variant, StoredOverlay, Path], dict[str, Any]]

EXPORTERS: dict[str, Exporter] = {
    "compressed-tensors": export_compressed_tensors,
    "gptq": export_gptq,
    "awq": export_awq,
    "bitsandbytes": export_bitsandbytes,
    "gguf": export_gguf,
}


def default_exports(variant: Variant) -> list[str]:
    """The export that a variant's scheme is made for, if there is one."""
    if variant.gguf_type or variant.weights is None or variant.scheme.startswith("gguf-"):
        return ["gguf"]
    scheme = SCHEMES.get(variant.scheme)  # mixtures have none
    export = scheme.export if scheme else "compressed-tensors"
    return [export] if export else []


def check_exports(names: Sequence[str]) -> None:
    """Raise UsageError for an export that there is not: before an hour of solving."""
    for name in names:
        if name not in EXPORTERS:
            raise UsageError(f"there is no export {name!r}", remedy=f"There are: {', '.join(EXPORTERS)}.")


def run_export(name: str, reference: Reference, variant: Variant, overlay: StoredOverlay, out: Path) -> dict[str, Any]:
    """Make one export in `out`, anew: whole, or not at all.

    Raises UsageError for an export that there is not or that cannot hold the variant, EnvironmentFailed when the disk
    is full or cannot be written.
    """
    check_exports([name])
    aside = out.with_name(f".{out.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        made = EXPORTERS[name](reference, variant, overlay, aside)
        shutil.rmtree(out, ignore_errors=True)
        aside.rename(out)
    except (OSError, SafetensorError) as error:
        raise EnvironmentFailed(
            f"could not be written ({error})",
            where=str(out),
            remedy="Free some disk space, or give another --out, and run the same command again: it goes on from here.",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return made
