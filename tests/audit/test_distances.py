"""Distances between answers: worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bitproof.audit.distances import logprob_distances, noisy, text_distance, text_distances
from bitproof.audit.recording import Answer, Place


def answer(text: str = "", *places: tuple[str, dict[str, float]]) -> Answer:
    listed = tuple(Place(token=token, top=tuple(top.items())) for token, top in places)
    return Answer(
        probe=0, sampled=False, text=text, cut=True, answer_tokens=len(places), prompt_tokens=1, places=listed
    )


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0.0),
        ("A bridge is", "A bridge is", 0.0),
        ("A bridge is", "A bridge was", 0.5),
        ("A bridge", "A bridge is long", 0.5),
        ("A bridge", "The bridge", 1.0),
        ("Yes, it is so", "Yes. It is so", 0.75),
        ("one two three four five", "one two three four six", 0.0),  # alike as far as four pieces go
        ("桥", "橋", 1.0),
    ],
)
def test_texts_are_apart_by_what_is_no_common_beginning(one, other, distance):
    assert text_distance(one, other, pieces=4) == distance
    assert text_distance(other, one, pieces=4) == distance


def test_distances_are_a_symmetric_matrix():
    found = text_distances([answer("a b"), answer("a c"), answer("a b")], pieces=2)
    assert found.tolist() == [[0, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0]]


def test_logprobs_are_compared_up_to_the_first_other_token():
    one = answer("", ("a", {"a": -1.0, "b": -2.0}), ("b", {"b": -1.0, "c": -2.0}), ("x", {"x": -1.0, "y": -3.0}))
    other = answer("", ("a", {"a": -1.2, "b": -2.4}), ("c", {"c": -1.5, "b": -1.5}), ("y", {"y": -9.0, "x": -0.1}))
    assert logprob_distances([one, other])[0, 1] == pytest.approx(((0.2 + 0.4) / 2 + (0.5 + 0.5) / 2) / 2)


def test_an_alternative_that_is_missing_is_at_most_the_least_likely_there():
    one, other = answer("", ("a", {"a": -1.0, "b": -2.0})), answer("", ("a", {"a": -1.0, "c": -4.0}))
    # b is at most -4 there: 2 apart or more; c at most -2 here, and -4 there: nothing known
    assert logprob_distances([one, other])[0, 1] == pytest.approx((0 + 2 + 0) / 3)


def test_as_many_alternatives_count_as_every_answer_gives():
    wide = answer("", ("a", {"a": -1.0, "b": -2.0, "c": -3.0}))
    other = answer("", ("a", {"a": -1.0, "b": -2.0, "c": -3.9}))
    narrow = answer("", ("a", {"a": -1.0}))
    assert logprob_distances([wide, other])[0, 1] == pytest.approx(0.3)
    assert logprob_distances([wide, other, narrow]).max() == 0.0


def test_places_without_logprobs_say_nothing():
    silent = answer("", ("a", {}))
    assert logprob_distances([silent, answer("", ("a", {"a": -1.0})), answer()]).max() == 0.0


def test_one_logprob_far_off_does_not_outweigh_all():
    one, other = answer("", ("a", {"a": -1.0, "b": -2.0})), answer("", ("a", {"a": -1.0, "b": -90.0}))
    assert logprob_distances([one, other])[0, 1] == pytest.approx(2.5)


def test_noise_has_the_size_that_was_asked_for():
    one = answer("", *[("a", {str(n): -float(n) for n in range(50)})] * 40)
    made = noisy(one, 0.1, np.random.default_rng(0))
    moved = [new[1] - old[1] for a, b in zip(one.places, made.places, strict=True) for old, new in zip(a.top, b.top)]  # noqa: B905
    assert np.std(moved) == pytest.approx(0.1, rel=0.05)
    assert [place.token for place in made.places] == ["a"] * 40
