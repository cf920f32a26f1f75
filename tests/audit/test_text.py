"""Audits by text: likelihoods, the e-process and what it says of rungs, of noise, of mixtures and of samplers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from bitproof.audit.likelihood import DILUTION, Sampler, greedy, sampled
from bitproof.audit.observe import Reader, Reading
from bitproof.audit.profile import Profile
from bitproof.audit.standing import MIXED, NOISE, Standing
from bitproof.audit.text import SAMPLERS, TextTables, TextTest
from bitproof.engines.generation import Completion


def greedy_answers(
    profile: Profile, row: int, random: np.random.Generator, *, noise: float = 0.02
) -> Iterator[list[Reading]]:
    """Answers to all probes in a drawn order, of a row with Gumbel noise, each until it leaves the path."""
    for probe in random.permutation(len(profile.probes)):
        found = []
        for place in np.flatnonzero(profile.probe_of_place == probe):
            logprobs = profile.logprobs[row, place] + random.gumbel(0, noise, profile.logprobs.shape[2])
            found.append(Reading(int(place), int(np.argmax(logprobs))))
            if found[-1].column != profile.path_columns[place]:
                break
        yield found


@pytest.fixture(scope="module")
def whole(profile: Profile) -> Profile:
    """The made-up profile with candidates that hold all but a millionth of every distribution."""
    total = logsumexp(profile.logprobs, axis=-1, keepdims=True)
    return replace(profile, logprobs=(profile.logprobs - total + np.log1p(-1e-6)).astype(np.float32))


def first_tokens(
    profile: Profile, row: int, random: np.random.Generator, n: int, temperature: float = 1.0
) -> Iterator[list[Reading]]:
    """First tokens drawn at a temperature."""
    first = np.flatnonzero(profile.number_of_place == 0)
    for place in random.choice(first, n):
        logits = profile.logprobs[row, place].astype(float)
        p = np.append(np.exp(logits), 1e-6) ** (1 / temperature)
        yield [Reading(int(place), int(random.choice(len(p), p=p / p.sum())))]


def decided(test: TextTest, answers: Iterator[list[Reading]], *, clear: bool = False) -> Standing:
    """How things stand once it is decided, and once it is `clear` whether there is a name, too."""
    standing = None
    for answer in answers:
        test.add(answer)
        standing = test.standing()
        if standing and standing.outcome != "inconclusive" and (standing.clear or not clear):
            break
    assert standing is not None
    return standing


def test_a_greedy_token_has_the_softmax_of_logprobs_over_the_noise(profile):
    found = greedy(profile, [0], 0.5)
    logits = profile.logprobs[0, 7].astype(float) / 0.5
    p = np.exp(logits - logits.max())
    expected = (1 - DILUTION) * np.append(p / p.sum(), 0.0) + DILUTION / 25
    assert np.allclose(np.exp(found[7]), expected)
    assert np.allclose(np.exp(found).sum(1), 1)


def test_gumbel_noise_on_logits_makes_that_distribution(profile):
    random = np.random.default_rng(0)
    drawn = profile.logprobs[0, 3] + random.gumbel(0, 0.5, (20_000, 24))
    share = np.bincount(drawn.argmax(1), minlength=25) / 20_000
    assert np.allclose(share, np.exp(greedy(profile, [0], 0.5)[3]), atol=0.01)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_give_distributions(profile, sampler):
    assert np.allclose(np.exp(sampled(profile, [0, 1], sampler)).sum(1), 1)


def test_top_p_keeps_the_fewest_tokens_that_hold_it(profile):
    whole, cut = (np.exp(sampled(profile, [0], one)[5]) for one in (Sampler(), Sampler(top_p=0.5)))
    kept = cut > 2 * DILUTION / 25
    assert whole[kept].sum() >= 0.49
    assert whole[kept].sum() - whole[kept].min() < 0.51
    assert whole[kept].min() >= whole[~kept].max()


@pytest.mark.parametrize("name", ["w8", "w4", "w8a8"])
def test_a_variant_is_found_and_named_from_its_greedy_text(profile, name):
    random = np.random.default_rng(1)
    test = TextTest(TextTables(profile), alpha=0.01)
    standing = decided(test, greedy_answers(profile, profile.of(name)[1], random), clear=True)
    assert standing.outcome == "inconsistent"
    assert standing.closest[0] == name


def test_a_benign_engine_is_rarely_accused(profile):
    """200 audits at 5 % by engines as noisy as the profile's arithmetics: an e-process may be wrong in 5 % of them."""
    random = np.random.default_rng(2)
    outcomes, tables = [], TextTables(profile)
    for _ in range(200):
        test = TextTest(tables, alpha=0.05)
        outcomes.append(decided(test, greedy_answers(profile, int(random.integers(2)), random)).outcome)
    assert outcomes.count("inconsistent") <= 10


