"""Whole comparisons without a reference, of an endpoint in process: verdicts, faults, budgets, what it costs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from bitproof.audit.closed import ClosedPlan, compare, compare_endpoints, most_of, record
from bitproof.audit.comparison import Comparison
from bitproof.audit.purse import Purse
from bitproof.audit.recording import Asking, Recording, read_recording, write_recording
from bitproof.audit.sitting import Sitter, greedy_requests, probe_order, sampled_requests
from bitproof.engines.generation import Completion, Request, TokenLogprob
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_heard import Heard
from bitproof.engines.mock_answers import TinyModel
from bitproof.engines.mock_server import MockServer
from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.types import NotMeasured

ASKING = Asking(
    probes=tuple(f"{number} and what then? {number * 7}" for number in range(16)),
    greedy_tokens=8,
    samples=4,
    top_logprobs=5,
)


class Shaken(TinyModel):
    """A tiny model with normal noise of `size` nats on its logits, always the same."""

    def __init__(self, size: float = 0.0) -> None:
        super().__init__(seed=1, order=12)
        self._size = size

    def logprobs(self, before):
        logits = super().logprobs(before)
        if self._size:
            seed = hashlib.blake2b(repr(list(before[-12:])).encode(), digest_size=8).digest()
            logits = logits + np.random.default_rng(int.from_bytes(seed)).normal(0, self._size, len(logits))
        return logits - np.logaddexp.reduce(logits)


class Endpoint:
    """Answers as `model` does. `change` rewrites requests before they are answered, `spoil` completions after.

    From the request numbered `fails_from` on every one fails; `dies_at` ends the engine as a whole.
    """

    name, version, settings = "fake", "1", {"url": "https://host/v1"}

    def __init__(
        self,
        size: float = 0.0,
        *,
        change: Callable[[Request, int], Request] = lambda request, n: request,
        spoil: Callable[[Completion, Request], Completion] = lambda completion, request: completion,
        most_logprobs: int = 20,
        fails_from: int = 1 << 30,
        dies_at: int = 1 << 30,
    ) -> None:
        self._model, self._change, self._spoil = Shaken(size), change, spoil
        self._most_logprobs, self._fails_from, self._dies_at = most_logprobs, fails_from, dies_at
        self.asked: list[Request] = []

    def generate(self, requests: Iterable[Request], on_completion: Callable[[Completion], None]) -> None:
        for request in requests:
            self.asked.append(request)
            on_completion(self._answer(request, len(self.asked) - 1))

    def _answer(self, request: Request, n: int) -> Completion:
        if n >= self._dies_at:
            raise EnvironmentFailed("nothing answers there", where="https://host/v1")
        if n >= self._fails_from or request.top_logprobs > self._most_logprobs:
            return Completion(key=request.key, finish="error", error="HTTP 400: no")
        return self._spoil(replace(self._model(self._change(request, n)), key=request.key), request)


PLAN = ClosedPlan(asking=ASKING)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(Endpoint(), PLAN, endpoint="https://host/v1", model="m")  # type: ignore[arg-type]


def compared(recording: Recording, endpoint: Endpoint, plan: ClosedPlan = PLAN):
    return compare(endpoint, recording, plan)  # type: ignore[arg-type]


def without_logprobs(recording: Recording) -> Recording:
    sittings = tuple(
        replace(sitting, answers=tuple(replace(answer, places=()) for answer in sitting.answers))
        for sitting in recording.sittings
    )
    return replace(recording, asking=replace(ASKING, top_logprobs=0), sittings=sittings)


def test_the_same_endpoint_is_consistent_and_what_would_have_been_found_is_said(recording):
    found = compared(recording, Endpoint())
    assert (found.outcome, found.missing) == ("consistent", ())
    assert [channel.name for channel in found.channels] == ["logprobs", "greedy", "sampled"]
    assert all(channel.n_probes == 16 for channel in found.channels)
    logprobs, greedy, _ = found.channels
    assert 0.008 <= logprobs.smallest <= 0.05  # around what is not counted
    assert 0.2 <= greedy.smallest <= 0.8
    assert logprobs.own.value == greedy.own.value == 0.0  # type: ignore[union-attr]


@pytest.mark.parametrize(("size", "most"), [(0.05, 80), (0.5, 64)])
def test_another_model_is_different_after_few_tokens(recording, size, most):
    found = compared(recording, Endpoint(size))
    assert found.outcome == "different"
    assert found.channels[0].found
    assert found.answer_tokens <= most
    assert isinstance(found.channels[0].smallest, NotMeasured)
    assert found.words.startswith("Different from m as recorded, in its logprobs")


def test_text_alone_does_where_there_are_no_logprobs(recording):
    found = compared(without_logprobs(recording), Endpoint(1.0, most_logprobs=0))
    assert found.outcome == "different"
    assert [channel.name for channel in found.channels if channel.found] == ["greedy"]


def test_differences_up_to_the_least_are_not_counted(recording):
    assert compared(recording, Endpoint(0.005)).outcome == "consistent"
    assert compared(recording, Endpoint(0.005), replace(PLAN, least_nats=0.0)).outcome == "different"


def test_the_seed_draws_order_and_samples(recording):
    keys = []
    for seed in (1, 1, 2):
        endpoint = Endpoint()
        compared(recording, endpoint, replace(PLAN, seed=seed, max_tokens=200))
        keys.append([(request.key, request.seed) for request in endpoint.asked])
    assert keys[0] == keys[1] != keys[2]
    recorded, asked = Endpoint(), Endpoint()
    record(recorded, PLAN)  # type: ignore[arg-type]
    compared(recording, asked)
    seeds = [{request.seed for request in one.asked if request.temperature} for one in (recorded, asked)]
    assert len(seeds[0]) == 2 * 16 * 4
    assert not seeds[0] & seeds[1]  # the same seed would give the same answer, and say nothing


def at_one(request, n):
    return replace(request, temperature=1.0, seed=n)


def at_zero(request, n):
    return replace(request, temperature=0.0)


def longer(request, n):
    return replace(request, max_tokens=request.max_tokens + 3)


def hidden_prompt(completion, request):
    return replace(completion, prompt_tokens=completion.prompt_tokens + 9)


def silent(completion, request):
    return replace(completion, text="", answer_tokens=0, logprobs=None)


def mute(completion, request):
    return replace(completion, logprobs=None)


def placeholders(completion, request):
    listed = tuple(replace(one, logprob=-9999.0, top=()) for one in completion.logprobs or ())
    return replace(completion, logprobs=listed or None)


@pytest.mark.parametrize(
    ("ways", "words"),
    [
        ({"change": at_zero}, "answers the same at temperature 1 every time"),
        ({"change": at_one, "spoil": mute}, "of repeats at temperature 0, where 0 % did when recorded"),
        ({"change": longer}, "gives answers of other lengths than asked for: 11 tokens for 8"),
        ({"spoil": hidden_prompt}, "prompt tokens where the recording counts"),
        ({"spoil": silent}, "answers mostly with nothing in 8 tokens"),
        ({"spoil": mute}, "the endpoint gives no logprobs where the recording does"),
        ({"spoil": placeholders}, "the endpoint gives no logprobs where the recording does"),
        ({"fails_from": 7}, "the endpoint fails: HTTP 400: no"),
        ({"dies_at": 7}, "the endpoint fails: nothing answers there"),
    ],
)
def test_what_is_missing_makes_it_inconclusive(recording, ways, words):
    found = compared(recording, Endpoint(**ways))
    assert found.outcome == "inconclusive"
    assert words in found.words, found.words
    assert not any(channel.found for channel in found.channels)


def test_a_difference_that_no_fault_explains_stands_beside_one(recording):
    found = compared(recording, Endpoint(0.5, spoil=hidden_prompt))
    assert found.outcome == "different"
    assert "prompt tokens" in found.missing[0]


def test_an_endpoint_that_never_answers_is_an_error(recording):
    with pytest.raises(EnvironmentFailed, match="nothing answers"):
        compared(recording, Endpoint(dies_at=0))
    with pytest.raises(EnvironmentFailed, match="does not answer"):
        record(Endpoint(fails_from=0), PLAN)  # type: ignore[arg-type]
    with pytest.raises(EnvironmentFailed, match="nothing was recorded"):
        record(Endpoint(fails_from=30), PLAN)  # type: ignore[arg-type]


def test_an_unstable_endpoint_is_not_asked_again(recording):
    other = record(Endpoint(0.5), PLAN)  # type: ignore[arg-type]
    mixed = replace(recording, sittings=(recording.sittings[0], other.sittings[1]))
    endpoint = Endpoint()
    found = compared(mixed, endpoint)
    assert found.outcome == "inconclusive"
    assert "the endpoint is unstable" in found.words
    assert (endpoint.asked, found.answer_tokens) == ([], 0)


def test_a_budget_is_kept_and_ends_inconclusive(recording):
    found = compared(recording, Endpoint(), replace(PLAN, max_tokens=100))
    assert found.outcome == "inconclusive"
    assert found.answer_tokens <= 100
    assert re.search(r"the budget of 100 answer tokens allows no more than 1\d of 80 requests", found.words)
    with pytest.raises(UsageError, match="holds 100 answer tokens, and a recording of 16 questions can take 1032"):
        record(Endpoint(), replace(PLAN, max_tokens=100))  # type: ignore[arg-type]


def test_two_endpoints_have_one_budget():
    found = compare_endpoints(Endpoint(), Endpoint(), replace(PLAN, max_tokens=300))  # type: ignore[arg-type]
    assert found.outcome == "inconclusive"
    assert 250 < found.answer_tokens <= 300
    nothing = compare_endpoints(Endpoint(), Endpoint(), replace(PLAN, max_tokens=5))  # type: ignore[arg-type]
    assert (nothing.outcome, nothing.answer_tokens, nothing.n_requests) == ("inconclusive", 0, 0)


@pytest.mark.parametrize("job", ["recording", "endpoints"])
def test_a_budget_in_dollars_is_kept(recording, job):
    price, budget, usd = (1.0, 10.0), 0.004, 0.0

    def counts(completion, request):
        nonlocal usd
        usd += (completion.prompt_tokens * price[0] + completion.answer_tokens * price[1]) / 1e6
        return completion

    plan, engine = replace(PLAN, max_cost_usd=budget, price=price), Endpoint(spoil=counts)
    found = compared(recording, engine, plan) if job == "recording" else compare_endpoints(engine, engine, plan)  # type: ignore[arg-type]
    assert found.outcome == "inconclusive"
    assert "the budget of 0.004 USD allows no more than" in found.words
    assert found.cost_usd is not None
    assert 0.8 * budget < usd <= found.cost_usd + 1e-12 <= budget + 1e-12  # an answer of no tokens is not believed
    with pytest.raises(UsageError, match=r"holds 0.004 USD, and a recording of 16 questions can take 0\.0"):
        record(Endpoint(), plan)  # type: ignore[arg-type]


def test_what_is_said_beforehand_is_not_exceeded(recording):
    recorded, compared_with, both = Endpoint(), Endpoint(), (Endpoint(), Endpoint())
    record(recorded, PLAN)  # type: ignore[arg-type]
    compared(recording, compared_with)
    compare_endpoints(*both, PLAN)  # type: ignore[arg-type]
    asked = (recorded.asked, compared_with.asked, [*both[0].asked, *both[1].asked])
    for requests, job in zip(asked, ("record", "recording", "endpoints"), strict=True):
        most = most_of(ASKING, job)  # type: ignore[arg-type]
        assert 0 <= most.n_requests - len(requests) <= 5
        assert 0 <= most.answer_tokens - sum(one.max_tokens for one in requests) <= 40
        assert most.prompt_tokens > sum(len((one.messages or ())[0].content) for one in requests)


def test_an_endpoint_that_takes_more_than_it_was_asked_for_is_not_recorded_beyond_the_budget():
    def endless(completion, request):
        return replace(completion, answer_tokens=500)

    endpoint = Endpoint(spoil=endless)
    with pytest.raises(UsageError, match=r"the budget of 1,500 answer tokens does not hold it.*nothing was recorded"):
        record(endpoint, replace(PLAN, max_tokens=1500))  # type: ignore[arg-type]
    assert len(endpoint.asked) == 3


def test_the_raw_answers_of_both_sides_are_reported(recording):
    found = compared(recording, Endpoint())
    assert len(found.answers) == 2 * 16
    [first] = [one for one in found.answers if one.question == ASKING.probes[0] and not one.sampled]
    assert [n for _, n in first.against] == [4]
    assert first.answered == ((first.against[0][0], 1),)
    sampled = [one for one in found.answers if one.sampled]
    assert {sum(n for _, n in one.answered) for one in sampled} == {4}
    assert {sum(n for _, n in one.against) for one in sampled} == {8}
    assert len(compared(recording, Endpoint(0.5)).answers) < 16  # it stopped early


def test_answers_from_a_cache_are_never_a_pass(recording):
    endpoint = Endpoint()
    endpoint.heard = Heard(models={"m": 1, "n": 1}, fingerprints={"fp": 80}, answers=80, cached=70)  # type: ignore[attr-defined]
    found = compare(endpoint, recording, PLAN, model="m")  # type: ignore[arg-type]
    assert found.outcome == "inconclusive"
    assert "70 of 80 answers of the endpoint came from a cache, as their headers say" in found.words
    assert found.findings == ("now it answers as 'm', 'n' with system_fingerprint 'fp'",)


def test_fewer_logprobs_are_taken_and_said():
    few = record(Endpoint(most_logprobs=3), replace(PLAN, asking=replace(ASKING, top_logprobs=20)))  # type: ignore[arg-type]
    assert few.asking.top_logprobs == 0
    assert few.findings == ("it refuses logprobs (HTTP 400: no)",)
    five = record(Endpoint(most_logprobs=5), replace(PLAN, asking=replace(ASKING, top_logprobs=20)))  # type: ignore[arg-type]
    assert five.asking.top_logprobs == 5
    assert five.findings == ("it takes no more than 5 logprobs a token",)


def test_faults_of_a_recording_are_found_when_it_is_made():
    cached = record(Endpoint(change=at_zero), PLAN)  # type: ignore[arg-type]
    assert "answers the same at temperature 1 every time" in cached.findings[0]
    locked = record(Endpoint(change=at_one), PLAN)  # type: ignore[arg-type]
    assert "its temperature is locked" in locked.findings[0]
    found = compared(cached, Endpoint(change=at_zero))
    assert found.outcome == "inconclusive"


def test_sittings_are_added_to_a_recording_of_the_same_endpoint(recording):
    more = record(Endpoint(), PLAN, endpoint="https://host/v1", model="m", earlier=recording)  # type: ignore[arg-type]
    assert len(more.sittings) == 4
    assert more.sittings[:2] == recording.sittings
    samples = [[answer.text for answer in sitting.answers if answer.sampled] for sitting in more.sittings]
    assert len({tuple(texts) for texts in samples}) == 4
    assert compared(more, Endpoint(0.5)).outcome == "different"
    with pytest.raises(UsageError, match="is of m at https://host/v1, not of other at"):
        record(Endpoint(), PLAN, endpoint="https://host/v1", model="other", earlier=recording)  # type: ignore[arg-type]


def test_two_endpoints_are_asked_in_turn_in_random_order():
    sides = (Endpoint(), Endpoint())
    found = compare_endpoints(*sides, PLAN, endpoints=("https://a/v1", "https://b/v1"))  # type: ignore[arg-type]
    assert (found.outcome, found.missing) == ("consistent", ())
    assert (found.against, found.endpoint) == ("https://a/v1", "https://b/v1")
    assert len(sides[0].asked) == len(sides[1].asked)
    assert isinstance(found.channels[0].sittings_p_value, NotMeasured)
    other = compare_endpoints(Endpoint(), Endpoint(0.5), PLAN)  # type: ignore[arg-type]
    assert other.outcome == "different"
    assert other.answer_tokens < 400


def test_one_of_two_endpoints_that_fails_makes_it_inconclusive():
    found = compare_endpoints(Endpoint(), Endpoint(fails_from=9), PLAN)  # type: ignore[arg-type]
    assert found.outcome == "inconclusive"
    assert "the endpoint fails: HTTP 400" in found.words
    mute_one = compare_endpoints(Endpoint(), Endpoint(spoil=mute), PLAN)  # type: ignore[arg-type]
    assert mute_one.findings == ("the endpoint: it gives no logprobs",)


def test_a_benign_endpoint_is_rarely_called_different(recording):
    """At a level of 20 %, so that few audits show it; sampled answers alone can raise an alarm here."""
    plan = replace(PLAN, alpha=0.2)
    textual = without_logprobs(recording)
    alarms = sum(_alarm(textual, replace(plan, seed=seed)) for seed in range(25))
    assert alarms <= 8  # the half of alpha that sampled answers have: 2.5 expected at most


def _alarm(recording: Recording, plan: ClosedPlan) -> bool:
    comparison = Comparison(recording.asking, plan, ("a", "b"), recording=recording)
    order = probe_order(recording.asking, label=str(plan.seed))
    comparison.ask_one(Endpoint(), sampled_requests(recording.asking, order, label=str(plan.seed)), order)  # type: ignore[arg-type]
    return comparison.found


def test_over_http_a_recording_holds_no_key_and_serves_later(tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", "sk-very-secret-0123")
    file = tmp_path / "m.recording"
    small = replace(ASKING, probes=ASKING.probes[:8])
    with MockServer(key="sk-very-secret-0123") as server:
        url = server.url.replace("/v1", "/v1?token=sk-also-secret")
        with HttpGenerator(url, key_env="THE_KEY", workers=4) as engine:
            made = record(engine, ClosedPlan(asking=small), endpoint=url, model=engine.model)
            write_recording(made, file)
            assert "secret" not in file.read_text(encoding="utf-8")
            again = compare(engine, read_recording(file), ClosedPlan(alpha=0.1), endpoint=url)
    assert again.outcome in ("consistent", "inconclusive")  # eight questions are few
    assert "secret" not in json.dumps(again.endpoint)
    assert read_recording(file) == made


def test_requests_of_a_question_that_failed_leave_the_others(recording):
    def lossy(completion, request):
        return replace(completion, finish="error", error="filtered") if request.key == "greedy 3 0" else completion

    found = compared(recording, Endpoint(spoil=lossy))
    assert found.outcome == "consistent"
    assert [channel.n_probes for channel in found.channels] == [15, 15, 16]


def test_answers_are_kept_within_bounds():
    def huge(completion, request):
        token = TokenLogprob("x" * 10_000, -1.0, None, tuple(TokenLogprob(str(n), 5.0 - n) for n in range(500)))
        return replace(completion, text="y" * 10**6, logprobs=(token,) * 5000)

    sitter, endpoint = Sitter(Purse()), Endpoint(spoil=huge)
    sitter.ask(endpoint, greedy_requests(ASKING, [0]))  # type: ignore[arg-type]
    kept = sitter.answers[0]
    assert (len(kept.text), len(kept.places)) == (4000, 256)
    assert (len(kept.places[0].token), len(kept.places[0].top)) == (200, 20)
    assert all(logprob <= 0 for _, logprob in kept.places[0].top)
