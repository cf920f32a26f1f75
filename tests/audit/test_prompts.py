"""Audits by the logprobs of prompts: over HTTP in vLLM's dialect, and endpoints that give something else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from bitproof.audit.audit import audit
from bitproof.audit.observe import Reader
from bitproof.audit.plan import AuditPlan
from bitproof.audit.profile import Profile
from bitproof.audit.prompts import as_answer, begun, prompt_fault, prompt_requests
from bitproof.audit.results import AuditReport
from bitproof.engines.generation import Completion, Request, TokenLogprob
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_client import Patience
from bitproof.engines.mock_faults import Faults
from bitproof.engines.mock_server import MockServer

TOP, QUESTION = 12, 10  # alternatives; tokens of a question in the made-up template
PATIENCE = Patience(backoff_s=0.001, attempts=3, timeout_s=5, limited_s=1)
Change = Callable[[Completion], Completion]


@dataclass
class Served:
    """Answers as a row of a profile would, which is drawn from `rows` for each request; the prompt's logprobs too.

    `change` has the last word on completions with those.
    """

    profile: Profile
    rows: Sequence[int] = (0,)
    change: Change = lambda completion: completion
    question: int = QUESTION
    noise: float = 0.02
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Completion:
        self.requests.append(request)
        asked, *given = request.messages or ()
        places = np.flatnonzero(self.profile.probe_of_place == int(asked.content.split()[1]))
        row = int(self.random.choice(self.rows))
        if not request.prompt_logprobs:
            tokens = [self.token(row, place) for place in places[: request.max_tokens]]
            listed = tuple(replace(one, top=one.top[: request.top_logprobs]) for one in tokens)
            return Completion(
                key="",
                text="".join(one.text for one in tokens),
                finish="length",
                logprobs=listed if request.top_logprobs else None,
                prompt_tokens=self.question,
                answer_tokens=len(tokens),
            )
        path = [self.token(row, place, given=True) for place in places]
        assert given[0].content == "".join(one.text for one in path)
        head = [None, *[TokenLogprob("?", -1.5, 499, (TokenLogprob("?", -1.5, 499),))] * (self.question - 1)]
        prompt = (*head, *(replace(one, top=one.top[: request.prompt_logprobs]) for one in path))
        return self.change(
            Completion(
                key="",
                text=" next",
                finish="length",
                prompt_logprobs=prompt,
                prompt_tokens=len(prompt),
                answer_tokens=1,
            )
        )

    def token(self, row: int, place: int, *, given: bool = False) -> TokenLogprob:
        logprobs = self.profile.logprobs[row, place] + self.random.normal(0, self.noise, 24)
        ids = self.profile.candidates[place].tolist()
        one = [TokenLogprob(self.profile.texts[id_], float(x), id_) for id_, x in zip(ids, logprobs, strict=True)]
        order = np.argsort(-logprobs)
        chosen = self.profile.path_columns[place] if given else order[0]
        return replace(one[chosen], top=tuple(one[column] for column in order))


def audited(served: Any, *, owner: str = "vllm", faults: Faults | None = None, **plan: Any) -> AuditReport:
    with (
        MockServer(served, owner=owner, faults=faults) as server,
        HttpGenerator(server.url, workers=1, patience=PATIENCE) as engine,
    ):
        return audit(engine, served.profile, AuditPlan(**{"top": TOP, **plan}))


def each(change: Callable[[TokenLogprob], TokenLogprob | None]) -> Change:
    """Changes every token of the path."""

    def changed(completion: Completion) -> Completion:
        listed = completion.prompt_logprobs or ()
        path = tuple(one and change(one) for one in listed[QUESTION:])
        return replace(completion, prompt_logprobs=(*listed[:QUESTION], *path))

    return changed


def saying(logprob: float) -> Change:
    return each(lambda one: replace(one, logprob=logprob, top=tuple(replace(top, logprob=logprob) for top in one.top)))


def shifted(completion: Completion) -> Completion:
    """The path's tokens are other ones, as of another tokenizer."""
    return each(lambda one: replace(one, id=(one.id or 0) + 1))(completion)


def shorter(completion: Completion) -> Completion:
    return replace(completion, prompt_logprobs=(completion.prompt_logprobs or ())[-2:], prompt_tokens=0)


def refused(completion: Completion) -> Completion:
    return Completion(key="", finish="error", error="prompt_logprobs is not supported")


def none(completion: Completion) -> Completion:
    return replace(completion, prompt_logprobs=None)


