"""Audits of endpoints that are faulty or hostile, over real HTTP: never a pass by default, and no key anywhere."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from bitproof.audit.audit import audit
from bitproof.audit.plan import AuditPlan
from bitproof.audit.profile import Profile
from bitproof.audit.results import AuditReport
from bitproof.audit.seeded import foretold, uniform_of
from bitproof.engines.generation import Completion, Request, TokenLogprob
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_client import Patience
from bitproof.engines.mock_faults import Faults
from bitproof.engines.mock_server import MockServer
from bitproof.errors import BitproofError, EnvironmentFailed, UsageError
from bitproof.report.audit_terminal import audit_parts
from bitproof.report.json_ import to_json

KEY = "sk-nobody/may+see=this"
TOP = 12
PATIENCE = Patience(backoff_s=0.001, attempts=3, timeout_s=5, limited_s=1)
Change = Callable[[dict[str, Any], dict[str, str]], None]


@dataclass
class Server:
    """Answers as a row of a profile would; greedy where the temperature says so, with the noise of an engine.

    `change` has the last word on each completion; `rows` are drawn from for each request. Counts what it is asked and
    what it has sent.
    """

    profile: Profile
    rows: Sequence[int] = (0,)
    change: Callable[[Completion, Request], Completion] = lambda completion, request: completion
    temperature: float | None = None  # where it is locked
    noise: float = 0.02
    foretold: bool = False  # draws as llama.cpp does
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    requests: list[Request] = field(default_factory=list)
    tokens: int = 0

    def __call__(self, request: Request) -> Completion:
        self.requests.append(request)
        probe = int((request.messages or ())[0].content.split()[1])
        row = int(self.random.choice(self.rows))
        kept = min(request.max_tokens, 4)
        tokens = [
            self.token(row, place, request) for place in np.flatnonzero(self.profile.probe_of_place == probe)[:kept]
        ]
        logprobs = tuple(replace(token, top=token.top[: request.top_logprobs]) for token in tokens)
        completion = Completion(
            key="",
            text="".join(token.text for token in tokens),
            finish="length",
            logprobs=logprobs if request.top_logprobs else None,
            prompt_tokens=10,
            answer_tokens=len(tokens),
        )
        completion = self.change(completion, request)
        self.tokens += 0 if completion.error else len(tokens)
        return completion

    def token(self, row: int, place: int, request: Request) -> TokenLogprob:
        logprobs = self.profile.logprobs[row, place].astype(float)
        logprobs = logprobs + self.random.normal(0, self.noise, len(logprobs))
        temperature = request.temperature if self.temperature is None else self.temperature
        order = np.argsort(-logprobs)
        chosen = order[0]
        if temperature > 0 and self.foretold:
            noisy, drawn = logprobs[None] / temperature, uniform_of(request.seed)
            chosen = foretold(noisy, np.zeros(1), drawn, np.zeros((1, len(logprobs))))[0].argmax()
        elif temperature > 0:
            scaled = logprobs / temperature
            chosen = self.random.choice(len(logprobs), p=np.exp(scaled - logsumexp(scaled)))
        top = tuple(self.one(place, column, logprobs) for column in order)
        return replace(self.one(place, chosen, logprobs), top=top)

    def one(self, place: int, column: int, logprobs: Any) -> TokenLogprob:
        token = int(self.profile.candidates[place, column])
        return TokenLogprob(self.profile.texts[token], float(logprobs[column]))


class Tampered(MockServer):
    """A mock server whose answers `tamper` changes on the wire: the JSON and the headers."""

    def __init__(self, answerer: Any, tamper: Change, **options: Any) -> None:
        super().__init__(answerer, **options)
        self.tamper = tamper

    @property
    def app(self) -> Any:
        inner = super().app

        async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
            sent: list[Any] = []

            async def keep(message: Any) -> None:
                sent.append(message)

            await inner(scope, receive, keep)
            record, headers = json.loads(b"".join(one.get("body", b"") for one in sent)), dict[str, str]()
            if scope["method"] == "POST":
                self.tamper(record, headers)
            body = json.dumps(record).encode()
            pairs = {"content-type": "application/json", "content-length": str(len(body)), **headers}
            encoded = [(name.encode(), value.encode()) for name, value in pairs.items()]
            await send({**sent[0], "headers": encoded})
            await send({"type": "http.response.body", "body": body})

        return app


def audited(url: str, profile: Profile, *, patience: Patience = PATIENCE, **plan: Any) -> AuditReport:
    """An audit with a key, which is nowhere in what it gives or raises."""
    try:
        with HttpGenerator(url, model="mock", key_env="SOME_KEY", workers=1, patience=patience) as engine:
            found = audit(engine, profile, AuditPlan(**{"top": TOP, **plan}), endpoint=url, model=engine.model)
    except BitproofError as error:
        if KEY in f"{error} {error!r}":
            pytest.fail("an error shows the key")
        raise
    assert KEY not in f"{to_json(found)} {found!r} {engine!r} {engine.heard!r}"
    assert audit_parts(found)
    return found


@pytest.fixture(autouse=True)
def _nothing_of_the_key_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    monkeypatch.setenv("SOME_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text


@pytest.fixture(scope="module")
def whole(profile: Profile) -> Profile:
    """The made-up profile with candidates that hold all but a millionth of every distribution."""
    total = logsumexp(profile.logprobs, axis=-1, keepdims=True)
    return replace(profile, logprobs=(profile.logprobs - total + np.log1p(-1e-6)).astype(np.float32))


def test_without_faults_the_reference_is_consistent_and_a_variant_is_named(profile: Profile) -> None:
    for name, outcome in (("reference", "consistent"), ("w4", "inconsistent")):
        with MockServer(Server(profile, profile.of(name)), key=KEY) as server:
            found = audited(server.url, profile)
        assert (found.outcome, found.closest, found.missing) == (outcome, (name,), ())
        assert found.findings == ("it gives no logprobs of prompts",)
        assert set(found.how) == {"answers as", "rates"}
        assert found.how["answers as"] == "mock"
        assert found.how["rates"].startswith("False alarms on engines held out of the calibration: ")


# What logprobs there are.


def rounded(step: float) -> Callable[[Completion, Request], Completion]:
    def change(completion: Completion, request: Request) -> Completion:
        def one(token: TokenLogprob) -> TokenLogprob:
            top = tuple(map(one, token.top))
            return replace(token, logprob=round(token.logprob / step) * step, top=top)

        return replace(completion, logprobs=tuple(map(one, completion.logprobs or ())) or None)

    return change


def saying(logprob: float) -> Callable[[Completion, Request], Completion]:
    return lambda completion, request: replace(
        completion,
        logprobs=tuple(
            replace(token, logprob=logprob, top=tuple(replace(one, logprob=logprob) for one in token.top))
            for token in completion.logprobs or ()
        ),
    )


def short(completion: Completion, request: Request) -> Completion:
    """One token of each answer, so that an audit takes several."""
    if not completion.logprobs:
        return completion
    return replace(completion, text=completion.logprobs[0].text, logprobs=completion.logprobs[:1], answer_tokens=1)


def no_logprobs(completion: Completion, request: Request) -> Completion:
    return replace(completion, logprobs=None)


def at_most(limit: int) -> Callable[[Completion, Request], Completion]:
    def change(completion: Completion, request: Request) -> Completion:
        if request.top_logprobs <= limit:
            return completion
        return Completion(key="", finish="error", error=f"top_logprobs must be at most {limit}")

    return change


def fewer(completion: Completion, request: Request) -> Completion:
    return replace(completion, logprobs=tuple(replace(token, top=token.top[:4]) for token in completion.logprobs or ()))


def other_names(completion: Completion, request: Request) -> Completion:
    def one(token: TokenLogprob) -> TokenLogprob:
        return replace(token, text=f"\u0120{token.text.strip()}", top=tuple(map(one, token.top)))

    return replace(completion, logprobs=tuple(map(one, completion.logprobs or ())))


@pytest.mark.parametrize("name", ["reference", "w4"])
@pytest.mark.parametrize(
    ("change", "test", "top", "finding"),
    [
        (fewer, "top-logprobs", 4, "it gives 4 logprobs a token where 12 were asked for"),
        (at_most(5), "top-logprobs", 5, "it refuses 12 logprobs a token (HTTP 400: top_logprobs must be at most 5)"),
        (at_most(0), "text", 0, "it refuses 12 logprobs a token (HTTP 400: top_logprobs must be at most 0)"),
        (rounded(0.01), "top-logprobs", 12, "its logprobs are rounded to steps of 0.01 nats"),
        (rounded(0.1), "text", 0, "rounded to steps of 0.1 nats, and benign engines differ by 0.0"),
        (no_logprobs, "text", 0, "it gives no logprobs; its text was read instead"),
        (saying(-9999.0), "text", 0, "none of its logprobs is one: they are not finite"),
        (saying(0.0), "text", 0, "none of its logprobs is one: all of them are 0"),
        (other_names, "text", 0, "its tokens are none that the reference would say"),
    ],
)
def test_the_best_test_that_its_logprobs_allow(
    profile: Profile, name: str, change: Any, test: str, top: int, finding: str
) -> None:
    with MockServer(Server(profile, profile.of(name), change), key=KEY) as server:
        found = audited(server.url, profile)
    assert (found.test, found.top_logprobs) == (test, top)
    assert finding in "; ".join(found.findings)
    if name == "reference":
        assert found.outcome != "inconsistent"
    else:
        assert (found.outcome, found.closest) == ("inconsistent", ("w4",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (at_most(0), "it gives no logprobs"),
        (rounded(0.1), "they show the rounding"),
        (no_logprobs, "it gives no logprobs"),
        (saying(-9999.0), "placeholders"),
        (saying(-1.0), "all of them are -1"),
        (other_names, "another tokenizer, or other names"),
    ],
)
@pytest.mark.parametrize("test", ["top-logprobs", "logprob"])
def test_a_test_that_was_asked_for_and_cannot_be_made_is_inconclusive(
    profile: Profile, change: Any, words: str, test: str
) -> None:
    answers = Server(profile, (0,), change)
    with MockServer(answers, key=KEY) as server:
        found = audited(server.url, profile, test=test)
    assert (found.outcome, found.closest) == ("inconclusive", ())
    assert words in found.words
    assert len(answers.requests) <= 10


def test_what_refuses_every_form_is_not_said_to_refuse_logprobs(profile: Profile) -> None:
    def never(completion: Completion, request: Request) -> Completion:
        return Completion(key="", finish="error", error="messages: too few")

    answers = Server(profile, (0,), never)
    with MockServer(answers, key=KEY) as server:
        found = audited(server.url, profile)
    assert found.missing == ("the endpoint fails: HTTP 400: messages: too few",)
    assert found.findings == ("3 of 3 questions were not answered",)
    assert [one.top_logprobs for one in answers.requests] == [0] + [12, 8, 5, 1, 0] * 3


# Temperature, caches and more than one variant.


def refusing_cold(completion: Completion, request: Request) -> Completion:
    if request.temperature == 0:
        return Completion(key="", finish="error", error="Unsupported value: 'temperature' does not support 0 here.")
    return completion


def test_where_temperature_0_is_refused_first_tokens_are_sampled(whole: Profile) -> None:
    answers = Server(whole, whole.of("w4"), refusing_cold)
    with MockServer(answers, key=KEY) as server:
        found = audited(server.url, whole)
        assert (found.test, found.outcome) == ("sampled", "inconsistent")
        assert "it refuses temperature 0 (HTTP 400: Unsupported value" in found.findings[0]
        assert {one.max_tokens for one in answers.requests if one.temperature == 1} == {1}
        asked = audited(server.url, whole, test="text")
    assert asked.outcome == "inconclusive"
    assert "it refuses temperature 0" in asked.words


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_a_locked_temperature_accuses_nobody(whole: Profile, temperature: float) -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        with MockServer(Server(whole, (0,), no_logprobs, temperature=temperature, random=random), key=KEY) as server:
            found = audited(server.url, whole, test="text", seed=seed)
            assert found.outcome == "inconclusive"
            assert "asked again at temperature 0 were answered differently" in found.words
            assert found.answer_tokens < 200
            if seed == 0:
                found = audited(server.url, whole, seed=seed, max_tokens=600)
                assert (found.test, found.outcome) == ("sampled", "inconclusive")
                assert "text at temperature 1 was read instead" in "; ".join(found.findings)


@pytest.mark.parametrize(("name", "outcome"), [("reference", "consistent"), ("w4", "inconsistent")])
def test_what_llamacpp_draws_is_foretold(whole: Profile, name: str, outcome: str) -> None:
    with MockServer(Server(whole, whole.of(name), no_logprobs, foretold=True), key=KEY) as server:
        found = audited(server.url, whole, test="seeded")
    assert (found.test, found.outcome, found.missing) == ("seeded", outcome, ())
    assert found.answer_tokens < 200


@pytest.mark.parametrize("as_said", [True, False])
def test_where_llamacpp_refuses_temperature_0_its_numbers_are_used_if_they_are_its_seeds(
    whole: Profile, as_said: bool
) -> None:
    with (
        MockServer(Server(whole, (0,), refusing_cold, foretold=as_said), key=KEY) as server,
        HttpGenerator(server.url, model="mock", key_env="SOME_KEY", dialect="llamacpp", patience=PATIENCE) as engine,
    ):
        found = audit(engine, whole, AuditPlan(top=TOP, max_tokens=300))
    assert found.test == ("seeded" if as_said else "sampled")
    assert found.outcome == ("consistent" if as_said else "inconclusive")
    assert any("cannot be foretold from its seeds" in one for one in found.findings) is not as_said


@pytest.mark.parametrize("temperature", [0.7, None])
def test_what_cannot_be_foretold_accuses_nobody(whole: Profile, temperature: float | None) -> None:
    """A locked temperature with the numbers of the seeds; numbers of the server's own."""
    answers = Server(whole, (0,), no_logprobs, temperature=temperature, foretold=temperature is not None)
    with MockServer(answers, key=KEY) as server:
        found = audited(server.url, whole, test="seeded")
    assert found.outcome == "inconclusive"
    assert "cannot be foretold from its seeds" in found.words


