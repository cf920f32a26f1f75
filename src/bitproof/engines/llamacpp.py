"""llama.cpp in process as a scorer of given tokens: the engine in which GGUF artifacts are checked.

It is the server of `llamacpp_server` with one slot, so that nothing else is in a batch, and tokens are forced one
decoding step after another, see `llamacpp_forcing`.

Weights in a quantized type are multiplied by inputs that llama.cpp rounds to 8 bits in blocks (of 32, or 256 for
K-quants), so even a Q8_0 file of exact weights is some way from its weights dequantized.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from bitproof.engines.artifact import FLOAT_GGUF, describe, gguf_layers
from bitproof.engines.llamacpp_server import KeyValues, LlamaCppGenerator
from bitproof.engines.protocol import Logprobs, PrecisionReport, Tokens, check_tokens

__all__ = ["LlamaCppScorer"]


class LlamaCppScorer:
    """A GGUF file loaded by llama.cpp on the CPU.

    `context_tokens` bounds the length of a sequence. Keys and values are cached as `kv`; flash attention is off unless
    asked for, so that runs on different processors take the same path. Raises MissingPartError without xllamacpp,
    UnsupportedError for an artifact that is not GGUF, CheckpointError for a file that llama.cpp refuses.
    """

    name = "llama.cpp"

    def __init__(
        self,
        path: Path,
        *,
        context_tokens: int = 2048,
        threads: int = 1,
        kv: KeyValues = "f16",
        flash_attention: bool = False,
    ) -> None:
        self._server = LlamaCppGenerator(
            path, slots=1, context_tokens=context_tokens, threads=threads, kv=kv, flash_attention=flash_attention
        )
        self.version, self.settings = self._server.package, self._server.settings
        self._layers, self._context_tokens = gguf_layers(describe(path).path), context_tokens

    def score(self, token_sequences: Tokens) -> list[Logprobs]:
        """Logprobs in nats of the tokens at positions 1..n-1 of each sequence, each after one decoding step.

        A probability that float32 cannot hold is given as `CENSORED_BELOW_NATS` (-103.3). Raises UsageError for tokens
        that are not this model's.
        """
        check_tokens(token_sequences, 1 << 31, self._context_tokens)
        return self._server.score(token_sequences)

    def precision_report(self) -> PrecisionReport:
        """What llama.cpp quantized: it computes with the types the file's header names, tensor by tensor."""
        kinds: Counter[str] = Counter()
        for kind, n in self._layers.values():
            if kind not in FLOAT_GGUF:
                kinds[kind] += n
        notes = [] if "output" in self._layers else ["the output layer is the embedding"]
        if kinds:
            notes.append("llama.cpp rounds the inputs of quantized layers to 8 bits")
        return PrecisionReport(
            quantized=sum(kinds.values()),
            kinds=dict(kinds),
            unquantized=tuple(name for name, (kind, _) in self._layers.items() if kind in FLOAT_GGUF),
            notes=tuple(notes),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)