@pytest.mark.parametrize("owner", ["vllm", "someone"])
@pytest.mark.parametrize(
    ("name", "outcome", "most"), [("reference", "consistent", 20), ("w8", "inconsistent", 5), ("w4", "inconsistent", 5)]
)
def test_a_served_model_is_told_by_one_token_a_question(profile, name, outcome, most, owner):
    served = Served(profile, profile.of(name))
    found = audited(served, owner=owner)
    assert (found.test, found.outcome, found.closest) == ("prompt-logprobs", outcome, (name,))
    assert found.answer_tokens == found.n_probes == len(served.requests) <= most
    assert {one.max_tokens for one in served.requests} == {1}
    assert found.n_places == 4 * found.n_probes
    assert found.prompt_tokens == (QUESTION + 4) * found.n_probes
    assert (found.top_logprobs, found.findings, found.missing) == (TOP, (), ())
    assert found.answers[0].text == found.answers[0].reference + " next"
    assert found.answers[0].n_read == 4


def test_a_benign_endpoint_is_rarely_accused(profile):
    outcomes = []
    for seed in range(60):
        served = Served(profile, (0,), noise=0.03, random=np.random.default_rng(seed))

        class Engine:
            dialect = "vllm"

            def generate(self, requests: Any, on_completion: Any, served: Served = served) -> None:
                for request in requests:
                    on_completion(replace(served(request), key=request.key))

        found = audit(Engine(), profile, AuditPlan(top=TOP, seed=seed))  # type: ignore[arg-type]
        assert found.test == "prompt-logprobs"
        outcomes.append(found.outcome)
    assert outcomes.count("inconsistent") <= 1
    assert outcomes.count("consistent") >= 57


def test_a_verdict_of_consistent_takes_requests_and_not_places(profile):
    found = audited(Served(profile), max_tokens=16)
    assert (found.outcome, found.n_places) == ("inconclusive", 64)


def test_a_part_of_traffic_that_a_variant_answers_is_not_consistent(profile):
    for seed in range(5):
        rows = (0, 0, 0, profile.of("w4")[0])
        found = audited(Served(profile, rows, random=np.random.default_rng(seed)), seed=seed)
        assert found.outcome == "inconsistent"


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (none, "it gives no logprobs of prompts"),
        (refused, "it refuses logprobs of prompts (HTTP 400: prompt_logprobs is not supported)"),
        (shifted, "its logprobs of a prompt are not of the reference's tokens: another tokenizer or template"),
        (shorter, "its logprobs of a prompt are not of the reference's tokens: another tokenizer or template"),
        (each(lambda one: None), "its logprobs of a prompt are not of the reference's tokens"),
        (each(lambda one: replace(one, top=())), "its logprobs of prompts come without alternatives"),
        (saying(-9999.0), "of a prompt, none of its logprobs is one: they are not finite"),
        (saying(0.0), "of a prompt, none of its logprobs is one: all of them are 0"),
        (saying(-math.inf), "of a prompt, none of its logprobs is one: they are not finite"),
        (saying(math.nan), "of a prompt, none of its logprobs is one: they are not finite"),
        (lambda one: replace(one, prompt_tokens=20), "it counts 16 prompt tokens before an answer that is begun"),
    ],
)
def test_the_next_best_test_is_taken_after_one_request(profile, change, finding):
    served = Served(profile, profile.of("w4"), change)
    found = audited(served)
    assert (found.test, found.outcome, found.closest) == ("top-logprobs", "inconsistent", ("w4",))
    assert [one.prompt_logprobs for one in served.requests] == [TOP] + [0] * (len(served.requests) - 1)
    assert found.findings[0].startswith(finding)
    assert found.answer_tokens == sum(one.max_tokens for one in served.requests) - (change is refused)
    asked = audited(Served(profile, profile.of("w4"), change), test="prompt-logprobs")
    assert (asked.outcome, asked.answer_tokens) == ("inconclusive", int(change is not refused))
    assert finding in asked.words


def test_logprobs_that_are_words_cost_a_question_and_no_verdict(profile):
    found = audited(Served(profile, profile.of("w4"), saying("likely")))  # type: ignore[arg-type]
    assert (found.test, found.outcome) == ("top-logprobs", "inconsistent")
    assert f"1 of {found.n_probes} questions were not answered" in found.findings


def test_a_server_that_is_known_to_ignore_it_is_not_asked(profile):
    served = Served(profile)
    found = audited(served, owner="llamacpp", max_tokens=5)
    assert found.test == "top-logprobs"
    assert not any(one.prompt_logprobs for one in served.requests)


@pytest.mark.parametrize("test", ["top-logprobs", "logprob", "text"])
def test_another_test_that_was_asked_for_is_not_preceded_by_it(profile, test):
    served = Served(profile)
    audited(served, test=test, max_tokens=8)
    assert not any(one.prompt_logprobs for one in served.requests)


