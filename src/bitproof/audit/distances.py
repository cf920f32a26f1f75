"""How far two answers to one question are apart: as texts, or by the logprobs of the tokens that they share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bitproof.audit.recording import Answer

__all__ = ["logprob_distances", "matrix", "noisy", "text_distance", "text_distances"]

Floats = NDArray[np.float64]

PIECE = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")  # about a token, where the endpoint does not tell its own
FARTHEST_NATS = 5.0  # one logprob that is wildly off is not to outweigh all others


def matrix(answers: Sequence[Answer], distance: Callable[[Answer, Answer], float]) -> Floats:
    """Distances [n, n] of n answers."""
    found = np.zeros((len(answers), len(answers)))
    for one, other in combinations(range(len(answers)), 2):
        found[one, other] = found[other, one] = distance(answers[one], answers[other])
    return found


def text_distance(one: str, other: str, *, pieces: int) -> float:
    """The share of `pieces` words and marks that is not a common beginning: in [0, 1], 0 for texts that begin alike.

    A common beginning says more than places that agree further on (a Hamming distance): after the first word that
    differs two answers go their own ways.
    """
    if one == other:
        return 0.0
    common = 0
    for left, right in zip(_pieces(one, pieces), _pieces(other, pieces), strict=False):
        if left != right:
            break
        common += 1
    return 1 - common / pieces


def text_distances(answers: Sequence[Answer], *, pieces: int) -> Floats:
    """Distances [n, n] of texts."""
    return matrix(answers, lambda one, other: text_distance(one.text, other.text, pieces=pieces))


def logprob_distances(answers: Sequence[Answer]) -> Floats:
    """Mean absolute differences of logprobs in nats [n, n], at the places that two answers came to in the same words.

    At each place as many alternatives count as every answer gives. One that is not among another's is taken to be at
    most as likely there as the least likely that is.
    """
    width = min((len(place.top) for answer in answers for place in answer.places if place.top), default=0)
    listed = [[(place.token, dict(place.top[:width])) for place in answer.places] for answer in answers]
    found = np.zeros((len(answers), len(answers)))
    for one, other in combinations(range(len(answers)), 2):
        found[one, other] = found[other, one] = _apart_nats(listed[one], listed[other])
    return found


def noisy(answer: Answer, size_nats: float, random: np.random.Generator) -> Answer:
    """The answer with normal noise on every logprob."""

    def one(logprob: float) -> float:
        return logprob + size_nats * random.standard_normal()

    places = (replace(place, top=tuple((text, one(logprob)) for text, logprob in place.top)) for place in answer.places)
    return replace(answer, places=tuple(places))


def _pieces(text: str, most: int) -> list[str]:
    found = []
    for piece in PIECE.finditer(text):
        found.append(piece[0])
        if len(found) == most:
            break
    return found


Listed = Sequence[tuple[str, dict[str, float]]]


def _apart_nats(one: Listed, other: Listed) -> float:
    total, n = 0.0, 0
    for (left, left_top), (right, right_top) in zip(one, other, strict=False):
        if left_top and right_top:
            n += 1
            total += _apart_here(left_top, right_top)
        if left != right:
            break
    return total / n if n else 0.0


def _apart_here(one: dict[str, float], other: dict[str, float]) -> float:
    least_one, least_other = min(one.values()), min(other.values())
    apart = [abs(one[text] - other[text]) for text in one.keys() & other.keys()]
    apart += [max(0.0, one[text] - least_other) for text in one.keys() - other.keys()]
    apart += [max(0.0, other[text] - least_one) for text in other.keys() - one.keys()]
    return sum(min(value, FARTHEST_NATS) for value in apart) / len(apart)