def test_samples_from_a_cache_are_no_samples(whole: Profile) -> None:
    kept: dict[str, Completion] = {}

    def cached(completion: Completion, request: Request) -> Completion:
        return kept.setdefault((request.messages or ())[-1].content, completion)

    for name in ("reference", "w8"):
        kept.clear()
        with MockServer(Server(whole, whole.of(name)[:1], cached), key=KEY) as server:
            found = audited(server.url, whole, test="sampled")
        assert found.outcome == "inconclusive"
        assert "from a cache, or its temperature is locked" in found.words
        assert found.answer_tokens < 60


def test_answers_that_their_headers_say_are_cached(profile: Profile) -> None:
    def hit(record: dict[str, Any], headers: dict[str, str]) -> None:
        headers["x-cache"] = "HIT from edge"

    with Tampered(Server(profile), hit, key=KEY) as server:
        found = audited(server.url, profile)
    assert found.outcome == "inconclusive"
    assert re.search(r"(\d+) of \1 answers came from a cache", found.words)


def test_a_provider_that_answers_from_two_variants(profile: Profile) -> None:
    """Half of the requests go to a 4-bit variant."""
    rows = (profile.of("reference")[0], profile.of("w4")[0])

    seen = []
    for seed in range(8):
        answers = Server(profile, rows, no_logprobs, random=np.random.default_rng(seed), noise=0)
        with MockServer(answers, key=KEY) as server:
            found = audited(server.url, profile, seed=seed, max_tokens=200, test="text")
        assert found.outcome != "consistent"
        seen.append("more than one variant" in found.words)
    assert sum(seen) >= 5


