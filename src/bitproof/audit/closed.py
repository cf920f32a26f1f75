"""Closed models: does an endpoint answer as it did, or as another one does? Without weights, so without a name for it.

::

    recording = record(engine, ClosedPlan(), endpoint=url)
    report = compare(engine, recording, ClosedPlan(), endpoint=url)  # later
    report = compare_endpoints(one, other, ClosedPlan(), endpoints=(url, other_url))

Every probe is asked at temperature 0, with logprobs where they are given, and several times at temperature 1. A
recording does so in two sittings, which show how far the endpoint is from itself. Kinds of evidence, each with an even
share of alpha: logprobs, greedy texts, sampled texts. See `stats.two_sample` for the tests, and `sight` for what
"consistent" is worth. Greedy answers come first: they say most for a token, and bring the logprobs.

- **different**: one kind of evidence found a difference, and no fault explains it; asking stops there;
- **consistent**: all was asked, nothing was found or missing, and a difference of a stated size would have been found;
- **inconclusive**: anything else, and an endpoint whose own sittings differ (it is unstable; nothing more is asked).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from bitproof.audit.closed_faults import cached, faults_of, said_of_itself
from bitproof.audit.closed_results import WHAT, ChannelName, ClosedReport
from bitproof.audit.comparison import ASKED_AGAIN, MOST_LOST, ClosedPlan, Comparison
from bitproof.audit.evidence import sittings_p_values
from bitproof.audit.probes import probe_texts
from bitproof.audit.purse import Bill, Purse, prompt_bound
from bitproof.audit.recording import Answer, Asking, Recording, Sitting, public_address
from bitproof.audit.sitting import (
    Sitter,
    greedy_requests,
    probe_order,
    sampled_requests,
    settle_logprobs,
)
from bitproof.engines.generation import Generator, Request
from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.types import Progress

__all__ = ["ClosedPlan", "compare", "compare_endpoints", "default_asking", "most_of", "record"]

SITTINGS = 2  # of one recording


def default_asking(n_probes: int = 40, *, seed: int = 0, top_logprobs: int = 20) -> Asking:
    """The asking of a recording: `n_probes` questions that `seed` draws."""
    return Asking(probes=tuple(probe_texts(n_probes, seed=seed)), top_logprobs=top_logprobs)


def most_of(asking: Asking, job: Literal["record", "recording", "endpoints"]) -> Bill:
    """The most that a recording takes, a comparison with one, or one of two endpoints, both together."""
    repeats, sittings, once = {
        "record": (asking.repeats, SITTINGS, 1),  # the question that shows how many logprobs there are
        "recording": (1, 1, ASKED_AGAIN),
        "endpoints": (asking.repeats, 2, 2),
    }[job]
    bounds, each = list(map(prompt_bound, asking.probes)), sittings * (repeats + asking.samples)
    answers = sittings * len(bounds) * (repeats * asking.greedy_tokens + asking.samples * asking.sampled_tokens)
    return Bill(
        each * len(bounds) + once, each * sum(bounds) + once * max(bounds), answers + once * asking.greedy_tokens
    )


def record(
    engine: Generator,
    plan: ClosedPlan,
    *,
    endpoint: str = "",
    model: str = "",
    earlier: Recording | None = None,
    purse: Purse | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Ask an endpoint everything in two sittings; `earlier` is a recording of it to which they are added.

    Sittings on other days make the endpoint's own noise known as it is. `purse` is the plan's, for a caller who wants
    to know what it cost. Raises UsageError where the budget does not hold it or `earlier` is of something else,
    EnvironmentFailed where the endpoint fails: half a recording is none.
    """
    asking, purse = plan.asking or default_asking(seed=plan.seed), purse or plan.purse()
    if earlier is not None:
        _check_same(earlier, public_address(endpoint), model)
        asking = earlier.asking
    _check_budget(asking, plan)
    found = ""
    if earlier is None:
        asking, found = settle_logprobs(engine, asking, purse)
    asked = _Progress(progress, asking.n_requests(repeats=asking.repeats, sittings=SITTINGS))
    first = len(earlier.sittings) if earlier else 0
    sittings = [
        _sit(engine, asking, f"record {plan.seed} {first + number}", plan.seed, purse, asked)
        for number in range(SITTINGS)
    ]
    made = Recording(
        endpoint=public_address(endpoint),
        model=model,
        engine=engine.name,
        engine_version=engine.version,
        asking=asking,
        sittings=(*(earlier.sittings if earlier else ()), *sittings),
    )
    said = [
        found,
        *said_of_itself(engine, model, "when recorded, it answered"),
        *(fault.words for fault in faults_of(made.answers, "the endpoint", asking)),
        *(fault.words for fault in cached(engine, "the endpoint")),
        *_unstable(_own_p_values(made, plan), plan),
    ]
    return replace(made, findings=tuple(words for words in said if words))


