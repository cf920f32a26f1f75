"""Where the models of an evaluation run: in emulation, in llama.cpp, in vLLM.

A host opens the reference and its variants in one engine, so that what differs is the variant and nothing else. The
reference can also be opened a second time, computed otherwise: that is the noise floor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor

from bitproof.engines.artifact import describe
from bitproof.engines.emulated import AnswerStates, EmulatedGenerator
from bitproof.engines.generation import Generator, Request
from bitproof.engines.http import HttpGenerator
from bitproof.errors import CheckpointError, UsageError
from bitproof.evaluate.runner import Answers
from bitproof.models.checkpoint import sha256
from bitproof.models.reference import Reference
from bitproof.quantize.artifact import overlay_of, read_record
from bitproof.quantize.describe import describe as describe_variant
from bitproof.store.runs import digest_of
from bitproof.types import Artifact, NotMeasured

__all__ = [
    "HOSTS",
    "EmulatedHost",
    "Host",
    "HostName",
    "KnownStates",
    "LlamaCppHost",
    "Target",
    "VllmHost",
    "blocks_digest",
    "export_of",
    "files_digest",
    "open_host",
    "scoring",
]

HostName = Literal["emulation", "llamacpp", "vllm"]
HOSTS: tuple[HostName, ...] = ("emulation", "llamacpp", "vllm")
OTHER_ROWS = 20  # of the noise floor's other batches
ITSELF = NotMeasured("the reference itself")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One model to be asked: `digest` is that of its weights, `open` starts its engine."""

    name: str
    digest: str
    open: Callable[[], Generator]
    describe: str = "the reference itself"
    size_bytes: int | NotMeasured = ITSELF
    bits_per_parameter: float | NotMeasured = ITSELF
    reworded: bool = False  # see `runner.Subject`