def test_logprobs_that_differ_when_they_come_again_are_said(profile: Profile) -> None:
    with MockServer(Server(profile, (0,), noise=2.5), key=KEY) as server:
        found = audited(server.url, profile)
    assert (found.outcome, found.closest) == ("inconsistent", ())
    assert "came with other logprobs when it was asked again" in "; ".join(found.findings)


# Answers: refused, empty, too long, uncounted.


def test_questions_that_a_filter_refuses(profile: Profile) -> None:
    with MockServer(Server(profile), faults=Faults(filtered=1), key=KEY) as server:
        found = audited(server.url, profile)
    assert (found.outcome, found.missing) == ("inconclusive", ("its filter refuses the questions",))
    assert found.n_probes <= 5

    def some(completion: Completion, request: Request) -> Completion:
        if int((request.messages or ())[-1].content.split()[1]) % 3:
            return short(completion, request)
        return Completion(key="", finish="error", error="The prompt triggered our content management policy")

    with MockServer(Server(profile, (0,), some), key=KEY) as server:
        found = audited(server.url, profile)
    assert found.outcome == "consistent"
    assert re.fullmatch(r"[1-9]\d* of \d+ questions were refused by a filter", found.findings[0])


def test_answers_that_are_empty(profile: Profile) -> None:
    def nothing(completion: Completion, request: Request) -> Completion:
        return replace(completion, text="", logprobs=None, answer_tokens=1, finish="stop")

    for test in (None, "top-logprobs", "text", "sampled"):
        with MockServer(Server(profile, (0,), nothing), key=KEY) as server:
            found = audited(server.url, profile, test=test)
        assert found.outcome == "inconclusive"
        empty = "none of its answers begins" if test == "sampled" else "all of its answers are empty"
        assert empty in found.words
        assert found.n_probes <= 10