def compare(
    engine: Generator,
    recording: Recording,
    plan: ClosedPlan,
    *,
    endpoint: str = "",
    model: str = "",
    progress: Progress | None = None,
) -> ClosedReport:
    """Ask an endpoint what was recorded, until a difference is found or all is asked.

    Raises what the engine raises before it has answered anything.
    """
    comparison = Comparison(recording.asking, plan, ("the recording", "the endpoint"), recording=recording)
    label = f"compare {plan.seed} {recording.digest}"
    comparison.own_p_values = _own_p_values(recording, plan)
    unstable = _unstable(comparison.own_p_values, plan)
    if not unstable:
        comparison.progress, comparison.total = progress, recording.asking.n_requests(repeats=1)
        order = probe_order(recording.asking, label=label)
        comparison.ask_one(engine, greedy_requests(recording.asking, order), order)
        comparison.confirm(engine)
        comparison.ask_one(engine, sampled_requests(recording.asking, order, label=label), order)
    comparison.findings += said_of_itself(engine, model, "now it answers")
    comparison.extra += cached(engine, "the endpoint")
    missing = [f"{words}: the endpoint is unstable" for words in unstable]
    where = f"{recording.model or recording.engine} as recorded"
    return comparison.report(missing, endpoint=public_address(endpoint), model=model, against=where)


def compare_endpoints(
    one: Generator,
    other: Generator,
    plan: ClosedPlan,
    *,
    endpoints: tuple[str, str] = ("", ""),
    models: tuple[str, str] = ("", ""),
    progress: Progress | None = None,
) -> ClosedReport:
    """Ask two endpoints the same, question by question, each request at a random one of them.

    The report is of `other`, against `one`. The order is what makes it fair: what changes with time changes for both.
    Raises what the engines raise before they have answered anything.
    """
    asking, purse = plan.asking or default_asking(seed=plan.seed), plan.purse()
    settled = [settle_logprobs(engine, asking, purse) for engine in (one, other)]
    asking = min((each for each, _ in settled), key=lambda each: each.top_logprobs)
    comparison = Comparison(asking, plan, ("the other endpoint", "the endpoint"), purse=purse)
    comparison.findings = [f"{name}: {said}" for name, (_, said) in zip(comparison.names, settled, strict=True) if said]
    comparison.progress = progress
    comparison.total = 2 * asking.n_requests(repeats=asking.repeats)
    comparison.ask_both((one, other), f"endpoints {plan.seed}")
    for engine, model, name in zip((one, other), models, comparison.names, strict=True):
        comparison.findings += said_of_itself(engine, model, f"{name} answers")
        comparison.extra += cached(engine, name)
    return comparison.report(
        [],
        endpoint=public_address(endpoints[1]),
        model=models[1],
        against=" at ".join(filter(None, (models[0], public_address(endpoints[0])))) or "the other endpoint",
    )


class _Progress:
    """Counts answers over all sittings."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, key: str, answer: Answer | None) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total, "answers")


def _sit(engine: Generator, asking: Asking, label: str, seed: int, purse: Purse, on_answer: _Progress) -> Sitting:
    """One whole sitting; raises EnvironmentFailed where too much of it fails, UsageError where it costs too much."""
    began, sitter = datetime.now(UTC), Sitter(purse)
    sitter.ask(engine, _sitting_requests(asking, label), on_answer=on_answer)
    if purse.spent:
        raise UsageError(
            f"{purse.spent} does not hold it: the endpoint takes more tokens than it was asked for, or hides a prompt;"
            " nothing was recorded",
            where=str(engine.settings.get("url", engine.name)),
            remedy="Raise the budget, or record fewer questions.",
        )
    if sitter.broken or sitter.lost > MOST_LOST * sitter.asked:
        raise EnvironmentFailed(
            f"failed in {sitter.lost} of {sitter.asked} requests ({sitter.broken or 'some'}): nothing was recorded",
            where=str(engine.settings.get("url", engine.name)),
        )
    return Sitting(
        began=began.isoformat(timespec="seconds"), seed=seed, answers=tuple(sitter.answers), lost=sitter.lost
    )


def _sitting_requests(asking: Asking, label: str) -> Iterable[Request]:
    for number in range(asking.repeats):
        yield from greedy_requests(asking, probe_order(asking, label=f"{label} {number}"), number=number)
    yield from sampled_requests(asking, probe_order(asking, label=label), label=label)


def _check_budget(asking: Asking, plan: ClosedPlan) -> None:
    most, needs = most_of(asking, "record"), f"and a recording of {len(asking.probes)} questions can take"
    usd = most.usd(plan.price) if plan.price else 0.0
    if plan.max_tokens is not None and plan.max_tokens < most.answer_tokens:
        what = f"holds {plan.max_tokens} answer tokens, {needs} {most.answer_tokens}"
    elif plan.max_cost_usd is not None and plan.max_cost_usd < usd:
        what = f"holds {plan.max_cost_usd:g} USD, {needs} {usd:.2g}"
    else:
        return
    raise UsageError(what, where="the budget", remedy="Raise it, or record fewer questions.")


def _check_same(earlier: Recording, endpoint: str, model: str) -> None:
    if (earlier.endpoint, earlier.model) != (endpoint, model):
        raise UsageError(
            f"is of {earlier.model or 'a model'} at {earlier.endpoint or 'an endpoint'}, not of"
            f" {model or 'a model'} at {endpoint or 'an endpoint'}",
            where="the recording",
            remedy="Give another file.",
        )


def _unstable(p_values: Mapping[ChannelName, float], plan: ClosedPlan) -> list[str]:
    """The kinds of evidence in which a recording's own sittings differ."""
    return [
        f"the {WHAT[name]} of the recording's own sittings differ (p {p:.2g})"
        for name, p in p_values.items()
        if p <= plan.alpha / len(p_values)
    ]


def _own_p_values(recording: Recording, plan: ClosedPlan) -> dict[ChannelName, float]:
    return sittings_p_values(recording, alpha=plan.alpha, least_nats=plan.least_nats, seed=plan.seed)
