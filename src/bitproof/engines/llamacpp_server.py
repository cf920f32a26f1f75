"""llama.cpp as a server: a GGUF artifact answered in slots, through `xllamacpp` in process and its loopback port.

Slots share the decoding batches, so an answer can differ in its last bits with what else is in flight; `settings` says
how many there are. Given tokens are scored too, see `llamacpp_forcing`.
"""

from __future__ import annotations

import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from bitproof.engines.artifact import describe
from bitproof.engines.generation import Ability
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_client import Patience
from bitproof.engines.llamacpp_forcing import Forcing
from bitproof.errors import CheckpointError, MissingPartError, UnsupportedError

__all__ = ["LlamaCppGenerator"]

KeyValues = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]


class LlamaCppGenerator(HttpGenerator):
    """A GGUF file served by llama.cpp on the CPU, from construction to closing.

    `context_tokens` bounds one prompt and its answer, in each of `slots`. Flash attention is on only where a quantized
    KV cache needs it, unless asked for. `draft` is a smaller GGUF file of the same vocabulary that proposes up to
    `draft_tokens` tokens at a time (speculative decoding). `alias` is the model's name in answers, else its path.

    Raises MissingPartError without xllamacpp, UnsupportedError for an artifact that is not GGUF, CheckpointError for a
    file that llama.cpp refuses.
    """

    def __init__(
        self,
        path: Path,
        *,
        slots: int = 4,
        context_tokens: int = 2048,
        threads: int = 1,
        kv: KeyValues = "f16",
        flash_attention: bool | None = None,
        draft: Path | None = None,
        draft_tokens: int = 8,
        stream: bool = False,
        patience: Patience | None = None,
        alias: str = "",
    ) -> None:
        description = describe(path)
        if description.export != "gguf":
            raise UnsupportedError(
                "llama.cpp loads GGUF files only",
                where=str(path),
                remedy="Take --engine transformers or --engine vllm, or export it as GGUF.",
            )
        if find_spec("xllamacpp") is None:
            raise MissingPartError(
                "llama.cpp comes with the package xllamacpp", remedy="Install it with: pip install xllamacpp"
            )
        attention = kv in ("q8_0", "q4_0") if flash_attention is None else flash_attention
        params = _params(description.path, slots, context_tokens, threads)
        params.model_alias = {alias} if alias else set()
        _set_attention(params, kv, attention)
        if draft is not None:
            _set_draft(params, describe(draft).path, draft_tokens, threads)
        self._server: Any = _start(params, description.path)
        address: str = self._server.listening_address
        super().__init__(
            f"{address}/v1", dialect="llamacpp", model="artifact", workers=slots, stream=stream, patience=patience
        )
        self._forcing = Forcing(guidance=_has_llguidance())
        if draft is not None:
            nothing = Ability(False, "declared", "llama.cpp gives 0 as the logprob of every token its draft guessed")
            self.abilities = replace(self.abilities, logprobs=nothing, top_logprobs=nothing)
            self._forcing = Forcing(finding=nothing.finding)
        self._own_settings: dict[str, str | int] = {
            "threads": threads,
            "slots": slots,
            "context_tokens": context_tokens,
            "kv_cache": kv,
            "flash_attention": "on" if attention else "off",
            "prompt_cache": "on",
            **({"draft": describe(draft).path.name, "draft_tokens": draft_tokens} if draft is not None else {}),
        }

    @property
    def settings(self) -> dict[str, str | int]:
        return self._own_settings

    @property
    def package(self) -> str:
        """What llama.cpp came in."""
        return f"xllamacpp {version('xllamacpp')}"

    def _version(self) -> str:
        return self.package

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._server = None  # its destructor ends the server's threads
        gc.collect()


def _has_llguidance() -> bool:
    """Whether this llama.cpp was built with llguidance: one that was not ends the process when it is asked for it."""
    import xllamacpp.xllamacpp

    return hasattr(ctypes.CDLL(xllamacpp.xllamacpp.__file__), "llg_new_constraint")


def _params(path: Path, slots: int, context_tokens: int, threads: int) -> Any:
    """Parameters of a silent server on the loopback interface, on the CPU."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel, params.kv_unified = slots, False
    params.n_ctx = slots * (context_tokens + 8)
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_threads_http = slots + 4  # a connection that streams holds one
    params.cache_ram_mib = 0  # no copies of idle slots, which could grow to 8 GiB
    params.warmup = params.ui = params.endpoint_slots = False
    params.verbosity = -1
    return params


def _set_attention(params: Any, kv: KeyValues, flash_attention: bool) -> None:
    import xllamacpp

    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kv.upper()}")
    state = "ENABLED" if flash_attention else "DISABLED"
    params.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{state}")


def _set_draft(params: Any, path: Path, n_tokens: int, threads: int) -> None:
    import xllamacpp

    speculative = params.speculative
    speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    speculative.draft.mparams.path = str(path)
    speculative.draft.n_max = n_tokens
    speculative.draft.n_gpu_layers = 0
    speculative.draft.cpuparams.n_threads = speculative.draft.cpuparams_batch.n_threads = threads


def _start(params: Any, path: Path) -> Any:
    import xllamacpp

    try:
        with ThreadPoolExecutor(1) as aside:  # interrupted while it starts, a server would wait for itself for ever
            return aside.submit(xllamacpp.Server, params).result()
    except RuntimeError as error:
        raise CheckpointError(
            f"llama.cpp cannot load it ({error})",
            where=str(path),
            remedy="The file is damaged, or its architecture or a type in it is not one that llama.cpp knows.",
        ) from error
