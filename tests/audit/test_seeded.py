"""Seeded sampling: llama.cpp's random numbers, what they foretell, and audits that rest on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from bitproof.audit.observe import Reading
from bitproof.audit.profile import Profile
from bitproof.audit.seeded import OWN_NUMBERS, TOP_K, SeededTables, foretold, uniform_of
from bitproof.audit.standing import Standing
from bitproof.audit.text import TextTest


def test_the_number_is_two_words_of_a_mersenne_twister():
    """The first outputs of std::mt19937 with its default seed, 5489, as published with it."""
    assert uniform_of(5489) == (3499211612 + 581869302 * 2**32) / 2**64


def test_without_noise_a_token_is_foretold():
    p = np.array([0.1, 0.5, 0.0, 0.4])
    logprobs = np.log(np.where(p > 0, p, 1e-300))[None]
    logprobs[0, 2] = -np.inf
    for drawn, token in ((0.0, 1), (0.49, 1), (0.51, 3), (0.89, 3), (0.91, 0), (0.999, 0)):
        found = foretold(logprobs, np.zeros(1), drawn, np.zeros((1, 4)))
        assert found.tolist() == [[float(column == token) for column in range(4)]]


def test_only_the_likeliest_are_drawn_from():
    logprobs = -np.arange(30.0)[None] * 1e-3
    found = foretold(logprobs, np.zeros(1), 0.9999, np.zeros((1, 30)))
    assert found[0].argmax() == TOP_K - 1


def test_over_all_numbers_noise_leaves_the_distribution(profile):
    """Sums over u of what u picks are the mean distribution under noise."""
    random = np.random.default_rng(0)
    gumbel, logprobs = random.gumbel(size=(16, 24)), profile.logprobs[:1, 5].astype(float)
    numbers = (np.arange(500) + 0.5) / 500
    found = np.mean([foretold(logprobs, np.array([0.1]), drawn, gumbel)[0] for drawn in numbers], axis=0)
    noisy = logprobs + 0.1 * gumbel
    kept = np.where(noisy >= np.sort(noisy, axis=1)[:, [-TOP_K]], np.exp(noisy), 0)
    assert np.allclose(found, (kept / kept.sum(1, keepdims=True)).mean(0), atol=0.005)


def test_every_hypothesis_is_a_distribution(profile):
    tables = SeededTables(profile)
    width = profile.candidates.shape[1]
    found = [tables.likelihoods([Reading(7, column, drawn=0.3)]) for column in range(width + 1)]
    for part in range(3):
        total = sum(np.exp(one[part]) for one in found)
        assert np.allclose(total[total > 0], 1)  # other samplers are the reference's only
        assert (total[0] > 0).all()


def first_tokens(
    profile: Profile, row: int, n: int, seed: int, *, known: bool = True, temperature: float = 1.0
) -> Iterator[list[Reading]]:
    """First tokens as llama.cpp would draw them, or with numbers of the server's own; engines add a little noise."""
    random = np.random.default_rng(seed)
    places = np.flatnonzero(profile.number_of_place == 0)
    for place in random.choice(places, n):
        noisy = (profile.logprobs[row, place] + random.normal(0, 0.02, profile.logprobs.shape[2])) / temperature
        drawn = float(random.random())
        picked = foretold(
            noisy[None], np.zeros(1), drawn if known else float(random.random()), np.zeros((1, len(noisy)))
        )
        yield [Reading(int(place), int(picked[0].argmax()), drawn=drawn)]


def decided(
    profile: Profile, row: int, seed: int, *, known: bool = True, temperature: float = 1.0, n: int = 300
) -> tuple[Standing, int]:
    """How things stand when it is decided, and after how many tokens."""
    test = TextTest(SeededTables(profile), alpha=0.01, ignored=("w8a8",))
    answers = first_tokens(profile, row, n, seed, known=known, temperature=temperature)
    for number, readings in enumerate(answers, 1):
        test.add(readings)
        standing = test.standing()
        assert standing is not None
        if standing.outcome != "inconclusive" or standing.sampler or number == n:
            return standing, number
    raise AssertionError


@pytest.mark.parametrize(
    ("name", "outcome"), [("reference", "consistent"), ("w8", "inconsistent"), ("w4", "inconsistent")]
)
def test_a_model_is_told_with_few_tokens(profile, name, outcome):
    found = [decided(profile, profile.of(name)[0], seed) for seed in range(5)]
    assert [standing.outcome for standing, _ in found] == [outcome] * 5
    assert all(standing.closest == (() if outcome == "inconsistent" else (name,)) for standing, _ in found)
    assert max(n for _, n in found) <= 120


def test_numbers_of_the_servers_own_accuse_nobody_and_are_said(profile):
    for seed in range(5):
        standing, _ = decided(profile, 0, seed, known=False, n=60)
        assert standing.outcome == "inconclusive"
        assert standing.sampler.endswith(OWN_NUMBERS)


def test_another_sampler_accuses_nobody_and_is_said(profile):
    """A temperature that is locked, with the numbers that the seeds give."""
    for seed, temperature in enumerate((0.5, 0.8, 1.2)):
        standing, _ = decided(profile, 0, seed, temperature=temperature)
        assert standing.outcome == "inconclusive"
        assert standing.sampler == f"temperature {temperature}"


def test_places_without_a_candidate_are_no_tokens(profile):
    short = replace(profile, candidates=np.where(np.arange(24) < 6, profile.candidates, -1))
    found = SeededTables(short).likelihoods([Reading(3, 2, drawn=0.5)])
    assert np.isfinite(found.models[0]).all()
    assert np.isfinite(found.noise).all()
    assert np.isfinite(found.unrelated).all()
