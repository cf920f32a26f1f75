"""What an audit may cost: no request without the money for it, nothing lost uncounted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from bitproof.audit.audit import audit
from bitproof.audit.plan import AuditPlan
from bitproof.audit.profile import Profile
from bitproof.audit.purse import TEMPLATE, Purse
from bitproof.audit.results import AuditReport
from bitproof.engines.generation import Completion, Request, Retry
from bitproof.types import Message

PRICE = (1.0, 10.0)  # US dollars for a million tokens


def request(key: str = "a", text: str = "Wool?", max_tokens: int = 10) -> Request:
    return Request(key=key, messages=(Message(role="user", content=text),), max_tokens=max_tokens)


def answer(key: str = "a", *, prompt: int = 20, tokens: int = 10, text: str = "yes") -> Completion:
    return Completion(key=key, text=text, finish="length", prompt_tokens=prompt, answer_tokens=tokens)


def test_cost_by_hand():
    purse = Purse(price=PRICE)
    purse.settle(answer(), request())
    purse.settle(answer("b", prompt=30, tokens=4), request("b", max_tokens=4))
    assert (purse.n_requests, purse.prompt_tokens, purse.answer_tokens) == (2, 50, 14)
    assert purse.cost_usd == pytest.approx((50 * 1.0 + 14 * 10.0) / 1e6)
    assert Purse().cost_usd is None


def test_nothing_is_asked_that_there_is_no_money_for():
    need = (len("Wool?") + TEMPLATE) * 1.0 + 10 * 10.0  # millionths of a dollar
    assert Purse(max_cost_usd=need / 1e6, price=PRICE).holds(request())
    short = Purse(max_cost_usd=(need - 1) / 1e6, price=PRICE)
    assert not short.holds(request())
    assert short.spent == "the budget of 0.000136 USD"


def test_what_is_under_way_is_kept_and_what_is_left_of_it_given_back():
    purse = Purse(max_tokens=25)
    for key in "ab":
        assert purse.holds(request(key))
        purse.hold(request(key))
    purse.settle(answer("a", tokens=3, text=""), replace(request("a"), max_tokens=3))
    assert purse.holds(request("c"))
    purse.hold(request("c"))
    assert not purse.holds(request("d", max_tokens=3))
    assert purse.spent == "the budget of 25 answer tokens"


def test_an_endpoint_that_ignores_limits_or_hides_a_prompt_is_expected_to_go_on_so():
    purse = Purse(max_cost_usd=0.02, price=PRICE)
    purse.settle(answer(prompt=5_000, tokens=400), request())
    assert purse.cost_usd == pytest.approx(0.009)
    assert purse.holds(request("b"))
    purse.settle(answer("b", prompt=5_000, tokens=400), request("b"))
    assert not purse.holds(request("c"))  # 9 thousandths more


def test_what_is_not_counted_or_lost_is_charged():
    uncounted, bound = Purse(price=PRICE), len("Wool?") + TEMPLATE
    uncounted.settle(answer(prompt=0, tokens=0), request())
    assert (uncounted.prompt_tokens, uncounted.answer_tokens) == (bound, 10)
    lost = Purse(price=PRICE)
    lost.settle(replace(answer(), retries=(Retry("cut", 0.1), Retry("HTTP 429: wait", 0.1))), request())
    assert (lost.prompt_tokens, lost.answer_tokens) == (40, 20)
    refused = Purse(price=PRICE)
    refused.settle(Completion(key="a", finish="error", error="HTTP 400: no"), request())
    assert (refused.n_requests, refused.cost_usd) == (1, 0.0)


def test_dollars_need_prices():
    with pytest.raises(ValueError, match="prices"):
        Purse(max_cost_usd=1.0)


class Counting:
    """An endpoint whose prompts and answers cost what they do here."""

    name, version, settings = "fake", "1", {"url": "https://host/v1"}

    def __init__(self) -> None:
        self.usd = 0.0

    def generate(self, requests: Iterable[Request], on_completion: Callable[[Completion], None]) -> None:
        for one in requests:
            self.usd += (20 * PRICE[0] + one.max_tokens * PRICE[1]) / 1e6
            on_completion(answer(one.key, tokens=one.max_tokens, text="?"))


def audited(profile: Profile, max_cost_usd: float) -> tuple[float, AuditReport]:
    """What an audit really cost, and what it said."""
    engine, plan = Counting(), AuditPlan(price=PRICE, test="text", max_cost_usd=max_cost_usd)
    found = audit(engine, profile, plan)  # type: ignore[arg-type]
    return engine.usd, found


@pytest.mark.parametrize("budget", [0.0001, 0.0002, 0.0003])
def test_an_audit_stops_before_its_budget_in_dollars(profile: Profile, budget: float):
    usd, found = audited(profile, budget)
    assert 0 < usd <= budget
    assert found.cost_usd == pytest.approx(usd)
    assert found.outcome == "inconclusive"
    assert found.findings[0] == f"the budget of {budget:g} USD allows no further question"


def test_a_budget_that_holds_no_question_asks_none(profile: Profile):
    usd, found = audited(profile, 1e-7)
    assert (usd, found.outcome, found.cost_usd) == (0.0, "inconclusive", 0.0)
    assert "one question takes more than the budget of 1e-07 USD" in found.words
