"""Making the profile of a reference: its path through every probe, and what each model says along it.

A pool of probes, larger than is kept, is read by every model in float32. The probes whose tokens say most about every
rung are chosen, each as far as it pays, and those are read again in the other arithmetics.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel

from bitproof.audit.calibration import calibrate
from bitproof.audit.choosing import choose
from bitproof.audit.probes import probe_texts
from bitproof.audit.profile import REFERENCE, Model, Place, Profile
from bitproof.engines.emulated import EmulatedGenerator, end_tokens
from bitproof.engines.generation import Completion, Request
from bitproof.evaluate.prompts import prompt_ids
from bitproof.formats.number import NumberFormat
from bitproof.models.overlay import BlockOverlay, Overlay
from bitproof.models.reference import Reference
from bitproof.store.files import write_aside
from bitproof.types import Message, Progress

__all__ = ["LADDER", "NUMERICS", "KeyValueOverlay", "Numerics", "ProfilePlan", "build_profile"]


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """One way to compute the same model: what it rounds to, how it attends, and what is computed together."""

    dtype: torch.dtype
    rows: int = 32
    shares_prefix: bool = True
    attention: Callable[[], AbstractContextManager[None]] = field(default=nullcontext)


NUMERICS = {
    "float32": Numerics(dtype=torch.float32),
    "float16": Numerics(dtype=torch.float16, rows=24),
    "bfloat16": Numerics(dtype=torch.bfloat16),
    "bfloat16-other": Numerics(  # plain attention, nothing shared, other batches
        dtype=torch.bfloat16, rows=7, shares_prefix=False, attention=lambda: sdpa_kernel(SDPBackend.MATH)
    ),
}


LADDER = (
    *("w8a16-channel", "w8a16-g64", "w7a16-g64", "w6a16-g64", "w5a16-g64", "w4a16-g64", "w3a16-g64"),
    *("nf4", "fp8a16", "fp8", "w8a8", "gguf-q8_0", "gguf-q4_0", "gguf-q4_k_m"),
)
"""What a profile holds unless told otherwise: rounded to nearest, so that it takes seconds; groups of 64 are the scale
of effective bits."""


@dataclass(frozen=True, kw_only=True)
class ProfilePlan:
    """`probes` questions, chosen from `pool` times as many that `seed` makes, at most `depth` tokens of each answer,
    `width` candidates at a place, every model in `numerics`, the first of them float32."""

    probes: int = 200
    pool: float = 2
    depth: int = 8
    width: int = 32
    seed: int = 0
    numerics: tuple[str, ...] = tuple(NUMERICS)


@dataclass
class KeyValueOverlay:
    """The reference's own weights with a quantized KV cache."""

    kv: NumberFormat | None
    activations: NumberFormat | None = None

    def block(self, index: int) -> BlockOverlay:
        """Nothing is changed in a block."""
        return BlockOverlay()

    def outer(self) -> dict[str, torch.Tensor]:
        """Nor outside the blocks."""
        return {}


def build_profile(
    reference: Reference,
    ladder: Mapping[str, Overlay],
    plan: ProfilePlan,
    *,
    steps: Path | None = None,
    progress: Progress | None = None,
) -> Profile:
    """The profile of `reference` with the variants of `ladder`, by name.

    Every model of the profile reads the same tokens: the reference's greedy answers in float32. `steps` is a folder of
    this build alone: every pass of a model is kept there, and what is there is not computed again.
    """
    texts = probe_texts(round(plan.probes * plan.pool), seed=plan.seed)
    prompts = [prompt_ids(reference.tokenizer, (Message(role="user", content=text),), where=text) for text in texts]
    names = (REFERENCE, *ladder)
    passes = _Passes(reference, ladder, plan, len(names) * len(plan.numerics), steps, progress)
    path, candidates, first = passes.reference(prompts)
    rows = [first]
    for name in ladder:
        rows.append(passes.along(name, plan.numerics[0], prompts, path, candidates))
    pool = Profile(
        reference=reference.name,
        reference_digest=reference.digest,
        seed=plan.seed,
        probes=tuple(texts),
        prompt_tokens=tuple(len(prompt) for prompt in prompts),
        texts=_texts(reference, path, candidates),
        models=tuple(Model(name=name, numerics=plan.numerics[0]) for name in names),
        path=_padded(path, plan.depth),
        places=tuple(Place(probe, number) for probe, answer in enumerate(path) for number in range(len(answer))),
        candidates=candidates,
        logprobs=np.stack(rows),
        end_tokens=tuple(sorted(end_tokens(reference))),
    )
    chosen, probes = choose(pool, plan.probes)
    kept = [prompts[probe] for probe in probes]
    kept_path = [tuple(int(token) for token in row if token >= 0) for row in chosen.path]
    models, rows = list(chosen.models), list(chosen.logprobs)
    for name in names:
        for numerics in plan.numerics[1:]:
            models.append(Model(name=name, numerics=numerics))
            rows.append(passes.along(name, numerics, kept, kept_path, chosen.candidates))
    whole = replace(chosen, models=tuple(models), logprobs=np.stack(rows))
    return replace(whole, calibration=calibrate(whole))