class Host(Protocol):
    """An engine for a reference and its variants; a context manager."""

    words: str  # the engine, for people
    tokenizer: Any  # the reference's; None where only messages are asked
    context_tokens: int  # of the reference, at most

    def reference(self) -> Target: ...

    def variants(self) -> list[Target]:
        """Largest first."""

    def noise(self) -> list[Target]:
        """The reference, computed otherwise."""

    def remember(self, engine: Generator, expected: Answers) -> None:
        """Called with all of the reference's answers, before any variant is opened.

        `engine` is the reference's, open, or one that only has a name where everything was answered by an earlier run.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_host(
    name: HostName, reference: Reference, artifacts: Sequence[Artifact], *, workers: int | None = None
) -> Host:
    """The host of that name; `workers` requests are in flight at a server of it."""
    if name == "emulation":
        return EmulatedHost(reference, artifacts)
    kind = {"llamacpp": LlamaCppHost, "vllm": VllmHost}[name]
    return kind(reference, artifacts, slots=workers)


class _Ladder:
    """What hosts of a reference and its artifacts have in common."""

    words = ""
    serves_tokens = 1 << 20  # the longest context that is opened

    def __init__(self, reference: Reference, artifacts: Sequence[Artifact]) -> None:
        self._reference = reference
        self._artifacts = sorted(artifacts, key=lambda artifact: -artifact.size_bytes)
        self._stack = ExitStack()
        self.tokenizer = reference.tokenizer
        limit = int(getattr(reference.config, "max_position_embeddings", 1 << 20))
        self.context_tokens = min(limit, self.serves_tokens)

    def reference(self) -> Target:
        files = self._reference.path.glob("*.safetensors")
        return Target(
            name=self._reference.name,
            digest=self._reference.digest,
            open=self._open_reference,
            size_bytes=sum(file.stat().st_size for file in files),
        )

    def variants(self) -> list[Target]:
        return [
            replace(
                self._variant(artifact),
                describe=describe_variant(artifact.variant),
                size_bytes=artifact.size_bytes,
                bits_per_parameter=artifact.bits_per_parameter,
            )
            for artifact in self._artifacts
        ]

    def _open_reference(self) -> Generator:
        raise NotImplementedError

    def _variant(self, artifact: Artifact) -> Target:
        raise NotImplementedError

    def noise(self) -> list[Target]:
        raise NotImplementedError

    def _again(self, name: str, start: Callable[[], Generator], **options: Any) -> Target:
        return Target(name=f"reference, {name}", digest=self._reference.digest, open=start, **options)

    def _in_other_words(self, start: Callable[[], Generator]) -> Target:
        return self._again("in other words", start, reworded=True)

    def remember(self, engine: Generator, expected: Answers) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


class EmulatedHost(_Ladder):
    """transformers in process, float32: every variant there is, and its divergence over the whole vocabulary."""

    words = "transformers emulation, float32"

    def __init__(self, reference: Reference, artifacts: Sequence[Artifact]) -> None:
        super().__init__(reference, artifacts)
        self._known = KnownStates(self._open_reference)

    def _open_reference(self) -> EmulatedGenerator:
        return EmulatedGenerator(self._reference, states=self._known.states)

    def remember(self, engine: Generator, expected: Answers) -> None:
        """What the divergence of variants needs."""
        self._known.remember(engine, expected)

    def _variant(self, artifact: Artifact) -> Target:
        def start() -> EmulatedGenerator:
            return self._otherwise(overlay_of(self._reference, artifact.path, artifact.variant))

        return Target(name=artifact.variant.name, digest=blocks_digest(artifact.path), open=start)

    def noise(self) -> list[Target]:
        return [
            self._again(
                f"in bfloat16, {OTHER_ROWS} at a time",
                lambda: self._otherwise(None, rows=OTHER_ROWS, dtype=torch.bfloat16),
            ),
            self._in_other_words(lambda: self._otherwise(None)),
        ]

    def _otherwise(self, overlay: Any, **options: Any) -> EmulatedGenerator:
        states, head = self._known.all()
        return EmulatedGenerator(self._reference, overlay, states=states, reference_head=head, **options)


class LlamaCppHost(_Ladder):
    """llama.cpp as a server in process: GGUF artifacts, and the reference as a BF16 GGUF file made for the run."""

    serves_tokens = 2048

    def __init__(self, reference: Reference, artifacts: Sequence[Artifact], *, slots: int | None = None) -> None:
        super().__init__(reference, artifacts)
        self._slots = slots or 4
        self.words = f"llama.cpp, {self._slots} slots"

    def _variant(self, artifact: Artifact) -> Target:
        path = export_of(artifact, ("gguf",), "llama.cpp")
        return Target(name=artifact.variant.name, digest=files_digest(path), open=partial(self._open, path))

    def noise(self) -> list[Target]:
        return [
            self._again("one slot", lambda: self._open(self._converted, slots=1)),
            self._again("flash attention", lambda: self._open(self._converted, flash_attention=True)),
            self._in_other_words(lambda: self._open(self._converted)),
        ]

    def _open_reference(self) -> Generator:
        return scoring(self._open(self._converted))

    def _open(self, path: Path, **options: Any) -> HttpGenerator:
        from bitproof.engines.llamacpp_server import LlamaCppGenerator

        return LlamaCppGenerator(path, context_tokens=self.context_tokens, **{"slots": self._slots, **options})

    @cached_property
    def _converted(self) -> Path:
        """The reference as a BF16 GGUF file, for as long as the host is open."""
        from bitproof.engines.gguf_tools import convert_to_gguf

        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bitproof-")))
        return convert_to_gguf(self._reference.path, folder / "reference.gguf")


class VllmHost(_Ladder):
    """vLLM as a server that bitproof starts: exports that it has kernels for, and the reference in bfloat16."""

    serves_tokens = 2048

    def __init__(self, reference: Reference, artifacts: Sequence[Artifact], *, slots: int | None = None) -> None:
        super().__init__(reference, artifacts)
        self._slots = slots or 8
        self.words = f"vLLM, bfloat16, {self._slots} at a time"

    def _variant(self, artifact: Artifact) -> Target:
        path = export_of(artifact, ("compressed-tensors", "gptq", "awq"), "vLLM")
        return Target(name=artifact.variant.name, digest=files_digest(path), open=partial(self._open, path))

    def noise(self) -> list[Target]:
        return [
            self._again("two at a time", lambda: self._open(self._reference.path, slots=2)),
            self._in_other_words(lambda: self._open(self._reference.path)),
        ]

    def _open_reference(self) -> Generator:
        return scoring(self._open(self._reference.path))

    def _open(self, path: Path, **options: Any) -> HttpGenerator:
        from bitproof.engines.vllm_server import VllmGenerator

        return VllmGenerator(path, context_tokens=self.context_tokens, **{"slots": self._slots, **options})


class KnownStates:
    """The last hidden states of an emulated reference on its own answers, and its head: what KL is computed from.

    `states` is filled by the reference as it answers. What an earlier run had answered is read once more, not decoded,
    when the states are needed: by `open_reference`, where the reference is not open anyway.
    """

    def __init__(self, open_reference: Callable[[], EmulatedGenerator]) -> None:
        self.states: AnswerStates = {}
        self.open_reference, self._head = open_reference, torch.empty(0)
        self._expected: Answers | None = None

    def remember(self, engine: Generator, expected: Answers) -> None:
        """Note the reference's answers; its states too where `engine` is open."""
        self._expected = expected
        if isinstance(engine, EmulatedGenerator):
            self._read(engine)

    def all(self) -> tuple[AnswerStates, Tensor]:
        """The states of all answers, and the head [vocabulary, d]."""
        if not len(self._head):
            with self.open_reference() as engine:
                self._read(engine)
        return self.states, self._head

    def _read(self, engine: EmulatedGenerator) -> None:
        self._head = engine.head
        expected = self._expected or Answers(subject="")
        missing = [
            Request(key=key, prompt_ids=prompt, draft_ids=response.token_ids[0], max_tokens=len(response.token_ids[0]))
            for key, response in expected.responses.items()
            if response.token_ids and (prompt := expected.prompts.get(key))
            if (*prompt, *response.token_ids[0]) not in self.states
        ]
        engine.generate(missing, lambda _: None)