def test_answers_that_come_without_later_are_left_out_and_said(profile):
    later: list[int] = []

    def sometimes(completion: Completion) -> Completion:
        later.append(1)
        return none(completion) if len(later) % 3 == 0 else completion

    found = audited(Served(profile, (0,), sometimes))
    assert (found.test, found.outcome) == ("prompt-logprobs", "consistent")
    assert "answers came without logprobs of the prompt, or of other tokens: left out" in "; ".join(found.findings)
    assert {answer.n_read for answer in found.answers} == {0, 4}


def test_passing_faults_do_not_change_the_verdict(profile):
    faults = Faults(server_error=0.1, cut=0.1, malformed=0.1)
    found = audited(Served(profile), faults=faults, max_tokens=120)
    assert (found.test, found.outcome) == ("prompt-logprobs", "consistent")


@pytest.mark.parametrize("test", [None, "prompt-logprobs"])
def test_an_endpoint_that_only_fails_is_given_up_soon(profile, test):
    served = Served(profile)
    found = audited(served, faults=Faults(server_error=1), test=test)
    assert found.outcome == "inconclusive"
    assert "the endpoint fails: HTTP 500" in found.words
    assert found.n_probes == 3


def test_noise_is_metered_where_an_answer_would_have_ended(profile):
    found = audited(Served(profile, (0,), noise=3.0))
    assert found.outcome == "inconsistent"
    assert found.meter is not None
    assert found.meter.n_tokens < found.n_places
    assert found.meter.noise_nats > 0.5
    steady = audited(Served(profile))
    assert steady.meter is not None
    assert steady.meter.n_tokens > 0.75 * steady.n_places


# What is asked, and what is read.


def test_a_path_is_given_up_to_what_no_text_can_hold(profile):
    path = profile.path[0].tolist()
    assert begun(profile, 0) == tuple(path)
    assert begun(replace(profile, end_tokens=(path[2],)), 0) == tuple(path[:2])
    half = replace(profile, texts={**profile.texts, path[1]: "\N{REPLACEMENT CHARACTER}"})
    assert begun(half, 0) == tuple(path[:1])
    ends = replace(profile, end_tokens=(path[0],))
    assert [one.key for one in prompt_requests(ends, [0, 1], top=5)] == ["1.prompt"]


def test_long_paths_are_asked_first(profile):
    path = profile.path.copy()
    path[3, 1:] = -1
    asked = prompt_requests(replace(profile, path=path), [3, 5, 1], top=5)
    assert [one.key for one in asked] == ["5.prompt", "1.prompt", "3.prompt"]
    first = asked[0]
    assert [one.role for one in first.messages or ()] == ["user", "assistant"]
    assert (first.max_tokens, first.prompt_logprobs, first.top_logprobs, first.continue_final) == (1, 5, 0, True)


def test_every_place_is_read_with_the_token_that_would_have_been_answered(profile):
    path, rows = begun(profile, 2), np.flatnonzero(profile.probe_of_place == 2)
    other = int(profile.candidates[rows[1], 3])
    strange = TokenLogprob("?", -0.1, 10**9)
    tops = [TokenLogprob("", -1.0, path[0]), TokenLogprob("", -0.5, other), strange, TokenLogprob("", -2.0, path[3])]
    prompt = tuple(TokenLogprob("", -3.0, id_, (top,)) for id_, top in zip(path, tops, strict=True))
    seen = as_answer(profile, Completion(key="2.prompt", text=" x", prompt_logprobs=(None, *prompt)))
    readings = Reader(profile).read(seen)
    assert [one.row for one in readings] == rows.tolist()
    own = profile.path_columns[rows].tolist()
    assert [one.column for one in readings] == [own[0], 3, 24, own[3]]
    assert [one.said for one in readings] == [((own[0], -1.0),), ((3, -0.5),), (), ((own[3], -2.0),)]
    assert (seen.prompt_tokens, seen.logprobs) == (5, prompt)


@pytest.mark.parametrize("known", [True, False])
def test_tokens_are_matched_by_id_or_else_by_text(profile, known):
    path = begun(profile, 2)
    prompt = tuple(TokenLogprob(profile.texts[id_], -1.0, id_ if known else None) for id_ in path)
    assert as_answer(profile, Completion(key="2.prompt", prompt_logprobs=prompt)).logprobs == prompt
    wrong = (replace(prompt[0], text="x", id=499 if known else None), *prompt[1:])
    seen = as_answer(profile, Completion(key="2.prompt", prompt_logprobs=wrong))
    assert seen.logprobs == ()
    assert Reader(profile).read(seen) == []
    assert "another tokenizer or template" in prompt_fault(profile, seen, floor_nats=0.01)
