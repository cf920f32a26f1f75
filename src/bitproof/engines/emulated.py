"""The reference and its variants in process: transformers' model with a variant's weights, activations and KV cache.

A variant mostly says what the reference says, so the reference's own answer is taken as a draft and verified in one
forward pass, as in speculative decoding (Leviathan et al., arXiv 2211.17192, with the reference as the draft model):
where the variant's choice is the given token all the way, the answer is the reference's; where it first differs, that
token is taken and decoding goes on from there. The answer is what decoding from the start would give, at a fraction of
the steps, and the same pass gives the divergence on the reference's answer.

Sampling adds Gumbel noise to the logits (a softmax sample is the largest of logit + noise), made from the request's
seed and the position alone: the same noise for the reference and for every variant, so that only what the models
changed differs.

Positions are computed with right padding when a prompt is read and with left padding when answers are decoded, in the
computing dtype; batches move logits in the last bits (see `evaluate.noise_floor`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from bitproof.engines.cache import Cache
from bitproof.engines.generation import Abilities, Ability, Completion, Forced, OnCompletion, Request
from bitproof.engines.protocol import Logprobs, Tokens, check_tokens
from bitproof.errors import UsageError
from bitproof.models.memory import release_memory
from bitproof.models.overlay import Overlay
from bitproof.models.reference import Reference
from bitproof.models.stream import BlockStream

__all__ = ["AnswerStates", "EmulatedGenerator"]

HEAD_ROWS = 128  # positions whose logits exist at one time

AnswerStates = dict[tuple[int, ...], Tensor]
"""The reference's last hidden states [n, d] before each token of an answer, by the ids of prompt and answer."""


@dataclass(eq=False)
class _Row:
    """One request while it is answered."""

    request: Request
    prompt: list[int]
    answer: list[int] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)  # [d] before each token of the answer
    logprobs: list[float] = field(default_factory=list)  # of each token of the answer
    forced: Forced | None = None
    length: int = 0  # tokens in the cache
    done: bool = False


