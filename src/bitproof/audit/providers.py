"""`bitproof providers`: several endpoints of one model side by side, audited, asked a suite, priced.

Every audit asks the same probes in the same order, and the endpoints are asked in turns. Their verdicts share one error
rate by Holm's step-down: all are audited at alpha / m; as long as some are found inconsistent, the rest are gone
through again at alpha / (those that are left), with the answers at hand and further ones where they are needed. An
audit may be looked at whenever one likes, so this keeps the chance of calling any benign endpoint inconsistent below
alpha (Holm 1979; Bartroff and Song, arXiv 1304.6309, for sequential tests).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from bitproof.audit.audit import audit
from bitproof.audit.plan import DRAWN, AuditPlan
from bitproof.audit.profile import Profile
from bitproof.audit.provider_claims import Claim, ask_it, claims_of, listed
from bitproof.audit.provider_disclosed import compare
from bitproof.audit.provider_endpoints import Endpoint, Endpoints, open_endpoint
from bitproof.audit.provider_money import Costing, money_of
from bitproof.audit.provider_quality import Asked, LocalReference, SuitePlan, measure_quality
from bitproof.audit.provider_results import NO_SUITE, ProviderResult, ProvidersReport, Quality, Share
from bitproof.audit.provider_turns import Counted, InTurn, Rounds, Tally, side_by_side
from bitproof.audit.results import AuditReport
from bitproof.engines.generation import Generator
from bitproof.engines.http import HttpGenerator
from bitproof.engines.http_failures import Failure
from bitproof.errors import BitproofError, UsageError
from bitproof.evaluate.runner import Budget
from bitproof.stats.cluster import proportion
from bitproof.stats.quantiles import quantile_interval
from bitproof.types import Estimate, NotMeasured, Progress

__all__ = ["ProvidersPlan", "providers"]

NOT_AUDITED = "Not audited: without a profile of the reference there is nothing to compare with."
NOT_REACHED = NotMeasured("the endpoint could not be asked")


@dataclass(frozen=True, kw_only=True)
class ProvidersPlan:
    """Fixed before the first request. `suite` None asks none; `max_tokens` and `max_cost_usd` are each endpoint's, for
    the suite; `at_once` requests are in flight, at most one at each endpoint.
    """

    audit: AuditPlan
    suite: SuitePlan | None = None
    at_once: int = 4
    max_tokens: int | None = None
    max_cost_usd: float | None = None


@dataclass(kw_only=True)
class _Provider:
    """One endpoint while it is asked; `error` says why it cannot be."""

    endpoint: Endpoint
    engine: Counted
    error: str = ""
    report: AuditReport | None = None
    level: float | None = None
    price: tuple[float, float] | None = None
    price_source: str = ""
    seconds: list[float] = field(default_factory=list)
    listed: list[Claim] = field(default_factory=list)
    asked: list[Claim] = field(default_factory=list)


def providers(
    endpoints: Endpoints,
    plan: ProvidersPlan,
    costing: Costing,
    *,
    profile: Profile | None = None,
    out: Path = Path("providers"),
    claims: Path | None = None,
    local: LocalReference | None = None,
    opener: Callable[[Endpoint], Generator] = open_endpoint,
    progress: Progress | None = None,
) -> ProvidersReport:
    """Audit all endpoints against `profile`, ask them the suite, and compare. Answers to the suite are kept in `out`.

    An endpoint that cannot be asked is a row that says so. Raises UsageError for a key that is not there, a claim of
    nobody, and a limit in money without prices.
    """
    claims_of(endpoints.endpoints, claims)
    with ExitStack() as stack:
        found = [_Provider(endpoint=one, engine=Counted(opener(one))) for one in endpoints.endpoints]
        for one in found:
            _reach(one, stack)
        reached = [one for one in found if not one.error]
        _check_prices(reached, plan)
        if profile is not None and reached:
            _audit(reached, profile, plan, n=len(found), progress=progress)
            reached = [one for one in reached if not one.error]
        asked = None
        if plan.suite is not None and reached:
            asked = _ask_suite(reached, plan, out=out, local=local, profile=profile, progress=progress)
        for one in reached:
            one.asked.append(ask_it(one.engine))
    said = claims_of([one.endpoint for one in found], claims)
    return ProvidersReport(
        providers=tuple(
            _result(one, [*said[one.endpoint.name], *one.listed, *one.asked], asked, costing) for one in found
        ),
        reference=profile.reference if profile else "",
        profile_digest=profile.digest if profile else "",
        alpha=plan.audit.alpha,
        seed=plan.audit.seed,
        suite=asked.suite.name if asked else "",
        suite_digest=asked.suite.digest if asked else "",
        scored_against=asked.against if asked else "",
        reference_score=asked.reference_score if asked else NO_SUITE,
        device=costing.device.name,
        terms=costing.terms,
        left_out=asked.suite.left_out if asked else {},
    )


def _reach(one: _Provider, stack: ExitStack) -> None:
    """Open an endpoint, and read what OpenRouter lists of it."""
    engine = one.engine.engine
    try:
        stack.enter_context(engine)
        one.endpoint = replace(one.endpoint, model=getattr(engine, "model", "") or one.endpoint.model)
    except BitproofError as error:
        one.error = error.what
        return
    one.price, one.price_source = one.endpoint.price, "the endpoints file" if one.endpoint.price else ""
    if one.endpoint.preset == "openrouter" and isinstance(engine, HttpGenerator):
        path = engine.client.at(f"/models/{one.endpoint.model}/endpoints")
        try:
            one.listed, price = listed(one.endpoint, engine.client.run(engine.client.get(path)))
        except Failure:
            return
        if one.price is None and price is not None:
            one.price, one.price_source = price, "OpenRouter's list"


def _check_prices(reached: Sequence[_Provider], plan: ProvidersPlan) -> None:
    without = [one.endpoint.name for one in reached if one.price is None]
    if plan.max_cost_usd is not None and without:
        raise UsageError(
            f"needs the prices of {', '.join(without)}",
            where="--max-cost-usd",
            remedy="Add `price: [IN, OUT]` to each, in US dollars for a million tokens.",
        )


def _audit(
    reached: Sequence[_Provider], profile: Profile, plan: ProvidersPlan, *, n: int, progress: Progress | None
) -> None:
    """Audit all, by Holm's step-down over `n` endpoints."""
    by_name = {one.endpoint.name: one for one in reached}
    left, level = list(by_name), plan.audit.alpha / n
    rounds = Rounds(left, seed=plan.audit.seed, at_once=plan.at_once)
    turns = {name: InTurn(one.engine, name, rounds) for name, one in by_name.items()}
    while True:
        tally = Tally(left, progress)

        def run(name: str, level: float, report: Progress) -> None:
            one = by_name[name]
            limit = one.endpoint.top_logprobs
            test = plan.audit.test or ("text" if limit == 0 else None)
            top = min(plan.audit.top, limit or plan.audit.top)
            asked = replace(plan.audit, alpha=level, top=top, test=test, price=one.price)
            url, model = one.endpoint.url, one.endpoint.model
            try:
                one.report = audit(turns[name], profile, asked, endpoint=url, model=model, progress=report)
                one.level = level
            except BitproofError as error:
                one.error = one.error if one.report else error.what

        side_by_side(rounds, {name: partial(run, name, level, tally.of(name)) for name in left})
        excluded = [name for name, one in by_name.items() if one.report and one.report.outcome == "inconsistent"]
        if not set(excluded) & set(left):
            break
        left = [name for name in left if by_name[name].report and name not in excluded]
        if not left:
            break
        level = plan.audit.alpha / (n - len(excluded))
        rounds = Rounds(left, seed=plan.audit.seed + 1, at_once=plan.at_once)
        for name in left:
            turns[name].rounds = rounds
    for name, turn in turns.items():
        by_name[name].seconds = turn.seconds