class _Passes:
    """Models of a profile over token sequences, one after another."""

    def __init__(
        self,
        reference: Reference,
        ladder: Mapping[str, Overlay],
        plan: ProfilePlan,
        total: int,
        steps: Path | None,
        progress: Progress | None,
    ) -> None:
        self._reference, self._ladder, self._plan = reference, ladder, plan
        self._total, self._steps, self._progress, self._done = total, steps, progress, 0

    def reference(
        self, prompts: Sequence[Sequence[int]]
    ) -> tuple[list[tuple[int, ...]], NDArray[np.int32], NDArray[np.float32]]:
        """The reference's greedy path, its candidates [places, width] along it, and their logprobs."""

        def compute() -> dict[str, NDArray[Any]]:
            with self._engine(REFERENCE, "float32") as engine:
                path = _greedy(engine, prompts, self._plan.depth)
                starts = _starts(path)
                chosen = np.zeros((starts[-1], self._plan.width), dtype=np.int32)
                found = np.zeros(chosen.shape, dtype=np.float32)
                for rows, logprobs in _distributions(engine, prompts, path, starts):
                    top = logprobs.topk(self._plan.width)
                    chosen[rows], found[rows] = top.indices.numpy(), top.values.numpy()
            return {"path": _padded(path, self._plan.depth), "candidates": chosen, "logprobs": found}

        made = self._step(REFERENCE, "float32", compute)
        path = [tuple(int(token) for token in row if token >= 0) for row in made["path"]]
        return path, made["candidates"], made["logprobs"]

    def along(
        self,
        name: str,
        numerics: str,
        prompts: Sequence[Sequence[int]],
        path: Sequence[Sequence[int]],
        candidates: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Logprobs [places, width] of the candidates at every place of the path."""

        def compute() -> dict[str, NDArray[Any]]:
            starts, how = _starts(path), NUMERICS[numerics]
            found = np.zeros(candidates.shape, dtype=np.float32)
            with self._engine(name, numerics) as engine, how.attention():
                for rows, logprobs in _distributions(engine, prompts, path, starts, share=how.shares_prefix):
                    found[rows] = logprobs.gather(-1, torch.from_numpy(candidates[rows].astype(np.int64))).numpy()
            return {"logprobs": found}

        found: NDArray[np.float32] = self._step(name, numerics, compute)["logprobs"]
        return found

    def _step(
        self, name: str, numerics: str, compute: Callable[[], dict[str, NDArray[Any]]]
    ) -> dict[str, NDArray[Any]]:
        """What a pass computes, or what it computed when it was run before."""
        file = self._steps / f"{name}-{numerics}.npz" if self._steps else None
        if file and file.exists():
            with np.load(file, allow_pickle=False) as kept:
                found = {key: kept[key] for key in kept.files}
        else:
            found = compute()
            if file:
                memory = io.BytesIO()
                np.savez(memory, **found)  # type: ignore[arg-type]
                write_aside(file, lambda aside: aside.write_bytes(memory.getvalue()))
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total, f"{name}, {numerics}")
        return found

    def _engine(self, name: str, numerics: str) -> EmulatedGenerator:
        how = NUMERICS[numerics]
        return EmulatedGenerator(self._reference, self._ladder.get(name), dtype=how.dtype, rows=how.rows)


def _distributions(
    engine: EmulatedGenerator,
    prompts: Sequence[Sequence[int]],
    path: Sequence[Sequence[int]],
    starts: NDArray[np.int64],
    *,
    share: bool = True,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Rows of places, and the logprobs [rows, vocabulary] there."""
    sequences = [[*prompt, *answer] for prompt, answer in zip(prompts, path, strict=True)]
    shared = _alike(prompts) if share else 0
    first = [len(prompt) for prompt in prompts]
    for index, logprobs in engine.distributions(sequences, first=first, shared=shared):
        yield slice(int(starts[index]), int(starts[index + 1])), logprobs


def _alike(prompts: Sequence[Sequence[int]]) -> int:
    """How many first tokens are those of every prompt, all of a prompt never among them."""
    low, high = min(map(tuple, prompts)), max(map(tuple, prompts))
    n = min(len(prompt) for prompt in prompts) - 1
    return next((i for i in range(n) if low[i] != high[i]), n)


def _starts(path: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([len(answer) for answer in path])]).astype(np.int64)


def _greedy(engine: EmulatedGenerator, prompts: Sequence[Sequence[int]], depth: int) -> list[tuple[int, ...]]:
    """The engine's greedy answers, at most `depth` tokens each."""
    answers: dict[str, tuple[int, ...]] = {}

    def keep(completion: Completion) -> None:
        answers[completion.key] = completion.token_ids

    engine.generate(
        [Request(key=str(i), prompt_ids=tuple(ids), max_tokens=depth) for i, ids in enumerate(prompts)], keep
    )
    return [answers[str(i)] for i in range(len(prompts))]


def _texts(reference: Reference, path: Sequence[Sequence[int]], candidates: NDArray[np.int32]) -> dict[int, str]:
    ids = {int(token) for token in np.unique(candidates)} | {token for answer in path for token in answer}
    return {token: reference.tokenizer.decode([token]) for token in ids}


def _padded(answers: Sequence[Sequence[int]], depth: int) -> NDArray[np.int32]:
    found = np.full((len(answers), depth), -1, dtype=np.int32)
    for row, answer in enumerate(answers):
        found[row, : len(answer)] = answer
    return found
