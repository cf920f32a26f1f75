"""Two models named by a user, wherever they are: folders, files, engines, URLs; the first is the reference.

ladder/w4a16-gptq-g64               an artifact, emulated
./my-model, smollm2-135m            a model, in float32
llamacpp:ladder/gguf-q4_k_m         an artifact or a GGUF file, in llama.cpp
vllm:ladder/w8a8, vllm:./my-model   an artifact or a model, in vLLM
https://host/v1#model               an endpoint that speaks OpenAI's protocol
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitproof.engines.emulated import EmulatedGenerator
from bitproof.engines.generation import Generator
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_client import Patience
from bitproof.engines.probe import probe
from bitproof.errors import UsageError
from bitproof.evaluate.hosts import KnownStates, Target, blocks_digest, export_of, files_digest, scoring
from bitproof.evaluate.prompts import prompt_ids
from bitproof.evaluate.runner import Answers
from bitproof.models.overlay import Overlay
from bitproof.models.reference import Reference
from bitproof.quantize.artifact import RECORD, overlay_of, read_artifact
from bitproof.quantize.describe import describe
from bitproof.store.runs import digest_of
from bitproof.types import Message, NotMeasured

__all__ = ["PairHost"]

ENGINES = {"llamacpp": ("gguf",), "vllm": ("compressed-tensors", "gptq", "awq")}
BEHIND = NotMeasured("nobody knows the size of what is behind an endpoint")
HELLO = (Message(role="user", content="Hello."),)


class PairHost:
    """Two models, `first` as the reference of `second`; a context manager.

    `reference` is the model that artifacts were made from, and whose tokenizer renders prompts. `key_env` names the
    environment variable with the key of an endpoint, `patience` says how long one is waited for, and `workers` requests
    are in flight there. Raises UsageError for
    a name that is none of the forms above.
    """

    def __init__(
        self,
        reference: Reference,
        first: str,
        second: str,
        *,
        key_env: str | None = None,
        context_tokens: int = 2048,
        workers: int | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.words = f"{first} against {second}"
        self.tokenizer: Any = reference.tokenizer
        limit = int(getattr(reference.config, "max_position_embeddings", context_tokens))
        self.context_tokens = min(limit, context_tokens)
        self._reference, self._key_env, self._patience = reference, key_env, patience
        self._in_flight = workers or 8
        self._known: KnownStates | None = None  # where the first is emulated
        self._first, self._second = self._target(first, leads=True), self._target(second, leads=False)
        if self._first.name == self._second.name:
            self._second = replace(self._second, name=f"{self._second.name} (2)")

    def reference(self) -> Target:
        return self._first

    def variants(self) -> list[Target]:
        return [self._second]

    def noise(self) -> list[Target]:
        return []

    def remember(self, engine: Generator, expected: Answers) -> None:
        """What the second's divergence needs, where both are emulated."""
        if self._known is not None:
            self._known.remember(engine, expected)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._known is not None:
            self._known.states.clear()

    def _target(self, text: str, *, leads: bool) -> Target:
        engine, _, rest = text.partition(":")
        if text.startswith(("http://", "https://")):
            return self._endpoint(text)
        if engine in ENGINES and rest:
            return self._served(engine, Path(rest), text, leads)
        path = Path(text)
        if path.suffix == ".gguf" and path.is_file():
            return self._served("llamacpp", path, text, leads)
        if (path / RECORD).is_file():
            return self._artifact(path, leads)
        if text == self._reference.name or path.resolve() == self._reference.path.resolve():
            opens = self._emulated(lambda: None, leads)
            return Target(name=self._reference.name, digest=self._reference.digest, open=opens)
        raise UsageError(
            "is no model to compare",
            where=text,
            remedy="Give an artifact's folder, the reference (see --model), a GGUF file, llamacpp:PATH, vllm:PATH, or"
            " a URL such as https://host/v1#model.",
        )

    def _artifact(self, path: Path, leads: bool) -> Target:
        artifact = read_artifact(path)
        return Target(
            name=artifact.variant.name,
            digest=blocks_digest(path),
            open=self._emulated(lambda: overlay_of(self._reference, path, artifact.variant), leads),
            describe=describe(artifact.variant),
            size_bytes=artifact.size_bytes,
            bits_per_parameter=artifact.bits_per_parameter,
        )

    def _emulated(self, overlay: Callable[[], Overlay | None], leads: bool) -> Callable[[], EmulatedGenerator]:
        """What opens a model in emulation: the first fills the states that the second's divergence is read from."""
        if leads:
            known = KnownStates(lambda: EmulatedGenerator(self._reference, overlay(), states=known.states))
            self._known = known
            return known.open_reference

        def start() -> EmulatedGenerator:
            if self._known is None:
                return EmulatedGenerator(self._reference, overlay())
            states, head = self._known.all()
            return EmulatedGenerator(self._reference, overlay(), states=states, reference_head=head)

        return start

    def _served(self, engine: str, path: Path, text: str, leads: bool) -> Target:
        found = export_of(read_artifact(path), ENGINES[engine], engine) if (path / RECORD).is_file() else path

        def start() -> Generator:
            from bitproof.engines.llamacpp_server import LlamaCppGenerator
            from bitproof.engines.vllm_server import VllmGenerator

            kind = LlamaCppGenerator if engine == "llamacpp" else VllmGenerator
            started = kind(found, context_tokens=self.context_tokens, slots=self._in_flight)
            return scoring(started) if leads else started

        return Target(name=text, digest=files_digest(found), open=start, describe=f"in {engine}")

    def _endpoint(self, text: str) -> Target:
        url, _, model = text.partition("#")

        def start() -> Generator:
            engine = HttpGenerator(
                url,
                model=model or None,
                key_env=self._key_env,
                workers=self._in_flight,
                patience=self._patience,
            )
            with ExitStack() as stack:  # closes it where the probe finds nobody
                stack.enter_context(engine)
                probe(engine, prompt_ids=prompt_ids(self.tokenizer, HELLO, where="probe"))
                stack.pop_all()
            return engine

        return Target(
            name=text,
            digest=digest_of(text),
            open=start,
            describe="an endpoint",
            size_bytes=BEHIND,
            bits_per_parameter=BEHIND,
        )
