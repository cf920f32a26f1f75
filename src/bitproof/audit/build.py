"""Making the profile of a reference: its path through every probe, and what each model says along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bitproof.audit.probes import probe_texts
from bitproof.audit.profile import REFERENCE, Model, Place, Profile
from bitproof.engines.emulated import EmulatedGenerator
from bitproof.engines.generation import Completion, Request
from bitproof.evaluate.prompts import prompt_ids
from bitproof.formats.number import NumberFormat
from bitproof.models.overlay import BlockOverlay, Overlay
from bitproof.models.reference import Reference
from bitproof.types import Message, Progress

__all__ = ["KeyValueOverlay", "ProfilePlan", "build_profile"]

NUMERICS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class ProfilePlan:
    """`probes` questions from `seed`, `depth` tokens of each answer, `width` candidates at a place, `numerics` of each
    model."""

    probes: int = 200
    depth: int = 8
    width: int = 48
    seed: int = 0
    numerics: tuple[str, ...] = ("float32", "bfloat16")


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
    reference: Reference, ladder: Mapping[str, Overlay], plan: ProfilePlan, *, progress: Progress | None = None
) -> Profile:
    """The profile of `reference` with the variants of `ladder`, by name; an hour's work is minutes a model.

    Every model of the profile reads the same tokens: the reference's greedy answers in float32.
    """
    texts = probe_texts(plan.probes, seed=plan.seed)
    prompts = [prompt_ids(reference.tokenizer, (Message(role="user", content=text),), where=text) for text in texts]
    models = [Model(name=name, numerics=numerics) for name in (REFERENCE, *ladder) for numerics in plan.numerics]
    path: list[tuple[int, ...]] = []
    columns: list[NDArray[np.float32]] = []
    candidates = np.zeros((0, plan.width), dtype=np.int32)
    for number, model in enumerate(models):
        overlay = ladder.get(model.name)
        with EmulatedGenerator(reference, overlay, dtype=NUMERICS[model.numerics]) as engine:
            if not path:
                path = _greedy(engine, prompts, plan.depth)
            said = _along(engine, prompts, path, candidates if number else plan.width)
        if not number:
            candidates = said[1]
        columns.append(said[0])
        if progress:
            progress(number + 1, len(models), f"{model.name}, {model.numerics}")
    ids = {int(token) for token in np.unique(candidates)} | {token for answer in path for token in answer}
    return Profile(
        reference=reference.name,
        reference_digest=reference.digest,
        seed=plan.seed,
        probes=tuple(texts),
        prompt_tokens=tuple(len(prompt) for prompt in prompts),
        texts={token: reference.tokenizer.decode([token]) for token in ids},
        models=tuple(models),
        path=_padded(path, plan.depth),
        places=tuple(Place(probe, number) for probe, answer in enumerate(path) for number in range(len(answer))),
        candidates=candidates,
        logprobs=np.stack(columns),
    )


def _greedy(engine: EmulatedGenerator, prompts: Sequence[Sequence[int]], depth: int) -> list[tuple[int, ...]]:
    """The engine's greedy answers, at most `depth` tokens each."""
    answers: dict[str, tuple[int, ...]] = {}

    def keep(completion: Completion) -> None:
        answers[completion.key] = completion.token_ids

    engine.generate(
        [Request(key=str(i), prompt_ids=tuple(ids), max_tokens=depth) for i, ids in enumerate(prompts)], keep
    )
    return [answers[str(i)] for i in range(len(prompts))]


def _along(
    engine: EmulatedGenerator,
    prompts: Sequence[Sequence[int]],
    path: Sequence[Sequence[int]],
    candidates: NDArray[np.int32] | int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Logprobs [places, width] of the candidates at every place of the path, and the candidates [places, width].

    A number of candidates asks for the engine's own likeliest.
    """
    starts = np.concatenate([[0], np.cumsum([len(answer) for answer in path])])
    width = candidates if isinstance(candidates, int) else candidates.shape[1]
    found = np.zeros((int(starts[-1]), width), dtype=np.float32)
    chosen = np.zeros((int(starts[-1]), width), dtype=np.int32) if isinstance(candidates, int) else candidates
    sequences = [[*prompt, *answer] for prompt, answer in zip(prompts, path, strict=True)]
    for index, logprobs in engine.distributions(sequences, first=[len(prompt) for prompt in prompts]):
        rows = slice(int(starts[index]), int(starts[index + 1]))
        if isinstance(candidates, int):
            chosen[rows] = logprobs.topk(width).indices.numpy()
        found[rows] = logprobs.gather(-1, torch.from_numpy(chosen[rows].astype(np.int64))).numpy()
    return found, chosen


def _padded(answers: Sequence[Sequence[int]], depth: int) -> NDArray[np.int32]:
    found = np.full((len(answers), depth), -1, dtype=np.int32)
    for row, answer in enumerate(answers):
        found[row, : len(answer)] = answer
    return found
