"""Whole audits of a made-up endpoint: verdicts, what is missing, what it costs, and answers that leave the path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from bitproof.audit.audit import audit
from bitproof.audit.observe import Reader, Reading, probe_order, probe_requests, served
from bitproof.audit.plan import AuditPlan
from bitproof.audit.profile import Profile
from bitproof.engines.generation import Completion, Request, TokenLogprob

TOP = 12
PLAN = AuditPlan(top=TOP)


class Endpoint:
    """Serves one row of a profile with noise of its own; counts what it is asked."""

    def __init__(
        self, profile: Profile, row: int, *, noise: float = 0.03, seed: int = 0, ids: bool = True, **ways: bool
    ):
        self._profile, self._row, self._noise, self._ids, self._ways = profile, row, noise, ids, ways
        self._random = np.random.default_rng(seed)
        self.asked: list[Request] = []

    def generate(self, requests: Iterable[Request], on_completion: Callable[[Completion], None]) -> None:
        for request in requests:
            self.asked.append(request)
            on_completion(self._answer(int(request.key.partition(".")[0]), request))

    def _answer(self, probe: int, request: Request) -> Completion:
        if self._ways.get("fails"):
            return Completion(key=request.key, finish="error", error="HTTP 500")
        tokens = [] if self._ways.get("mute") else [self._token(probe, number) for number in range(request.max_tokens)]
        return Completion(
            key=request.key,
            text="".join(token.text for token in tokens),
            logprobs=None if self._ways.get("plain") else tuple(tokens) or None,
            prompt_tokens=25 if self._ways.get("hidden") else 10,
            answer_tokens=request.max_tokens,
        )

    def _token(self, probe: int, number: int) -> TokenLogprob:
        place = next(row for row, one in enumerate(self._profile.places) if (one.probe, one.number) == (probe, number))
        logprobs = self._profile.logprobs[self._row, place] + self._random.normal(0, self._noise, 24)
        top = tuple(
            self._one(int(self._profile.candidates[place, column]), float(logprobs[column]))
            for column in np.argsort(-logprobs)[: 5 if self._ways.get("few") else TOP]
        )
        return TokenLogprob(top[0].text, top[0].logprob, top[0].id, top)

    def _one(self, token: int, logprob: float) -> TokenLogprob:
        said = -9999.0 if self._ways.get("degenerate") else logprob
        return TokenLogprob(self._profile.texts[token], said, token if self._ids else None)


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize(
    ("name", "outcome"), [("reference", "consistent"), ("w8", "inconsistent"), ("w4", "inconsistent")]
)
def test_a_served_model_is_told_and_named(profile, name, outcome, ids):
    endpoint = Endpoint(profile, profile.of(name)[0], ids=ids)
    found = audit(endpoint, profile, PLAN)  # type: ignore[arg-type]
    assert found.outcome == outcome
    assert found.closest == (name,)
    assert found.n_places <= 20
    assert found.answer_tokens == sum(request.max_tokens for request in endpoint.asked)
    assert set(found.expected) == set(profile.names)


def test_what_is_no_rung_is_named_nothing(profile):
    found = audit(Endpoint(profile, 0, noise=3.0), profile, PLAN)  # type: ignore[arg-type]
    assert (found.outcome, found.closest) == ("inconsistent", ())
    assert "no variant of the profile fits" in found.words


@pytest.mark.parametrize(
    ("way", "name", "test", "words"),
    [
        ("mute", "reference", "top-logprobs", "all of its answers are empty"),
        ("mute", "reference", None, "all of its answers are empty"),
        ("hidden", "w4", None, "counts 25 prompt tokens where"),
        ("fails", "reference", None, "fails: HTTP 500"),
        ("degenerate", "reference", "logprob", "none of its logprobs is one"),
    ],
)
def test_what_is_missing_makes_it_inconclusive(profile, way, name, test, words):
    endpoint = Endpoint(profile, profile.of(name)[0], **{way: True})
    found = audit(endpoint, profile, AuditPlan(top=TOP, test=test))  # type: ignore[arg-type]
    assert found.outcome == "inconclusive"
    assert words in found.words
    assert len(endpoint.asked) <= 60


@pytest.mark.parametrize(("name", "outcome"), [("reference", "consistent"), ("w4", "inconsistent")])
def test_fewer_logprobs_than_asked_do_and_are_said(profile, name, outcome):
    found = audit(Endpoint(profile, profile.of(name)[0], few=True), profile, PLAN)  # type: ignore[arg-type]
    assert (found.outcome, found.closest, found.top_logprobs) == (outcome, (name,), 5)
    assert found.findings == ("it gives 5 logprobs a token where 12 were asked for",)


def test_another_count_of_prompt_tokens_is_said_where_the_answers_are_the_references(profile):
    found = audit(Endpoint(profile, 0, hidden=True), profile, PLAN)  # type: ignore[arg-type]
    assert found.outcome == "consistent"
    assert "counts 25 prompt tokens" in found.findings[0]


@pytest.mark.parametrize("name", ["reference", "w4"])
@pytest.mark.parametrize("way", ["degenerate", "plain"])
def test_without_logprobs_the_text_is_read(profile, name, way):
    endpoint = Endpoint(profile, profile.of(name)[0], **{way: True})
    found = audit(endpoint, profile, PLAN)  # type: ignore[arg-type]
    assert found.test == "text"
    assert found.meter is not None
    if name == "w4":
        assert (found.outcome, found.closest) == ("inconsistent", ("w4",))
        assert found.answer_tokens <= 60
    else:
        assert found.outcome != "inconsistent"


def test_a_benign_endpoint_is_rarely_accused(profile):
    outcomes = [
        audit(Endpoint(profile, 0, seed=seed), profile, AuditPlan(top=TOP, seed=seed)).outcome  # type: ignore[arg-type]
        for seed in range(100)
    ]
    assert outcomes.count("inconsistent") <= 1
    assert outcomes.count("consistent") >= 95


def test_what_follows_a_token_off_the_path_is_not_compared(profile):
    reader = Reader(profile)
    endpoint = Endpoint(profile, 0)
    answers: list[Completion] = []
    whole = [replace(request, max_tokens=4) for request in probe_requests(profile, [3], top_logprobs=TOP)]
    endpoint.generate(whole, answers.append)
    other = answers[0].logprobs[1].top[1]  # type: ignore[index]
    changed = (answers[0].logprobs[0], TokenLogprob(other.text, other.logprob, other.id, answers[0].logprobs[1].top))  # type: ignore[index]
    found = reader.read(Completion(key="3", logprobs=(*changed, *answers[0].logprobs[2:])))  # type: ignore[index]
    assert [reading.row for reading in found] == [12, 13]
    assert reader.read(Completion(key="4", logprobs=None)) == []
    assert served(found[:1], top=TOP).places.tolist() == [12]


def test_an_answer_longer_than_asked_and_unknown_tokens_do_no_harm(profile):
    strange = TokenLogprob("\ud800", -1.0, None, (TokenLogprob("?", -2.0, 10**9),))
    found = Reader(profile).read(Completion(key="0", logprobs=(strange,) * 50))
    assert found == [Reading(0, 24)]
    assert (served(found, top=TOP).columns == -1).all()


def test_the_order_of_probes_is_drawn_anew(profile):
    assert sorted(probe_order(profile, seed=1)) == list(range(60))
    assert probe_order(profile, seed=1) == probe_order(profile, seed=1)
    assert probe_order(profile, seed=1) != probe_order(profile, seed=2)