def test_a_different_tokenizer_or_prompt(profile: Profile) -> None:
    def longer(completion: Completion, request: Request) -> Completion:
        return replace(completion, prompt_tokens=17)

    with MockServer(Server(profile, profile.of("w4"), longer), key=KEY) as server:
        found = audited(server.url, profile)
    assert found.outcome == "inconclusive"
    assert "counts 17 prompt tokens where the reference's template makes 10" in found.words


@pytest.mark.parametrize("budget", [5, 30, 60])
@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": 0}, {"completion_tokens": -50}, "lies"])
@pytest.mark.parametrize("logprobs", [True, False])
def test_a_budget_holds_whatever_the_endpoint_counts(profile: Profile, budget: int, usage: Any, logprobs: bool) -> None:
    def count(record: dict[str, Any], headers: dict[str, str]) -> None:
        record.pop("usage", None)
        if usage is not None:
            record["usage"] = {"completion_tokens": 1} if usage == "lies" else usage

    answers = Server(profile, (0,), noise=0.3) if logprobs else Server(profile, (0,), no_logprobs)
    with Tampered(answers, count, key=KEY) as server:
        found = audited(server.url, profile, max_tokens=budget, test=None if logprobs else "text")
    assert answers.tokens <= budget
    assert answers.tokens <= found.answer_tokens <= budget


