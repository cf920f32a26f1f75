"""Providers side by side, made up: verdicts under Holm, interleaving, a suite, what cannot be asked, money."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest

from bitproof.audit.plan import AuditPlan
from bitproof.audit.profile import Profile
from bitproof.audit.provider_endpoints import Endpoint, Endpoints
from bitproof.audit.provider_money import Costing
from bitproof.audit.provider_quality import SuitePlan
from bitproof.audit.provider_results import ProvidersReport, Quality
from bitproof.audit.providers import ProvidersPlan, providers
from bitproof.engines.generation import Abilities, Ability, Completion, OnCompletion, Request, TokenLogprob
from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.evaluate.cost_catalogue import find, read_catalogue
from bitproof.evaluate.cost_results import Figure, Terms
from bitproof.evaluate.suite.build import PROFILES
from bitproof.types import Estimate, Item, Message, NotMeasured

TOP = 12
PLAN = ProvidersPlan(audit=AuditPlan(top=TOP), at_once=1)
Answer = Callable[[str], Completion | str]


class Fake:
    """Serves one row of a profile where a probe is asked, and `answers` to anything else."""

    name, version = "fake", ""
    abilities = Abilities(chat=Ability(True))

    def __init__(self, served: str, profile: Profile | None, log: list[str], who: str, answers: Answer) -> None:
        self._served, self._profile, self._log, self._who, self._answers = served, profile, log, who, answers
        self._random = np.random.default_rng(0)
        self.settings: dict[str, str | int] = {"url": who}
        self.keys: list[str] = []
        self.closed = False

    def generate(self, requests: Iterable[Request], on_completion: OnCompletion) -> None:
        for request in requests:
            self._log.append(self._who)
            self.keys.append(request.key)
            on_completion(self._answer(request))

    def _answer(self, request: Request) -> Completion:
        said = (request.messages or ())[-1].content
        if self._served == "refuses":
            raise UsageError("it refuses the key")
        if self._profile is not None and said in self._profile.probes:
            return self._probe(self._profile, self._profile.probes.index(said), request)
        found = self._answers(said)
        if isinstance(found, Completion):
            return replace(found, key=request.key)
        return Completion(key=request.key, text=found, prompt_tokens=10, answer_tokens=5, total_s=0.25)

    def _probe(self, profile: Profile, probe: int, request: Request) -> Completion:
        rows = [row for row, place in enumerate(profile.places) if place.probe == probe][: request.max_tokens]
        tokens = [self._token(profile, row) for row in rows]
        return Completion(
            key=request.key,
            text="".join(token.text for token in tokens),
            logprobs=tuple(tokens) if request.top_logprobs else None,
            prompt_tokens=10,
            answer_tokens=len(tokens),
            total_s=0.5,
        )

    def _token(self, profile: Profile, place: int) -> TokenLogprob:
        logprobs = profile.logprobs[profile.of(self._served)[0], place] + self._random.normal(0, 0.03, 24)
        tokens = [int(profile.candidates[place, column]) for column in np.argsort(-logprobs)[:TOP]]
        values = -np.sort(-logprobs)[:TOP]
        top = tuple(TokenLogprob(profile.texts[t], float(x), t) for t, x in zip(tokens, values, strict=True))
        return TokenLogprob(top[0].text, top[0].logprob, top[0].id, top)

    def score(self, token_sequences: Any, *, first: Any = None) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Fake:
        if self._served == "gone":
            raise EnvironmentFailed("nothing answers there")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True


class Market:
    """Endpoints by what they serve, and what they were asked."""

    def __init__(self, profile: Profile | None, *served: str, answers: dict[str, Answer] | None = None, **more: Any):
        names = [f"{name}-{number}" for number, name in enumerate(served)]
        self.log: list[str] = []
        self.fakes = {
            name: Fake(what, profile, self.log, name, (answers or {}).get(name, lambda said: "I do not know."))
            for name, what in zip(names, served, strict=True)
        }
        self.endpoints = Endpoints(
            endpoints=tuple(
                Endpoint(name=name, url=f"https://{name}/v1", model="m", **more.get(name.replace("-", "_"), {}))
                for name in names
            ),
            shape=more.get("shape", ""),
        )
        self._profile = profile

    def run(self, plan: ProvidersPlan = PLAN, **options: Any) -> ProvidersReport:
        catalogue = read_catalogue()
        costing = Costing(
            shape=self.endpoints.shape,
            device=find(catalogue.accelerators, "l4", "accelerator"),
            catalogue=catalogue,
            terms=Terms(),
        )
        return providers(
            self.endpoints,
            plan,
            costing,
            profile=options.pop("profile", self._profile),
            opener=lambda one: self.fakes[one.name],  # type: ignore[arg-type,return-value]
            **options,
        )


def test_each_endpoint_gets_its_verdict_at_holms_levels(profile: Profile):
    market = Market(profile, "reference", "w4", "reference", "w8")
    found = market.run().providers
    assert [one.outcome for one in found] == ["consistent", "inconsistent", "consistent", "inconsistent"]
    assert [one.audit and one.audit.closest for one in found] == [("reference",), ("w4",), ("reference",), ("w8",)]
    # Two of four are rejected at alpha / 4; the other two are gone through again at alpha / 2.
    assert [one.level for one in found] == [0.005, 0.0025, 0.005, 0.0025]
    assert all(fake.closed for fake in market.fakes.values())
    good, bad = found[0].agreement, found[1].agreement
    assert isinstance(good, Estimate)
    assert isinstance(bad, Estimate)
    assert good.value > 0.7 > bad.value


def test_going_through_again_asks_nothing_twice(profile: Profile):
    market = Market(profile, "reference", "w4", "reference")
    market.run()
    for fake in market.fakes.values():
        assert max(Counter(fake.keys).values()) == 1


def test_all_get_the_same_probes_interleaved_in_an_order_of_the_seed(profile: Profile):
    markets = [Market(profile, "reference", "reference", "reference") for _ in range(3)]
    for market, seed in zip(markets, (1, 1, 2), strict=True):
        market.run(ProvidersPlan(audit=AuditPlan(top=TOP, seed=seed), at_once=1))
    keys = [fake.keys for fake in markets[0].fakes.values()]
    shortest = min(map(len, keys)) - 1  # the last question is the one about itself
    assert len({tuple(one[:shortest]) for one in keys}) == 1
    assert markets[0].log == markets[1].log
    assert markets[0].log != markets[2].log
    for start in range(0, 3 * shortest, 3):
        assert len(set(markets[0].log[start : start + 3])) == 3


def test_an_endpoint_that_cannot_be_asked_is_a_row_and_counts(profile: Profile):
    found = Market(profile, "gone", "refuses", "reference").run().providers
    assert [one.outcome for one in found] == ["unreachable", "unreachable", "consistent"]
    assert "nothing answers there" in found[0].words
    assert "it refuses the key" in found[1].words
    assert found[2].level == pytest.approx(0.01 / 3)
    assert isinstance(found[0].quality, NotMeasured)


def test_without_logprobs_the_text_is_read(profile: Profile):
    market = Market(profile, "w4", w4_0={"top_logprobs": 0})
    (one,) = market.run().providers
    assert one.audit is not None
    assert (one.audit.test, one.outcome) == ("text", "inconsistent")


def test_the_model_is_asked_about_itself_last_and_not_believed(profile: Profile):
    answers: dict[str, Answer] = {"w4-0": lambda said: "bf16, of course"}
    market = Market(profile, "w4", answers=answers)
    (one,) = market.run().providers
    assert market.fakes["w4-0"].keys[-1] == "claim"
    assert (one.disclosure.disclosed, one.disclosure.standing) == ("unknown", "undisclosed")
    assert one.disclosure.claims[-1].words == "bf16, of course"


def item(number: int, **more: Any) -> Item:
    return Item(
        **{
            "id": f"i{number}",
            "slices": ("own",),
            "cluster": f"c{number}",
            "messages": (Message(role="user", content=f"item {number}"),),
            "grader": "exact",
            "gold": {"accept": ["yes"]},
            **more,
        }
    )


def says(right: set[int], failing: set[int] = frozenset(), cut: set[int] = frozenset()) -> Answer:  # type: ignore[assignment]
    def answer(said: str) -> Completion | str:
        number = int(said.rpartition(" ")[2]) if said.startswith("item") else -1
        if number in failing:
            return Completion(key="", finish="error", error="HTTP 500")
        if number in cut:
            return Completion(key="", text="yes", finish="length", total_s=0.25)
        return "yes" if number in right else "no"

    return answer


def suite_of(items: list[Item], tmp_path: Path, market: Market, **more: Any) -> ProvidersReport:
    plan = ProvidersPlan(audit=AuditPlan(top=TOP), suite=SuitePlan(profile=None, further=tuple(items)), **more)
    return market.run(plan, out=tmp_path / "out")


def quality(found: ProvidersReport, number: int) -> Quality:
    one = found.providers[number].quality
    assert isinstance(one, Quality)
    return one


def value(share: Estimate | NotMeasured) -> float:
    assert isinstance(share, Estimate), share
    return share.value


def test_quality_by_hand(tmp_path: Path):
    answers = {"a-0": says(set(range(8))), "b-1": says(set(range(6)), failing={8}, cut={9})}
    market = Market(None, "a", "b", answers=answers, a_0={"reference": True, "price": (1.0, 2.0)})
    found = suite_of([item(number) for number in range(10)], tmp_path, market)
    assert [one.outcome for one in found.providers] == ["not audited"] * 2
    ours, theirs = quality(found, 0), quality(found, 1)
    assert (value(ours.score), value(ours.completed)) == (0.8, 1.0)
    assert value(ours.retained) == pytest.approx(1.0)
    # of nine that both answered: 8 and 6, and item 9, cut, says yes
    assert value(theirs.score) == pytest.approx(7 / 9)
    assert value(theirs.retained) == pytest.approx(7 / 8)
    assert value(theirs.difference) == pytest.approx(-1 / 9)
    assert (value(theirs.completed), theirs.n_failed, theirs.n_cut) == (0.8, 1, 1)
    assert isinstance(ours.tool_calls, NotMeasured)
    assert isinstance(ours.schema, NotMeasured)
    assert found.scored_against == "a-0"
    assert value(found.providers[0].latency_p50_s) == 0.25
    assert math.isnan(found.providers[0].latency_p95_s.low)  # type: ignore[union-attr]  # ten answers are too few
    money = found.providers[0].money
    assert money.per_thousand == pytest.approx((1.0 * 1024 + 2.0 * 256) / 1000)
    assert value(money.per_retained) == pytest.approx(money.per_thousand)
    assert found.providers[0].spent_usd == pytest.approx((110 * 1.0 + 55 * 2.0) / 1e6)  # ten items, and the claim
    assert isinstance(found.providers[1].money.per_retained, NotMeasured)


def test_answers_that_are_kept_are_not_asked_for_again(tmp_path: Path):
    items = [item(number) for number in range(4)]
    market = Market(None, "a", answers={"a-0": says({1})})
    assert suite_of(items, tmp_path, market).providers[0].n_requests == 5
    assert (
        suite_of(items, tmp_path, market).providers[0].quality == suite_of(items, tmp_path, market).providers[0].quality
    )
    assert len(market.log) == 5 + 3 - 1  # afterwards only the claim is asked for


def test_tool_calls_that_could_be_executed_and_json_that_fits(tmp_path: Path):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = {"name": "f", "description": "", "parameters": schema}
    gold = {"name": "f", "arguments": {"n": 1}}
    items = [item(n, grader="tool_call", gold=gold, tools=(tool,)) for n in range(5)]
    items += [item(n, grader="json", gold={"value": {"n": 1}}, schema=schema) for n in range(5, 8)]
    texts = [
        '{"name": "f", "arguments": {"n": 2}}',  # wrong, and valid
        '{"name": "f", "arguments": {"n": "one"}}',
        '{"name": "g", "arguments": {"n": 1}}',
        "none",  # calls nothing
        '{"name": "f", "arguments": {"n": 1}}',
        '{"n": 1}',
        '{"n": 2}',
        '{"m": 1}',
    ]
    market = Market(None, "a", answers={"a-0": lambda said: texts[int(said[-1])] if said.startswith("item") else "?"})
    found = quality(suite_of(items, tmp_path, market), 0)
    assert value(found.tool_calls) == pytest.approx(2 / 4)
    assert value(found.schema) == pytest.approx(2 / 3)
    assert value(found.score) == pytest.approx(2 / 8)


def test_an_endpoint_that_dies_in_the_suite_has_not_completed_it(tmp_path: Path):
    def dies(said: str) -> str:
        if said == "item 2":
            raise EnvironmentFailed("it is down")
        return "yes"

    market = Market(None, "a", answers={"a-0": dies})
    found = quality(suite_of([item(number) for number in range(4)], tmp_path, market), 0)
    assert (value(found.completed), found.n_failed) == (0.5, 2)


def test_a_budget_of_money_needs_prices_and_stops(tmp_path: Path):
    items = [item(number) for number in range(20)]
    with pytest.raises(UsageError, match="needs the prices of a-0"):
        suite_of(items, tmp_path, Market(None, "a"), max_cost_usd=1.0)
    market = Market(None, "a", a_0={"price": (0.0, 1.0)})
    found = quality(suite_of(items, tmp_path, market, max_cost_usd=20e-6), 0)
    assert found.n_items == 4
    assert "US dollars" in found.stopped


def test_margins_at_what_is_claimed_and_at_what_was_measured(profile: Profile):
    market = Market(
        profile,
        "reference",
        "reference",
        "w4",
        shape="llama-3.1-8b",
        reference_0={"price": (0.2, 0.2), "claimed": "fp8"},
        reference_1={"claimed": "bf16"},
        w4_2={"price": (0.2, 0.2)},
    )
    one, unpriced, undisclosed = (found.money for found in market.run().providers)
    assert (one.claimed, one.measured) == ("fp8", "bf16")
    assert isinstance(one.margin_claimed, Figure)
    assert isinstance(one.margin_measured, Figure)
    assert one.margin_claimed.value > one.margin_measured.value  # half the bytes cost less to serve
    assert unpriced.margin_claimed == NotMeasured("no price was given, and none is listed")
    assert undisclosed.margin_claimed == NotMeasured("undisclosed")
    assert isinstance(undisclosed.margin_measured, NotMeasured)  # "w4" is no variant of ours


def test_a_claim_of_nobody_is_an_error_before_anything_is_asked(profile: Profile, tmp_path: Path):
    (tmp_path / "c.yaml").write_text("nobody: fp8\n")
    market = Market(profile, "reference")
    with pytest.raises(UsageError, match="no endpoint is called 'nobody'"):
        market.run(claims=tmp_path / "c.yaml")
    assert market.log == []


def test_no_endpoint_is_asked_more_than_the_items_of_the_suite(tmp_path: Path):
    market = Market(None, "a", "b")
    plan = ProvidersPlan(
        audit=AuditPlan(top=TOP), suite=SuitePlan(profile=PROFILES["demo"], slices=("classification",))
    )
    found = market.run(plan, out=tmp_path / "out")
    n = quality(found, 0).n_items
    assert 0 < n <= PROFILES["demo"].items
    assert [one.n_requests for one in found.providers] == [n + 1, n + 1]  # and the question about itself