class EmulatedGenerator:
    """A reference, or a variant of it, computed in `dtype` with all its blocks in memory; a context manager.

    `rows` requests are answered at a time, fewer where they are long (`batch_tokens`, prompts and drafts). `states` is
    filled with the reference's states when this is the reference, and read for KL(reference || variant) when not. The
    reference scores its own answers too, so that a variant's logprobs have something to be compared with.
    """

    name = "transformers emulation"

    def __init__(
        self,
        reference: Reference,
        overlay: Overlay | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        rows: int = 32,
        batch_tokens: int = 4096,
        states: AnswerStates | None = None,
        reference_head: Tensor | None = None,
    ) -> None:
        self.version = version("transformers")
        self.settings: dict[str, str | int] = {
            "dtype": str(dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "rows": rows,
        }
        yes = Ability(True)
        self.abilities = Abilities(token_ids=yes, prompt_ids=yes, seed=yes, temperature=yes, max_tokens=yes, score=yes)
        self.states = states
        self._is_reference = reference_head is None
        self._rows, self._batch_tokens = rows, batch_tokens
        self._tokenizer = reference.tokenizer
        self._ends = end_tokens(reference)
        self._limit = int(getattr(reference.config, "max_position_embeddings", 1 << 31))
        self._stream = BlockStream(reference, overlay, dtype=dtype)
        self.head = self._stream.head()  # [vocabulary, d]
        self._reference_head = self.head if reference_head is None else reference_head
        self._stack = ExitStack()
        self._model: Any = None

    def __enter__(self) -> Self:
        self._model = self._stack.enter_context(self._stream.whole())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._model = None
        self._stack.close()

    @torch.inference_mode()
    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        """Answer every request; see `generation.Generator`. Raises UsageError for one that is too long."""
        waiting = iter(requests)
        while window := list(islice(waiting, 4 * self._rows)):
            rows = [_Row(request, self._prompt(request)) for request in window]
            for batch in self._batches(rows):
                self._answer(batch)
                release_memory()  # caches of every length leave holes
                for row in batch:
                    on_completion(self._completion(row))

    @torch.inference_mode()
    def score(self, token_sequences: Tokens, *, first: Sequence[int] | None = None) -> list[Logprobs]:
        """Logprobs in nats of the tokens at positions first[i]..n-1 of sequence i (default 1..n-1)."""
        found: dict[int, Logprobs] = {}
        for index, states in self._states_of(token_sequences):
            start = first[index] if first is not None else 1
            ids = torch.tensor(token_sequences[index][start:])
            parts = [
                torch.log_softmax((part @ self.head.T).float(), -1).gather(-1, wanted[:, None])[:, 0]
                for part, wanted in zip(
                    torch.split(states[start - 1 : -1], HEAD_ROWS), torch.split(ids, HEAD_ROWS), strict=True
                )
            ]
            found[index] = torch.cat(parts).double().numpy()
        return [found[index] for index in range(len(token_sequences))]

    @torch.inference_mode()
    def distributions(
        self, token_sequences: Tokens, *, first: Sequence[int], shared: int = 0
    ) -> Iterator[tuple[int, Tensor]]:
        """Of each sequence i, in any order: i, and the logprobs in nats [n - first[i], vocabulary] of what may stand at
        its positions first[i]..n-1. Meant for a few positions: all of them are in memory at one time.

        The first `shared` tokens, less than every first[i], are those of all sequences: they are read once.
        """
        for index, states in self._states_of(token_sequences, shared):
            logits = (states[first[index] - shared - 1 : -1] @ self.head.T).float()
            yield index, torch.log_softmax(logits, -1)

    def _states_of(self, token_sequences: Tokens, shared: int = 0) -> Iterator[tuple[int, Tensor]]:
        """The number and the hidden states [n_i - shared, d] of each sequence, those of about one length together."""
        check_tokens(token_sequences, len(self.head), self._limit)
        order = sorted(range(len(token_sequences)), key=lambda index: len(token_sequences[index]))
        prefix = self._read([list(token_sequences[0][:shared])])[1] if shared else None
        for group in self._packed(order, lambda index: len(token_sequences[index])):
            hidden, _ = self._read([list(token_sequences[index][shared:]) for index in group], prefix)
            yield from zip(group, hidden, strict=True)

    def _prompt(self, request: Request) -> list[int]:
        if request.prompt_ids is None:
            raise UsageError("needs token ids", where=self.name, remedy="Render the messages with the chat template.")
        draft = len(request.draft_ids or ())
        if len(request.prompt_ids) + max(request.max_tokens, draft) > self._limit:
            raise UsageError(
                f"asks for {len(request.prompt_ids)} + {request.max_tokens} tokens",
                where=f"item {request.key}",
                remedy=f"The model's limit is {self._limit}: leave out items of that length.",
            )
        return list(request.prompt_ids)

    def _batches(self, rows: Sequence[_Row]) -> Iterator[list[_Row]]:
        """Rows of about the same length together."""

        def length(row: _Row) -> int:
            return len(row.prompt) + len(row.request.draft_ids or ())

        yield from self._packed(sorted(rows, key=length), length)

    def _packed(self, ordered: Sequence[Any], length: Callable[[Any], int]) -> Iterator[list[Any]]:
        batch: list[Any] = []
        for entry in ordered:  # ascending, so the newest is the longest
            if batch and (len(batch) == self._rows or (len(batch) + 1) * length(entry) > self._batch_tokens):
                yield batch
                batch = []
            batch.append(entry)
        if batch:
            yield batch

    def _read(self, sequences: Sequence[Sequence[int]], prefix: Cache | None = None) -> tuple[list[Tensor], Cache]:
        """Hidden states [n_i, d] of each sequence, and the cache of all, padded on the right; all come after `prefix`,
        the cache of one row."""
        longest = max(len(sequence) for sequence in sequences)
        ids = torch.zeros(len(sequences), longest, dtype=torch.int64)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
        if prefix is None:
            cache = Cache(len(self._stream.layers))
        else:
            cache = prefix.left_padded([0] * len(sequences), [prefix.get_seq_length()] * len(sequences))
        hidden = self._model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
        return [states[: len(sequence)] for states, sequence in zip(hidden, sequences, strict=True)], cache

    def _answer(self, rows: list[_Row]) -> None:
        drafts = [list(row.request.draft_ids or ()) for row in rows]
        hidden, cache = self._read([[*row.prompt, *draft[:-1]] for row, draft in zip(rows, drafts, strict=True)])
        for row, draft, states in zip(rows, drafts, hidden, strict=True):
            self._verify(row, draft, states[len(row.prompt) - 1 :])
        left = [index for index, row in enumerate(rows) if not row.done]
        if left:
            self._decode([rows[index] for index in left], cache.left_padded(left, [rows[i].length for i in left]))

    def _verify(self, row: _Row, draft: list[int], states: Tensor) -> None:
        """Take the draft as far as it is this model's own choice, and its own token after that.

        `states` [max(1, n), d] are those before each token of the draft (or before the first token, without one).
        """
        key = (*row.prompt, *draft)
        if draft and self._is_reference and self.states is not None:
            self.states[key] = states
        known = self.states.get(key) if self.states is not None and draft else None
        chosen: list[int] = []
        logprobs, agrees, kl = [], [], []
        for start in range(0, len(states), HEAD_ROWS):
            part = slice(start, start + HEAD_ROWS)
            logits = (states[part] @ self.head.T).float()
            chosen += [self._choice(row, logits[i], start + i) for i in range(len(logits))]
            if draft:
                found, wanted = torch.log_softmax(logits, -1), torch.tensor(draft[part])
                logprobs.append(found.gather(-1, wanted[:, None])[:, 0])
                agrees.append(logits.argmax(-1) == wanted)
                if known is not None:
                    expected = torch.log_softmax((known[part] @ self._reference_head.T).float(), -1)
                    kl.append((expected.exp() * (expected - found)).sum(-1).clamp(min=0))
        if draft:
            row.forced = Forced(
                logprobs_nats=torch.cat(logprobs).double().numpy(),
                same_top=torch.cat(agrees).numpy(),
                kl_nats=torch.cat(kl).double().numpy() if kl else None,
            )
        agreed = next((i for i, (a, b) in enumerate(zip(chosen, draft, strict=False)) if a != b), len(draft))
        row.answer = draft[:agreed]
        row.length = len(row.prompt) + agreed
        row.done = bool(draft) and agreed == len(draft)
        if not row.done:
            self._take(row, chosen[agreed], states[agreed], (states[agreed] @ self.head.T).float())

    def _take(self, row: _Row, token: int, state: Tensor, logits: Tensor) -> None:
        row.answer.append(token)
        if self._is_reference:
            row.states.append(state)
            row.logprobs.append(float(logits[token] - torch.logsumexp(logits, -1)))
        row.done = token in self._ends or len(row.answer) >= row.request.max_tokens or self._stopped(row)

    def _stopped(self, row: _Row) -> bool:
        return bool(row.request.stop) and any(stop in self._text(row) for stop in row.request.stop)

    def _decode(self, rows: list[_Row], cache: Cache) -> None:
        """Decode until every row is done; `cache` is padded on the left."""
        while rows:
            longest = cache.get_seq_length() + 1
            mask = torch.zeros(len(rows), longest, dtype=torch.int64)
            for index, row in enumerate(rows):
                row.length += 1
                mask[index, longest - row.length :] = 1
            output = self._model(
                input_ids=torch.tensor([[row.answer[-1]] for row in rows]),
                position_ids=torch.tensor([[row.length - 1] for row in rows]),
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
            )
            states = output.last_hidden_state[:, -1]  # [n, d]
            logits = (states @ self.head.T).float()
            for index, row in enumerate(rows):
                self._take(row, self._choice(row, logits[index], len(row.answer)), states[index], logits[index])
            left = [index for index, row in enumerate(rows) if not row.done]
            if len(left) < len(rows):
                rows = [rows[index] for index in left]
                cache.keep(left, max((row.length for row in rows), default=0))

    def _choice(self, row: _Row, logits: Tensor, position: int) -> int:
        """The token at this position of the answer: the likeliest, or a sample at the request's temperature."""
        request = row.request
        if request.temperature == 0:
            return int(logits.argmax())
        seed = np.random.SeedSequence([request.seed, position])
        noise = torch.from_numpy(np.random.default_rng(seed).gumbel(size=len(logits)))
        scaled = logits.double() / request.temperature
        if request.top_k:
            scaled[scaled < scaled.topk(min(request.top_k, len(scaled))).values[-1]] = -torch.inf
        if request.top_p < 1:
            probability, order = torch.softmax(scaled, -1).sort(descending=True)
            scaled[order[probability.cumsum(-1) - probability >= request.top_p]] = -torch.inf
        return int((scaled + noise).argmax())

    def _text(self, row: _Row) -> str:
        ids = row.answer[:-1] if row.answer and row.answer[-1] in self._ends else row.answer
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _completion(self, row: _Row) -> Completion:
        text, stopped = self._text(row), False
        for stop in row.request.stop:
            before, found, _ = text.partition(stop)
            text, stopped = before, stopped or bool(found)
        forced = row.forced
        if self._is_reference and forced is None:
            forced = Forced(logprobs_nats=np.array(row.logprobs))
            if self.states is not None:
                self.states[(*row.prompt, *row.answer)] = torch.stack(row.states)
        ended = row.answer[-1] in self._ends
        return Completion(
            key=row.request.key,
            text=text,
            token_ids=tuple(row.answer),
            finish="stop" if ended or stopped else "length",
            prompt_tokens=len(row.prompt),
            answer_tokens=len(row.answer),
            forced=forced,
        )


def end_tokens(reference: Reference) -> frozenset[int]:
    """Token ids that end an answer: the tokenizer's, the configuration's, and those of generation_config.json."""
    import json

    file = Path(reference.path) / "generation_config.json"
    generation = json.loads(file.read_text()) if file.exists() else {}
    found: set[int] = set()
    for ids in (
        reference.tokenizer.eos_token_id,
        getattr(reference.config, "eos_token_id", None),
        generation.get("eos_token_id"),
    ):
        found |= {ids} if isinstance(ids, int) else set(ids or ())
    return frozenset(found)