def test_answers_longer_than_asked_for_end_it_soon(profile: Profile) -> None:
    def long(completion: Completion, request: Request) -> Completion:
        return replace(completion, answer_tokens=50, text=completion.text + " and" * 46)

    answers = Server(profile, profile.of("w8a8"), long)
    with MockServer(answers, key=KEY) as server:
        found = audited(server.url, profile, max_tokens=120, test="text")
    assert (len(answers.requests), found.answer_tokens) == (2, 100)
    assert "it counts more tokens than it was asked for: 50 where 4 were" in found.findings


def test_a_count_beyond_all_measure_ends_it(profile: Profile) -> None:
    def mad(record: dict[str, Any], headers: dict[str, str]) -> None:
        record["usage"] = {"completion_tokens": 10**11}

    answers = Server(profile, (0,), no_logprobs)
    with Tampered(answers, mad, key=KEY) as server:
        found = audited(server.url, profile)
    assert (found.outcome, len(answers.requests)) == ("inconclusive", 1)
    assert "one question takes more than the budget of 2000 answer tokens" in found.words
    with Tampered(answers, mad, key=KEY) as server:
        found = audited(server.url, profile, test="top-logprobs")
    assert (found.outcome, len(answers.requests)) == ("inconclusive", 2)
    assert "it counts more tokens than it was asked for: 100,000,000,000 where 1 were" in found.findings


def test_answers_that_cannot_be_read_are_paid_for(profile: Profile) -> None:
    answers = Server(profile)
    with MockServer(answers, faults=Faults(malformed=0.6), key=KEY) as server:
        found = audited(server.url, profile, test="text", max_tokens=40, alpha=1e-9)
    assert answers.tokens == found.answer_tokens <= 40


