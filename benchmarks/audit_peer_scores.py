"""What the auditor's own reference says of served text: a forward pass in float32 over every answer.

For each token that was served, given the tokens before it: its logprob, how far it lies below the likeliest token, and
its rank. Answers that several files share (greedy ones mostly do) are computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.audit_cache import Answer
from bitproof.engines.emulated import EmulatedGenerator, end_tokens
from bitproof.engines.generation import Completion, Request
from bitproof.evaluate.prompts import prompt_ids
from bitproof.models.reference import Reference
from bitproof.types import Message

__all__ = ["Scorer", "Scores", "token_scores"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """Of the n tokens of an answer under the reference: each array [n]."""

    logprobs_nats: Floats
    margins_nats: Floats  # logprob of the likeliest token less that of the served one, >= 0
    ranks: Floats  # 0 is the likeliest


def token_scores(logprobs: torch.Tensor, ids: Sequence[int]) -> Scores:
    """Scores of tokens `ids` [n] under distributions `logprobs` [n, vocabulary]."""
    served = logprobs.gather(-1, torch.tensor(list(ids))[:, None])  # [n, 1]
    best = logprobs.max(dim=-1).values
    return Scores(
        logprobs_nats=served[:, 0].double().numpy(),
        margins_nats=(best - served[:, 0]).double().numpy(),
        ranks=(logprobs > served).sum(dim=-1).double().numpy(),
    )


@dataclass
class Scorer:
    """Scores answers to the hold-out prompts `texts`, and remembers them in `folder`/scores.npz between runs."""

    reference: Reference
    texts: Sequence[str]
    folder: Path
    _known: dict[tuple[int, ...], Scores] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ends = end_tokens(self.reference)
        self._prompts = [
            prompt_ids(self.reference.tokenizer, (Message(role="user", content=text),), where=text)
            for text in self.texts
        ]
        self._path = self.folder / f"scores-{self.reference.digest[:12]}.npz"
        if self._path.exists():
            with np.load(self._path) as kept:
                keys, table = kept["keys"], kept["table"]
            stops = np.cumsum([key[0] for key in _split(keys)])
            for key, stop in zip(_split(keys), stops, strict=True):
                self._known[tuple(key[1:].tolist())] = Scores(*table[:, stop - key[0] : stop])

    def ids(self, answer: Answer, *, by_text: bool = False) -> tuple[int, ...]:
        """The tokens of an answer without the one that ended it: as the engine gave them, where it did and `by_text` is
        not asked for; else as the tokenizer reads the text, which at T=1 are not always those that were sampled.
        """
        listed = answer.tokens or ()
        ids = answer.token_ids or tuple(token.id for token in listed if token.id is not None)
        if by_text or not ids or len(ids) < len(listed):
            return tuple(self.reference.tokenizer.encode(answer.text, add_special_tokens=False))
        return ids[:-1] if ids[-1] in self._ends else ids

    def scores(self, answers: Sequence[Answer], *, by_text: bool = False) -> list[Scores]:
        """Scores of each answer; one without tokens has arrays of length 0."""
        keys = [(answer.probe, *self.ids(answer, by_text=by_text)) for answer in answers]
        missing = sorted({key for key in keys if len(key) > 1} - self._known.keys())
        if missing:
            self._compute(missing)
        nothing = Scores(*np.zeros((3, 0)))
        return [self._known.get(key, nothing) for key in keys]

    def samples(self, n: int, *, tokens: int, seed: int) -> list[Answer]:
        """`n` answers of the reference itself to every prompt, at T=1, of at most `tokens` tokens each.

        Each has a seed of its own: sampling noise is made of the seed and the position alone, and must not be the same
        for two prompts.
        """
        found: list[Answer] = []

        def keep(completion: Completion) -> None:
            found.append(Answer.of(completion, lambda token: str(self.reference.tokenizer.decode([token]))))

        requests = (
            Request(
                key=f"{probe}.{i}",
                prompt_ids=ids,
                max_tokens=tokens,
                temperature=1.0,
                seed=(seed + i) * 100_000 + probe,
            )
            for i in range(n)
            for probe, ids in enumerate(self._prompts)
        )
        with EmulatedGenerator(self.reference, rows=64) as engine:
            engine.generate(requests, keep)
        return found

    def _compute(self, keys: Sequence[tuple[int, ...]]) -> None:
        prompts = [self._prompts[key[0]] for key in keys]
        sequences = [[*prompt, *key[1:]] for prompt, key in zip(prompts, keys, strict=True)]
        alike = zip(min(prompts), max(prompts), strict=False)  # the chat template's beginning
        shared = next((i for i, (one, other) in enumerate(alike) if one != other), 0)
        with EmulatedGenerator(self.reference) as engine:
            first = [len(prompt) for prompt in prompts]
            for index, logprobs in engine.distributions(sequences, first=first, shared=shared):
                self._known[keys[index]] = token_scores(logprobs, keys[index][1:])
        self.folder.mkdir(parents=True, exist_ok=True)
        known = self._known.items()
        flat = [number for key, scores in known for number in (len(scores.ranks), *key)]
        table = np.hstack([np.stack([s.logprobs_nats, s.margins_nats, s.ranks]) for _, s in known])
        aside = self._path.with_suffix(".new.npz")
        np.savez(aside, keys=np.array(flat, dtype=np.int64), table=table)
        aside.replace(self._path)


def _split(keys: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    """Records [tokens, probe, token ids ...], one after another."""
    start = 0
    while start < len(keys):
        stop = start + 2 + int(keys[start])
        yield keys[start:stop]
        start = stop
