"""Asking an endpoint the probes of a profile, and reading its answers as far as they follow the profile's path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import numpy as np

from bitproof.audit.preflight import degenerate
from bitproof.audit.profile import Place, Profile, Served
from bitproof.engines.generation import Completion, Request, TokenLogprob
from bitproof.types import Message

__all__ = ["Reader", "probe_order", "probe_requests"]


def probe_order(profile: Profile, *, seed: int) -> list[int]:
    """The probes of an audit in their order: drawn anew for each seed, so that no server can expect them."""
    order = list(range(len(profile.probes)))
    Random(f"audit {seed}").shuffle(order)
    return order


def probe_requests(profile: Profile, probes: Sequence[int], *, top_logprobs: int) -> list[Request]:
    """Requests for probes: greedy, as many tokens as the path has."""
    depth = profile.path.shape[1]
    return [
        Request(
            key=str(probe),
            messages=(Message(role="user", content=profile.probes[probe]),),
            max_tokens=depth,
            top_logprobs=top_logprobs,
        )
        for probe in probes
    ]


class Reader:
    """Turns answers into what `residuals.distances` compares; `top` logprobs are read at each place."""

    def __init__(self, profile: Profile, *, top: int) -> None:
        self._profile, self._top = profile, top
        self._rows = {place: row for row, place in enumerate(profile.places)}
        self.places: list[int] = []
        self._columns: list[list[int]] = []
        self._logprobs: list[list[float]] = []

    def add(self, completion: Completion) -> int:
        """Take in an answer; gives how many of its tokens could be compared.

        The first token that leaves the path is the last that can be: what follows it was said to another text.
        """
        before = len(self.places)
        probe = int(completion.key)
        for number, token in enumerate(completion.logprobs or ()):
            row = self._rows.get(Place(probe, number))
            if row is None:
                break
            ids = self._profile.candidates[row].tolist()
            columns = self._columns_of(ids)
            said = {
                column: one.logprob
                for one in token.top or (token,)
                if (column := columns(one)) is not None and not degenerate(one.logprob)
            }
            kept = sorted(said.items(), key=lambda pair: -pair[1])[: self._top]
            self.places.append(row)
            self._columns.append([column for column, _ in kept])
            self._logprobs.append([logprob for _, logprob in kept])
            on_path = columns(token)
            if on_path is None or ids[on_path] != self._profile.path[probe, number]:
                break
        return len(self.places) - before

    def served(self, n: int | None = None) -> Served:
        """The first `n` places (default: all of them)."""
        total = len(self.places) if n is None else n
        columns = np.full((total, self._top), -1, dtype=np.int64)
        logprobs = np.zeros((total, self._top))
        for row in range(total):
            columns[row, : len(self._columns[row])] = self._columns[row]
            logprobs[row, : len(self._logprobs[row])] = self._logprobs[row]
        return Served(places=np.array(self.places[:total], dtype=np.int64), columns=columns, logprobs_nats=logprobs)

    def _columns_of(self, ids: Sequence[int]) -> Callable[[TokenLogprob], int | None]:
        """From a token to its column at a place: by its id where the engine gives one, else by its text if only one
        candidate has it."""
        by_id = {token: column for column, token in enumerate(ids) if token >= 0}
        texts = [self._profile.texts[token] for token in by_id]
        by_text = {text: column for text, column in zip(texts, by_id.values(), strict=True) if texts.count(text) == 1}

        def column(token: TokenLogprob) -> int | None:
            return by_text.get(token.text) if token.id is None else by_id.get(token.id)

        return column