def scoring(engine: HttpGenerator) -> HttpGenerator:
    """Have an engine score its own answers: the reference's, which others are compared with."""
    engine.score_answers = True
    return engine


def export_of(artifact: Artifact, wanted: Sequence[str], engine: str) -> Path:
    """The directory of an export that an engine loads, with the files that were written there.

    Raises UsageError where there is none, CheckpointError where a file is not the one that was exported.
    """
    for name in wanted:
        path = artifact.path / name
        if path.is_dir():
            known = read_record(artifact.path)["exports"].get(name, {}).get("files", {})
            for file, record in known.items():
                if not (path / file).is_file() or sha256(path / file) != record["sha256"]:
                    raise CheckpointError(
                        "is not the file that was exported here",
                        where=str(path / file),
                        remedy="Build the variant again.",
                    )
            return path
    raise UsageError(
        f"has no export that {engine} loads ({', '.join(wanted)})",
        where=str(artifact.path),
        remedy=f"Build it with --export {wanted[0]}, or evaluate it with --engine emulation.",
    )


def blocks_digest(path: Path) -> str:
    """SHA-256 over a variant's weights as they are emulated: one changed scale is another model."""
    files = sorted((path / "blocks").glob("*.safetensors")) or sorted((path / "gguf").glob("*.gguf"))
    return digest_of({file.name: sha256(file) for file in files})


def files_digest(path: Path) -> str:
    """SHA-256 over the weights that an engine loads."""
    found = describe(path).path
    files = [found] if found.is_file() else sorted(found.glob("*.safetensors"))
    return digest_of({file.name: sha256(file) for file in files})
