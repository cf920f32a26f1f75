"""Questions asked again: pairs of texts, pairs of logprobs, and samples that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitproof.audit.profile import Profile
from bitproof.audit.repeats import UNLIKELY, Samples, apart_nats, texts_apart
from bitproof.engines.generation import Completion, TokenLogprob


def pair(alike: bool, text: str = "a b c") -> tuple[Completion, Completion]:
    return Completion(key="0", text=text), Completion(key="0", text=text if alike else "x")


@pytest.mark.parametrize(
    ("kinds", "sure", "apart", "alike"),
    [
        ("=", False, 0, 1),
        ("=x", False, 0, 1),
        ("xxx=", False, 3, 0),
        ("x===", False, 1, 3),
        ("x=x=x", False, 3, 2),
        ("===x", True, 0, 3),
        ("=xxx", True, 3, 1),
        ("==", True, 0, 2),  # no more could be asked
        ("", True, 0, 0),
    ],
)
def test_pairs_are_asked_for_until_they_are_sure(kinds: str, sure: bool, apart: int, alike: int) -> None:
    found = texts_apart([pair(kind == "=") for kind in kinds], sure=sure)
    assert (len(found[0]), found[1]) == (apart, alike)


def test_short_answers_that_are_the_same_say_less() -> None:
    assert texts_apart([pair(True, "a")] * 20, sure=True) == ([], 9)
    assert texts_apart([pair(True, "a")] * 20, sure=False) == ([], 1)


def answer(*tokens: tuple[str, float]) -> Completion:
    return Completion(key="0", logprobs=tuple(TokenLogprob(text, value) for text, value in tokens))


def test_logprobs_are_compared_as_far_as_the_tokens_are_the_same() -> None:
    one = answer(("a", -1.0), ("b", -2.0), ("c", -3.0))
    assert apart_nats(one, answer(("a", -1.3), ("b", -2.4), ("c", -3.0))) == pytest.approx(np.sqrt(0.25 / 3))
    assert apart_nats(one, answer(("a", -1.3), ("x", -9.0), ("c", -7.0))) == pytest.approx(0.3)
    assert apart_nats(one, answer(("x", -1.0))) is None
    assert apart_nats(one, answer(("a", -9999.0))) is None
    assert apart_nats(one, Completion(key="0", text="a")) is None


def samples(profile: Profile, texts: dict[int, list[str]]) -> tuple[Any, str]:
    watched, fault = Samples(profile), ""
    for probe, some in texts.items():
        for number, text in enumerate(some):
            fault = watched.fault(Completion(key=f"{probe}.{number}", text=text)) or fault
    return watched, fault


def test_the_chance_that_samples_are_the_same_is_that_of_the_reference(profile: Profile) -> None:
    watched, _ = samples(profile, {3: ["a"] * 2})
    logits = profile.logprobs[0, 12].astype(float)
    mass = np.append(np.exp(logits), 1 - np.exp(logits).sum())
    assert watched.chance == pytest.approx((mass**2).sum(), rel=0.01)


def test_samples_that_are_the_same_too_often_are_none(profile: Profile) -> None:
    watched, fault = samples(profile, {probe: ["a", "a"] for probe in range(60)})
    assert watched.chance < UNLIKELY
    assert "120 answers at temperature 1 to 60 questions were the same" in fault
    assert samples(profile, {0: ["a"]})[1] == ""
    assert samples(profile, {0: ["a", "b"], **{probe: ["a", "a"] for probe in range(1, 60)}})[1] == ""