def test_a_budget_that_no_question_fits_in_is_said(profile: Profile) -> None:
    with MockServer(Server(profile), key=KEY) as server:
        found = audited(server.url, profile, max_tokens=2, test="text")
    assert found.words == "Inconclusive: one question takes more than the budget of 2 answer tokens."


# What it says of itself.


def test_what_an_endpoint_says_of_itself_is_recorded(profile: Profile) -> None:
    names = iter(range(10**6))

    def say(record: dict[str, Any], headers: dict[str, str]) -> None:
        record["model"], record["system_fingerprint"] = "mock-2024-08-06", f"fp_{next(names)}"
        record["usage"]["prompt_tokens_details"] = {"cached_tokens": 3}

    with Tampered(Server(profile, (0,), short), say, key=KEY) as server:
        found = audited(f"{server.url}?api_key={KEY}", profile)
    assert found.outcome == "consistent"
    assert found.how["answers as"] == "mock-2024-08-06"
    assert found.how["system_fingerprint"].startswith("fp_0")
    words = "; ".join(found.findings)
    assert "it answers as 'mock-2024-08-06' where 'mock' was asked for" in words
    assert "its system_fingerprint changed: 'fp_0', 'fp_1'" in words
    assert "prompt tokens came from a prefix cache" in words


@pytest.mark.parametrize("stage", ["text", "model", "error"])
def test_a_key_that_is_sent_back_is_in_no_report(profile: Profile, stage: str) -> None:
    def echo(record: dict[str, Any], headers: dict[str, str]) -> None:
        if stage == "text":
            record["choices"][0]["message"]["content"] += f" Bearer {KEY}"
        elif stage == "model":
            record |= {"model": KEY, "system_fingerprint": KEY}
        else:
            record.clear()
            record["error"] = {"message": f"who is {KEY}?", "code": 400}

    with Tampered(Server(profile), echo, key=KEY) as server:
        found = audited(server.url, profile, max_tokens=100)
    assert "***" in to_json(found)
    assert (found.outcome == "inconclusive") == (stage == "error")


def test_a_wrong_key_is_an_error_that_names_the_variable(profile: Profile) -> None:
    refused = pytest.raises(UsageError, match=r"refuses the key.*variable SOME_KEY")
    with MockServer(Server(profile), key="another") as server, refused:
        audited(server.url, profile)


# Endpoints that fail.


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (
            Faults(rate_limited=1, retry_after_s=3600),
            "HTTP 429: Rate limit reached (it asks to wait 3600 s): try again",
        ),
        (Faults(rate_limited=1, retry_after_s=0.4), "HTTP 429: Rate limit reached: try again later"),
        (Faults(server_error=1), "HTTP 500: The server had an error while processing your request: try again later"),
        (Faults(cut=1), "the connection was cut"),
        (Faults(malformed=1), "not JSON"),
    ],
)
def test_an_endpoint_that_only_fails_is_inconclusive_soon(profile: Profile, faults: Faults, words: str) -> None:
    began = monotonic()
    answers = Server(profile)
    with MockServer(answers, faults=faults, key=KEY) as server:
        found = audited(server.url, profile)
    assert found.outcome == "inconclusive"
    assert "the endpoint fails: " in found.words
    assert words in found.words
    assert found.n_probes <= 3
    assert found.answer_tokens == sum(one.max_tokens for one in answers.requests)  # of what was lost on its way, too
    assert monotonic() - began < 20


