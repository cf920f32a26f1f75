"""The same question asked again: whether temperature 0 and temperature 1 mean what they say, and whether one model
answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np

from bitproof.audit.conversation import Conversation
from bitproof.audit.likelihood import Sampler, sampled
from bitproof.audit.preflight import FINEST_FLOOR_NATS, degenerate
from bitproof.audit.profile import REFERENCE, Profile
from bitproof.audit.standing import MIXED, Standing
from bitproof.engines.generation import Completion, Request

__all__ = ["Again", "Samples", "apart_nats", "logprobs_again", "texts_again", "texts_apart"]

SURE = 3  # pairs of one kind, before it is said which kind it is
SURE_WORDS = 9  # in those that are the same
UNSTEADY = 4  # times as far from itself as benign engines are from each other
UNLIKELY = 1e-3
CHARACTERS = 3  # of a token, at least on average: of an answer longer than asked for, no more is compared

Pair = tuple[Completion, Completion]
Ask = Callable[[Request], Completion | None]


@dataclass(frozen=True, kw_only=True)
class Again:
    """What came of asking again: how things stand now, a finding, and what keeps a verdict from being given.

    `warm` says why temperature 0 cannot be relied on.
    """

    standing: Standing
    noticed: str = ""
    lacking: str = ""
    warm: str = ""


def texts_again(talk: Conversation, ask: Ask, standing: Standing) -> Again:
    """Before a verdict from text at temperature 0: are the same questions answered alike?

    One pair that is alike is enough, but where no name fits: tokens that are drawn look like noise on logits. A mixture
    is asked once, and answers as it likes.
    """
    mixed, named = standing.closest[:1] == (MIXED,), bool(standing.closest)
    pairs = asked_again(talk, ask)
    apart, alike = texts_apart(islice(pairs, 1) if mixed else pairs, sure=not named)
    words = f"{len(apart)} of {len(apart) + alike} questions asked again at temperature 0 were answered differently"
    if len(apart) < SURE:
        unsure = "the budget is spent before it is known whether temperature 0 is heeded"
        lacking = unsure if not named and alike < SURE else ""
        return Again(standing=standing, noticed=words if apart else "", lacking=lacking)
    if not in_two_ways(talk, ask, apart):
        return Again(standing=standing, warm=f"{words}: its temperature is locked, or more than one model answers")
    if standing.outcome == "consistent":
        return Again(standing=standing, lacking=f"{words}, in two ways: more than one model answers")
    return Again(standing=replace(standing, closest=(MIXED,)), noticed=f"{words}, in two ways")


def logprobs_again(talk: Conversation, ask: Ask, *, floor_nats: float) -> list[str]:
    """A finding, where the same questions come with logprobs that benign engines would not be apart."""
    each = [apart_nats(*pair) for pair in islice(asked_again(talk, ask), SURE)]
    worst = max((one for one in each if one is not None), default=0.0)
    if worst <= UNSTEADY * max(floor_nats, FINEST_FLOOR_NATS):
        return []
    return [
        f"the same question came with other logprobs when it was asked again, {worst:.2g} nats apart where benign"
        f" engines differ by {floor_nats:.2g}: more than one model answers, or noise is added"
    ]


def asked_again(talk: Conversation, ask: Ask, *, only: Container[str] | None = None) -> Iterator[Pair]:
    """Answers, and the answers to the same requests now, from the first one on; until `ask` says None.

    `only` are the keys of requests to be asked again; None for all that were answered with something.
    """
    pairs = zip(talk.completions, talk.requests, strict=True)
    told = [(one, request) for one, request in pairs if one.finish != "error" and (one.text or one.logprobs)]
    for completion, request in cycle([one for one in told if only is None or one[0].key in only]):
        again = ask(replace(request, key=f"{request.key.partition('.')[0]}.again{len(talk.completions)}"))
        if again is None:
            return
        if again.finish != "error":
            most = CHARACTERS * request.max_tokens if completion.answer_tokens > request.max_tokens else None
            yield replace(completion, text=completion.text[:most]), replace(again, text=again.text[:most])


def texts_apart(pairs: Iterable[Pair], *, sure: bool) -> tuple[list[Pair], int]:
    """The pairs that have different texts, and how many have the same: until `SURE` of a kind, or one that is the same.

    With `sure` one that is the same is not enough, and short answers are less.
    """
    apart, alike, words = list[Pair](), 0, 0
    for one, other in pairs:
        if one.text == other.text:
            alike, words = alike + 1, words + _words(one)
        else:
            apart.append((one, other))
        if len(apart) == SURE or (alike >= SURE and words >= SURE_WORDS) or not (sure or apart):
            break
    return apart, alike


def _words(completion: Completion) -> int:
    return max(1, len(completion.text.split()))


def in_two_ways(talk: Conversation, ask: Ask, apart: Sequence[Pair]) -> bool:
    """Whether questions that were answered differently have two answers, however often they are asked.

    So it is where two models answer, and each always says the same; tokens that are drawn have more. Of answers of a
    word or two it cannot be said.
    """
    if min(_words(one) for one, _ in apart) < SURE_WORDS / SURE:
        return False
    answers: defaultdict[str, set[str]] = defaultdict(set)
    for one, other in apart:
        answers[one.key] |= {one.text, other.text}
    more = list(islice(asked_again(talk, ask, only=frozenset(answers)), SURE * len(answers)))
    for one, other in more:
        answers[one.key].add(other.text)
    return len(more) == SURE * len(answers) and max(map(len, answers.values())) == 2


def apart_nats(one: Completion, other: Completion) -> float | None:
    """Root mean square difference of the logprobs of two answers to one question, as far as their tokens are the same.

    None where they share none with a logprob.
    """
    squares: list[float] = []
    for mine, theirs in zip(one.logprobs or (), other.logprobs or (), strict=False):
        others = {token.text: token.logprob for token in theirs.top or (theirs,) if not degenerate(token.logprob)}
        squares += [
            (token.logprob - others[token.text]) ** 2
            for token in mine.top or (mine,)
            if token.text in others and not degenerate(token.logprob)
        ]
        if mine.text != theirs.text:
            break
    return float(np.sqrt(np.mean(squares))) if squares else None


class Samples:
    """Watches first tokens drawn at temperature 1, each question's again and again: they should differ."""

    def __init__(self, profile: Profile) -> None:
        first = np.flatnonzero(profile.number_of_place == 0)
        p = np.exp(sampled(profile, profile.of(REFERENCE)[:1], Sampler())[first])  # [first places, width + 1]
        self._p = dict(zip(profile.probe_of_place[first].tolist(), p, strict=True))
        self._texts: defaultdict[int, list[str]] = defaultdict(list)
        self._differ = False

    def fault(self, completion: Completion) -> str:
        """What is wrong once this answer has come; empty where nothing is: samples differ, or are few."""
        if self._differ or completion.finish == "error" or not completion.text:
            return ""
        self._texts[int(completion.key.partition(".")[0])].append(completion.text)
        self._differ = any(len(set(texts)) > 1 for texts in self._texts.values())
        if self._differ or self.chance >= UNLIKELY:
            return ""
        n = sum(map(len, self._texts.values()))
        return (
            f"{n} answers at temperature 1 to {len(self._texts)} questions were the same for each question: they come"
            " from a cache, or its temperature is locked"
        )

    @property
    def chance(self) -> float:
        """How likely it is that all samples of each question are the same, if the reference draws them."""
        return float(np.prod([(self._p[probe] ** len(texts)).sum() for probe, texts in self._texts.items()]))
