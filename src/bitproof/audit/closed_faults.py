"""What keeps two sides' answers from being compared, found from the answers themselves.

A fault spoils some kinds of evidence: what they show is then the fault. It always keeps a verdict from being
"consistent".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from bitproof.audit.closed_results import ChannelName
from bitproof.audit.distances import text_distance
from bitproof.audit.recording import Answer, Asking
from bitproof.engines.generation import Generator
from bitproof.engines.http_heard import Heard

__all__ = ["Fault", "cached", "differing_pairs", "faults", "faults_of", "said_of_itself"]

TEXTS: tuple[ChannelName, ...] = ("greedy", "sampled")
FEW = 0.1  # share of answers that may be odd without a fault
FEWEST_PROBES = 4  # before a side's own spread, or what it lacks, is judged


@dataclass(frozen=True)
class Fault:
    """In a sentence, and the kinds of evidence that it spoils."""

    words: str
    spoils: tuple[ChannelName, ...] = ()


def faults(sides: Sequence[Sequence[Answer]], names: Sequence[str], asking: Asking) -> list[Fault]:
    """The faults of two sides, by their names: "the recording", "the endpoint"."""
    found = []
    for answers, name in zip(sides, names, strict=True):
        found += faults_of(answers, name, asking)
    odd = [_share(answers, lambda answer: _odd_length(answer, asking)) for answers in sides]
    for share, name in zip(odd, names, strict=True):
        if share > FEW >= min(odd):
            words = f"{name} gives answers of other lengths than asked for: {_lengths(sides[odd.index(share)], asking)}"
            found.append(Fault(words, TEXTS))
    given = [_has_logprobs(answers) for answers in sides]
    if asking.top_logprobs and False in given and True in given:
        found.append(Fault(f"{names[given.index(False)]} gives no logprobs where {names[given.index(True)]} does"))
    counts = [_prompt_tokens(answers) for answers in sides]
    other = next((probe for probe in counts[0] if counts[1].get(probe, counts[0][probe]) != counts[0][probe]), None)
    if other is not None:
        words = f"{names[1]} counts {counts[1][other]} prompt tokens where {names[0]} counts {counts[0][other]}"
        found.append(Fault(f"{words}: another template, a hidden prompt or another tokenizer"))
    return found


def differing_pairs(answers: Iterable[Answer], *, pieces: int) -> float | None:
    """The share of pairs of answers to one question that do not begin alike; None without any pair."""
    pairs = [pair for group in _by_probe(answers).values() for pair in combinations(group, 2)]
    apart = [text_distance(one.text, other.text, pieces=pieces) > 0 for one, other in pairs]
    return sum(apart) / len(apart) if apart else None


def faults_of(answers: Sequence[Answer], name: str, asking: Asking) -> list[Fault]:
    """The faults of one side."""
    found = []
    sampled = [answer for answer in answers if answer.sampled]
    greedy = [answer for answer in answers if not answer.sampled]
    for kind, some in (("greedy", greedy), ("sampled", sampled)):
        if _share(some, lambda answer: not answer.text.strip()) > 0.5:
            spoilt: ChannelName = "greedy" if kind == "greedy" else "sampled"
            found.append(Fault(f"{name} answers mostly with nothing in {_limit(asking, kind)} tokens", (spoilt,)))
    warm = differing_pairs(sampled, pieces=asking.sampled_tokens)
    cold = differing_pairs(greedy, pieces=asking.sampled_tokens)
    if warm == 0:
        found.append(
            Fault(
                f"{name} answers the same at temperature {asking.temperature:g} every time: from a cache, or its"
                " temperature is locked",
                ("sampled",),
            )
        )
    elif warm and cold is not None and cold > 0.5 * warm and len(_by_probe(greedy)) >= FEWEST_PROBES:
        found.append(
            Fault(
                f"{name} answers differently at temperature 0 in {100 * cold:.0f} % of repeats, at"
                f" {asking.temperature:g} in {100 * warm:.0f} %: its temperature is locked",
                ("greedy",),
            )
        )
    return found


def cached(engine: Generator, name: str) -> list[Fault]:
    """The fault of answers that were computed at another time, where their headers say so."""
    heard: Heard | None = getattr(engine, "heard", None)
    if heard is None or heard.cached <= FEW * heard.answers:
        return []
    return [Fault(f"{heard.cached} of {heard.answers} answers of {name} came from a cache, as their headers say")]


def said_of_itself(engine: Generator, model: str, who: str) -> list[str]:
    """What an endpoint says that it is, where that is more than the name that was asked for: a claim.

    `who` begins the sentence: "now it answers".
    """
    heard: Heard | None = getattr(engine, "heard", None)
    if heard is None:
        return []
    said = [f"as {', '.join(map(repr, heard.models))}"] * (set(heard.models) not in ({model}, set()))
    said += [f"with system_fingerprint {', '.join(map(repr, heard.fingerprints))}"] * bool(heard.fingerprints)
    return [f"{who} {' '.join(said)}"] if said else []


def _odd_length(answer: Answer, asking: Asking) -> bool:
    limit = asking.sampled_tokens if answer.sampled else asking.greedy_tokens
    return answer.answer_tokens > limit or (answer.cut and 0 < answer.answer_tokens < limit)


def _lengths(answers: Sequence[Answer], asking: Asking) -> str:
    odd = next(answer for answer in answers if _odd_length(answer, asking))
    return f"{odd.answer_tokens} tokens for {_limit(asking, 'sampled' if odd.sampled else 'greedy')}"


def _limit(asking: Asking, kind: str) -> int:
    return asking.sampled_tokens if kind == "sampled" else asking.greedy_tokens


def _has_logprobs(answers: Sequence[Answer]) -> bool | None:
    """None where there is too little to say."""
    greedy = [answer for answer in answers if not answer.sampled and answer.answer_tokens]
    return any(place.top for answer in greedy for place in answer.places) if len(greedy) >= FEWEST_PROBES else None


def _prompt_tokens(answers: Sequence[Answer]) -> dict[int, int]:
    return {answer.probe: answer.prompt_tokens for answer in answers if answer.prompt_tokens}


def _share(answers: Sequence[Answer], odd: Callable[[Answer], bool]) -> float:
    return sum(map(odd, answers)) / len(answers) if answers else 0.0


def _by_probe(answers: Iterable[Answer]) -> dict[int, list[Answer]]:
    found: dict[int, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer.probe, []).append(answer)
    return found