def test_waiting_in_vain_ends_it_before_three_questions_have(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitproof.audit.conversation.MOST_WAIT_S", 0.5)
    with MockServer(Server(profile), faults=Faults(rate_limited=1, retry_after_s=0.2), key=KEY) as server:
        found = audited(server.url, profile)
    assert found.n_probes == 1
    assert "try again later" in found.words


def test_passing_faults_do_not_change_the_verdict(profile: Profile) -> None:
    faults = Faults(rate_limited=0.15, server_error=0.15, cut=0.15, malformed=0.15, retry_after_s=0.01)
    with MockServer(Server(profile), faults=faults, key=KEY, seed=3) as server:
        found = audited(server.url, profile, patience=replace(PATIENCE, attempts=8), max_tokens=200)
    assert (found.outcome, found.closest) == ("consistent", ("reference",))
    assert any("had to be made again" in finding for finding in found.findings)


@contextmanager
def raw(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that lists no models and answers every question by `respond`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            respond(self)

        def log_message(self, *details: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *details: object) -> None:
            pass  # a client that stops in the middle

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def head(handler: BaseHTTPRequestHandler, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content-type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def endless(handler: BaseHTTPRequestHandler) -> None:
    head(handler)
    while True:
        handler.wfile.write(b" " * 65536)


def events(handler: BaseHTTPRequestHandler) -> None:
    head(handler, content_type="text/event-stream")
    while True:
        handler.wfile.write(b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n' * 1000)


def gigabyte(handler: BaseHTTPRequestHandler) -> None:
    head(handler, content_length=str(1 << 30))
    for _ in range(1 << 14):
        handler.wfile.write(b"[" * 65536)


def elsewhere(handler: BaseHTTPRequestHandler) -> None:
    head(handler, 307, location=f"http://127.0.0.1:9/v1?key={KEY}", content_length="0")


def trickle(handler: BaseHTTPRequestHandler) -> None:
    head(handler)
    stop = threading.Event()
    for _ in range(1000):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        stop.wait(0.05)


def other_types(handler: BaseHTTPRequestHandler) -> None:
    head(handler)
    handler.wfile.write(b'{"choices": {"0": []}, "usage": "many"}')


@pytest.mark.parametrize(
    ("respond", "words"),
    [
        (endless, "longer than 1 MiB"),
        (events, "longer than 1 MiB"),
        (gigabyte, "longer than 1 MiB"),
        (trickle, "no answer within"),
        (other_types, "not of the known form"),
    ],
)
def test_hostile_servers_are_inconclusive_soon(
    profile: Profile, respond: Callable[[BaseHTTPRequestHandler], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitproof.engines.http_response.MOST_BYTES", 1 << 20)
    began = monotonic()
    with raw(respond) as url:
        found = audited(url, profile, patience=replace(PATIENCE, timeout_s=2 if respond is trickle else 10))
    assert found.outcome == "inconclusive"
    assert words in found.words
    assert monotonic() - began < 15


def test_redirects_are_not_followed(profile: Profile) -> None:
    with raw(elsewhere) as url, pytest.raises(UsageError, match=r"redirects to http://127.0.0.1:9/v1$"):
        audited(url, profile)


def test_nobody_there_is_an_error_and_no_verdict(profile: Profile) -> None:
    with pytest.raises(EnvironmentFailed, match="nothing answers there"):
        audited("http://127.0.0.1:9/v1", profile)


@pytest.mark.parametrize("death", ["refuses the key", "stops", "fails"])
def test_an_endpoint_that_dies_in_the_middle_is_inconclusive_with_what_was_read(profile: Profile, death: str) -> None:
    answers = Server(profile)
    server = MockServer(answers, key=KEY)

    def die(completion: Completion, request: Request) -> Completion:
        if len(answers.requests) < 4:
            return short(completion, request)
        if death == "refuses the key":
            server._key = "another"
        elif death == "stops":
            server.stop()
        return Completion(key="", finish="error", error="out of memory", again=True)

    answers.change = die
    with server:
        found = audited(server.url, profile)
    words = {
        "refuses the key": "has failed: it refuses the key",
        "stops": "fails: ",
        "fails": "fails: HTTP 500: out of",
    }
    assert found.outcome == "inconclusive"
    assert words[death] in found.words
    assert "2 tokens could be read" in found.words
    assert [answer.n_read for answer in found.answers[:2]] == [1, 1]
    assert found.residuals
    assert found.closest == ()


def test_an_interrupt_ends_it_and_leaves_nothing_running(profile: Profile) -> None:
    before = threading.active_count()

    def interrupt(done: float, total: float, what: str) -> None:
        raise KeyboardInterrupt

    with MockServer(Server(profile), key=KEY) as server:
        engine = HttpGenerator(server.url, key_env="SOME_KEY", patience=PATIENCE)
        with pytest.raises(KeyboardInterrupt), engine:
            audit(engine, profile, AuditPlan(top=TOP), progress=interrupt)
        assert engine.client._connections is None
    assert threading.active_count() == before