def test_an_unknown_variant_is_noise(profile):
    random = np.random.default_rng(3)
    standing = decided(
        TextTest(TextTables(profile), alpha=0.01), greedy_answers(profile, 0, random, noise=0.8), clear=True
    )
    assert standing.outcome == "inconsistent"
    assert max(standing.probability, key=lambda name: standing.probability[name]) == NOISE
    assert standing.closest == ()


@pytest.mark.parametrize("nats", [0.1, 0.3])
def test_a_model_that_errs_as_much_as_a_variant_in_another_direction_has_no_name(profile, nats):
    tables, closest = TextTables(profile), []
    for seed in range(20):
        random = np.random.default_rng(seed)
        error = random.normal(0, nats, profile.logprobs.shape).astype(np.float32)
        test = TextTest(tables, alpha=0.01)
        answers = greedy_answers(replace(profile, logprobs=profile.logprobs + error), 0, random)
        closest.append(decided(test, answers, clear=True).closest)
    assert closest.count(()) + closest.count(("reference",)) >= 19


def test_requests_that_go_to_a_variant_now_and_then_are_a_mixture(profile):
    random = np.random.default_rng(4)
    test = TextTest(TextTables(profile), alpha=0.01)
    for _ in range(3):
        answers = zip(greedy_answers(profile, 0, random), greedy_answers(profile, 4, random), strict=True)
        for number, (reference, other) in enumerate(answers):
            test.add(other if number % 3 == 0 else reference)
    standing = test.standing()
    assert standing is not None
    assert standing.outcome == "inconsistent"
    assert standing.closest[0] == MIXED


@pytest.mark.parametrize(("name", "outcome"), [("w4", "inconsistent"), ("reference", "consistent")])
def test_sampled_first_tokens_tell_too(whole, name, outcome):
    random = np.random.default_rng(5)
    test = TextTest(TextTables(whole, SAMPLERS), alpha=0.01, ignored=("w8", "w8a8"))
    standing = decided(test, first_tokens(whole, whole.of(name)[0], random, 3000))
    assert standing.outcome == outcome
    assert name in standing.closest
    assert standing.sampler == ""


def test_another_temperature_is_said_and_no_variant_is_blamed(whole):
    random = np.random.default_rng(6)
    test = TextTest(TextTables(whole, SAMPLERS), alpha=0.01)
    for answer in first_tokens(whole, 0, random, 2000, temperature=0.7):
        test.add(answer)
    standing = test.standing()
    assert standing is not None
    assert standing.outcome != "inconsistent"
    assert "temperature 0.7" in standing.sampler


@pytest.mark.parametrize(
    ("text", "finish", "columns"),
    [
        ("whole", "length", [0, 0, 0, 0]),
        ("whole", "stop", [0, 0, 0, 0]),
        ("", "stop", []),
        ("", "length", []),
        ("zzz", "length", [24]),
    ],
)
def test_texts_are_cut_into_candidates(profile, text, finish, columns):
    path = "".join(profile.texts[int(token)] for token in profile.path[0])
    answer = Completion(key="0", text=path if text == "whole" else text, finish=finish)
    assert [reading.column for reading in Reader(profile).read(answer)] == columns


def test_the_longest_candidate_is_what_was_said(profile):
    place = 5
    ids = profile.candidates[place].tolist()
    texts = [profile.texts[token] for token in ids]
    long = max(texts, key=len)
    reader = Reader(profile)
    before = profile.path[profile.places[place].probe][: profile.places[place].number]
    answer = "".join(profile.texts[int(token)] for token in before) + long
    found = reader.read(Completion(key=str(profile.places[place].probe), text=answer, finish="length"))
    assert texts[found[-1].column] == long
