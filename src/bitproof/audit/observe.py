"""Asking an endpoint the probes of a profile, and reading its answers as far as they follow the profile's path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from bitproof.audit.choosing import sampling_order, worth_of
from bitproof.audit.preflight import degenerate
from bitproof.audit.profile import Place, Profile, Served
from bitproof.engines.generation import Completion, Request, TokenLogprob
from bitproof.types import Message

__all__ = [
    "SHORT_QUESTIONS",
    "UNSEEN",
    "Reader",
    "Reading",
    "probe_of",
    "probe_order",
    "probe_requests",
    "sampled_requests",
    "served",
]

SHORT_QUESTIONS = 16
UNSEEN = "\N{REPLACEMENT CHARACTER}"  # stands for part of a character: such a token cannot be found in a text


def probe_order(profile: Profile, *, seed: int) -> list[int]:
    """The probes of an audit in their order: drawn anew for each seed, so that no server can expect them.

    Those whose tokens say more come sooner, with odds that are the square of that (exponential races, as in Efraimidis
    and Spirakis 2006): no verdict depends on the order, its cost does.
    """
    random, worth = Random(f"audit {seed}"), np.square(worth_of(profile)).tolist()
    arrival = [random.expovariate(1.0) / max(rate, 1e-6) for rate in worth]
    return sorted(range(len(arrival)), key=arrival.__getitem__)


def probe_requests(profile: Profile, probes: Sequence[int], *, top_logprobs: int) -> list[Request]:
    """Requests for probes: greedy, as many tokens as the path has.

    With logprobs one token can decide, so the first questions ask for no more.
    """
    depth = (profile.path >= 0).sum(axis=1)
    if top_logprobs:
        depth[list(probes[:SHORT_QUESTIONS])] = 1
    return [
        Request(
            key=str(probe),
            messages=(Message(role="user", content=profile.probes[probe]),),
            max_tokens=int(depth[probe]),
            top_logprobs=top_logprobs,
        )
        for probe in probes
    ]


def sampled_requests(profile: Profile, order: Sequence[int], *, seed: int, top_k: int = 0) -> Iterator[Request]:
    """Requests for first tokens at temperature 1, without an end, under the key PROBE.SAMPLE; each has its own seed."""
    asked = Counter[int]()
    for probe in sampling_order(profile, order):
        sample, asked[probe] = asked[probe], asked[probe] + 1
        yield Request(
            key=f"{probe}.{sample}",
            messages=(Message(role="user", content=profile.probes[probe]),),
            max_tokens=1,
            temperature=1.0,
            seed=((seed * 1_000_003 + sample) * 8191 + probe) % (1 << 31),
            top_k=top_k,
        )


@dataclass(frozen=True)
class Reading:
    """One served token at place `row` of a profile.

    `column` is the token's among the candidates, the number of candidates where it is none of them; `said` are the
    columns and logprobs in nats that came with it, likeliest first. Where the path was given, the token is the one that
    would have been answered there. `drawn` is the number of [0, 1) that drew it, where that is known.
    """

    row: int
    column: int
    said: tuple[tuple[int, float], ...] = ()
    drawn: float = 0.0


class Reader:
    """Turns answers into readings of a profile.

    The first token that leaves the path is the last that can be read: what follows it was said to another text.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._rows = {place: row for row, place in enumerate(profile.places)}
        self._width = profile.candidates.shape[1]

    def read(self, completion: Completion) -> list[Reading]:
        """Readings of an answer, from its tokens' logprobs where it has them, else from its text."""
        if completion.finish == "error":
            return []
        tokens = completion.logprobs or completion.prompt_logprobs is not None
        return self._tokens(completion) if tokens else self._text(completion)

    def _tokens(self, completion: Completion) -> list[Reading]:
        given = completion.prompt_logprobs is not None
        found: list[Reading] = []
        for number, token in enumerate(completion.logprobs or ()):
            row = self._row(completion, number)
            if row is None:
                break
            columns = self._columns_of(self._profile.candidates[row].tolist())
            said = {
                column: one.logprob
                for one in token.top or (token,)
                if (column := columns(one)) is not None and not degenerate(one.logprob)
            }
            column = columns(token.top[0] if given and token.top else token)
            ordered = tuple(sorted(said.items(), key=lambda pair: -pair[1]))
            found.append(Reading(row, self._width if column is None else column, ordered))
            if column != self._profile.path_columns[row] and not given:
                break
        return found

    def _text(self, completion: Completion) -> list[Reading]:
        """A text is cut into the longest candidates; where the engine stopped, a token ended it."""
        found: list[Reading] = []
        rest, number = completion.text, 0
        while (row := self._row(completion, number)) is not None:
            ids = self._profile.candidates[row].tolist()
            path = int(self._profile.path_columns[row])
            texts = [self._profile.texts[token] if token >= 0 else "" for token in ids]
            if UNSEEN in texts[path]:
                break
            if rest:
                fits = [column for column, text in enumerate(texts) if text and rest.startswith(text)]
                column = max(fits, key=lambda column: len(texts[column]), default=self._width)
            elif completion.finish == "stop":
                ends = [column for column, token in enumerate(ids) if token in self._profile.end_tokens]
                if not ends:
                    break  # an empty answer where nothing would end it: refused or filtered, and no token
                column = ends[0]
            else:
                break
            found.append(Reading(row, column))
            if column != path or not rest:
                break
            rest, number = rest[len(texts[column]) :], number + 1
        return found

    def _row(self, completion: Completion, number: int) -> int | None:
        return self._rows.get(Place(probe_of(completion), number))

    def _columns_of(self, ids: Sequence[int]) -> Callable[[TokenLogprob], int | None]:
        """From a token to its column at a place: by its id where the engine gives one, else by its text if only one
        candidate has it."""
        by_id = {token: column for column, token in enumerate(ids) if token >= 0}
        texts = [self._profile.texts[token] for token in by_id]
        by_text = {text: column for text, column in zip(texts, by_id.values(), strict=True) if texts.count(text) == 1}

        def column(token: TokenLogprob) -> int | None:
            return by_text.get(token.text) if token.id is None else by_id.get(token.id)

        return column


def probe_of(completion: Completion) -> int:
    """The probe that a completion came to."""
    return int(completion.key.partition(".")[0])


def served(readings: Sequence[Reading], *, top: int) -> Served:
    """The logprobs of readings, at most `top` at each place."""
    columns = np.full((len(readings), top), -1, dtype=np.int64)
    logprobs = np.zeros((len(readings), top))
    for row, reading in enumerate(readings):
        kept = reading.said[:top]
        columns[row, : len(kept)] = [column for column, _ in kept]
        logprobs[row, : len(kept)] = [logprob for _, logprob in kept]
    rows = np.array([reading.row for reading in readings], dtype=np.int64)
    return Served(places=rows, columns=columns, logprobs_nats=logprobs)