def _ask_suite(
    reached: Sequence[_Provider],
    plan: ProvidersPlan,
    *,
    out: Path,
    local: LocalReference | None,
    profile: Profile | None,
    progress: Progress | None,
) -> Asked:
    assert plan.suite is not None
    marked = next((one.endpoint.name for one in reached if one.endpoint.reference), "")
    return measure_quality(
        {one.endpoint.name: one.engine for one in reached},
        plan.suite,
        out=out,
        marked=marked,
        local=local,
        reference_digest=profile.reference_digest if profile else "",
        budgets={
            one.endpoint.name: Budget(
                tokens=plan.max_tokens, cost_usd=plan.max_cost_usd, usd_per_million=one.price or (0.0, 0.0)
            )
            for one in reached
        },
        at_once=plan.at_once,
        progress=progress,
    )


def _result(one: _Provider, claims: Sequence[Claim], asked: Asked | None, costing: Costing) -> ProviderResult:
    endpoint, engine, report = one.endpoint, one.engine, one.report
    quality: Quality | NotMeasured = NOT_REACHED if one.error else NO_SUITE
    seconds, of = one.seconds, "probes"
    if asked is not None and not one.error:
        quality = asked.quality[endpoint.name]
        seconds, of = asked.seconds[endpoint.name], "the suite's answers"
    retained = quality if isinstance(quality, NotMeasured) else quality.retained
    disclosure = compare(claims, report)
    spent: float | NotMeasured = NotMeasured("no price was given, and none is listed")
    if one.price is not None:
        spent = (engine.prompt_tokens * one.price[0] + engine.answer_tokens * one.price[1]) / 1e6
    return ProviderResult(
        name=endpoint.name,
        url=endpoint.url,
        model=endpoint.model,
        preset=endpoint.preset,
        reference=endpoint.reference,
        outcome="unreachable" if one.error else report.outcome if report else "not audited",
        words=f"It cannot be asked: {one.error}." if one.error else report.words if report else NOT_AUDITED,
        level=one.level,
        audit=report,
        agreement=_agreement(report),
        disclosure=disclosure,
        quality=quality,
        latency_p50_s=_quantile(seconds, 0.5),
        latency_p95_s=_quantile(seconds, 0.95),
        latency_of=of,
        money=money_of(endpoint.name, one.price, one.price_source, costing, disclosure, report, retained),
        n_requests=engine.n_requests,
        prompt_tokens=engine.prompt_tokens,
        answer_tokens=engine.answer_tokens,
        spent_usd=spent,
    )


def _agreement(report: AuditReport | None) -> Share:
    """The share of probes whose answer is the reference's own, as far as both go."""
    if report is None or report.test in DRAWN:
        return NotMeasured("sampled answers are not compared" if report else "no probe was asked")
    pairs = [(one.text, one.reference) for one in report.answers if not one.error and one.reference and one.text]
    if not pairs:
        return NotMeasured("no probe was answered")
    return proportion([text.startswith(ours) or ours.startswith(text) for text, ours in pairs], np.ones(len(pairs)))


def _quantile(seconds: Sequence[float], q: float) -> Share:
    """A quantile; without an interval where there are too few answers for one."""
    if not seconds:
        return NotMeasured("nothing was answered")
    known = quantile_interval(seconds, q)
    value, n, nan = float(np.quantile(seconds, q)), len(seconds), float("nan")
    return known or Estimate(value=value, low=nan, high=nan, n=n, n_clusters=n, method="too few answers")
