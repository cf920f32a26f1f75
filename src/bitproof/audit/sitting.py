"""Asking an endpoint the questions of a sitting, within a budget, as long as it answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random

from bitproof.audit.preflight import degenerate
from bitproof.audit.purse import Purse
from bitproof.audit.recording import Answer, Asking, Place
from bitproof.engines.generation import Completion, Generator, Request, TokenLogprob
from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.types import Message

__all__ = ["Sitter", "greedy_requests", "kind_of", "probe_order", "sampled_requests", "settle_logprobs"]

MOST_CHARACTERS, MOST_PLACES = 4000, 256  # of an answer that is kept
IN_A_ROW = 3  # failures, and the endpoint has stopped answering


def probe_order(asking: Asking, *, label: str) -> list[int]:
    """The probes in an order that `label` draws."""
    order = list(range(len(asking.probes)))
    Random(label).shuffle(order)
    return order


def greedy_requests(asking: Asking, probes: Sequence[int], *, number: int = 0) -> list[Request]:
    """One request at temperature 0 for each probe, the `number`-th."""
    return [
        Request(
            key=f"greedy {probe} {number}",
            messages=(Message(role="user", content=asking.probes[probe]),),
            max_tokens=asking.greedy_tokens,
            top_logprobs=asking.top_logprobs,
        )
        for probe in probes
    ]


def sampled_requests(asking: Asking, probes: Sequence[int], *, label: str) -> list[Request]:
    """All sampled requests for each probe, one probe after another.

    Their seeds hang on `label`: two sittings with the same seeds would be answered alike by any endpoint that heeds
    them, and so say nothing.
    """
    return [
        Request(
            key=f"sampled {probe} {number}",
            messages=(Message(role="user", content=asking.probes[probe]),),
            max_tokens=asking.sampled_tokens,
            temperature=asking.temperature,
            top_p=asking.top_p,
            seed=int.from_bytes(hashlib.blake2b(f"{label} {probe} {number}".encode(), digest_size=4).digest()) >> 1,
        )
        for probe in probes
        for number in range(asking.samples)
    ]


def kind_of(key: str) -> tuple[bool, int]:
    """Whether the request of that key is a sampled one, and its probe."""
    kind, probe, _ = key.split()
    return kind == "sampled", int(probe)


def settle_logprobs(engine: Generator, asking: Asking, purse: Purse) -> tuple[Asking, str]:
    """The asking with as many logprobs as the endpoint takes and gives, and what was found; costs one to four requests.

    Providers refuse more than their limit (20, 8, 5), or any at all. Raises EnvironmentFailed where none is answered.
    Where `purse` does not hold a request, nothing is asked.
    """
    error = ""
    for top in sorted({asking.top_logprobs, *(few for few in (8, 5, 0) if few < asking.top_logprobs)}, reverse=True):
        completions: list[Completion] = []
        tried = replace(asking, top_logprobs=top)
        [request] = greedy_requests(tried, [0])
        if not purse.holds(request):
            return tried, ""
        engine.generate([request], completions.append)
        for completion in completions:
            purse.settle(completion, request)
        if not completions or completions[0].finish == "error":
            error = completions[0].error if completions else "no answer"
            continue
        if top and not completions[0].logprobs:
            return replace(asking, top_logprobs=0), "it gives no logprobs"
        refused = f"it takes no more than {top} logprobs a token" if top else f"it refuses logprobs ({error})"
        return tried, "" if top == asking.top_logprobs else refused
    raise _silent(engine, error)


def _silent(engine: Generator, why: str) -> EnvironmentFailed:
    return EnvironmentFailed(f"it does not answer ({why})", where=str(engine.settings.get("url", engine.name)))


class Sitter:
    """Asks, keeps the answers, and counts what failed. `broken` says why an endpoint was given up."""

    def __init__(self, purse: Purse) -> None:
        self.purse, self.answers = purse, list[Answer]()
        self.asked = self.lost = self._row = 0
        self.broken = ""

    def ask(
        self,
        engine: Generator,
        requests: Iterable[Request],
        *,
        on_answer: Callable[[str, Answer | None], None] = lambda key, answer: None,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Ask until the requests, the budget or the endpoint's patience are over, or `enough` says so.

        `on_answer` gets each key, and None where the request failed. An endpoint that fails is `broken`; raises
        EnvironmentFailed, or what the engine raises, where it has never answered.
        """
        asked: dict[str, Request] = {}

        def waiting() -> Iterator[Request]:
            for request in requests:
                if self.broken or enough() or not self.purse.holds(request):
                    return
                self.purse.hold(request)
                asked[request.key] = request
                self.asked += 1
                yield request

        def keep(completion: Completion) -> None:
            self.purse.settle(completion, asked.pop(completion.key))
            on_answer(completion.key, self._take(completion))

        try:
            engine.generate(waiting(), keep)
        except (EnvironmentFailed, UsageError) as error:
            if not self.answers:
                raise
            self.broken = error.what
        if self.broken and not self.answers:
            raise _silent(engine, self.broken)

    def _take(self, completion: Completion) -> Answer | None:
        if completion.finish == "error":
            self.lost, self._row = self.lost + 1, self._row + 1
            if self._row == IN_A_ROW:
                self.broken = completion.error
            return None
        self._row = 0
        sampled, probe = kind_of(completion.key)
        self.answers.append(_answer(completion, sampled=sampled, probe=probe))
        return self.answers[-1]


def _answer(completion: Completion, *, sampled: bool, probe: int) -> Answer:
    return Answer(
        probe=probe,
        sampled=sampled,
        text=completion.text[:MOST_CHARACTERS],
        cut=completion.finish == "length",
        answer_tokens=max(0, completion.answer_tokens),
        prompt_tokens=max(0, completion.prompt_tokens),
        places=() if sampled else tuple(map(_place, (completion.logprobs or ())[:MOST_PLACES])),
    )


def _place(token: TokenLogprob) -> Place:
    sound = [one for one in token.top or (token,) if not degenerate(one.logprob)]
    listed = {one.text[:200]: min(one.logprob, 0.0) for one in sorted(sound, key=lambda one: one.logprob)}
    return Place(token=token.text[:200], top=tuple(sorted(listed.items(), key=lambda pair: -pair[1])[:20]))
