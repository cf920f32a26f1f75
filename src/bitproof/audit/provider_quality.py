"""A suite asked of every endpoint, interleaved, with the runner and the graders of `bitproof evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from bitproof.audit.provider_results import Quality, Share
from bitproof.audit.provider_turns import InTurn, Rounds, Tally, side_by_side
from bitproof.engines.generation import Generator
from bitproof.evaluate.comparison import pair, share
from bitproof.evaluate.graders.tool_call import calls_in
from bitproof.evaluate.grading import grade
from bitproof.evaluate.runner import Answers, Budget, Runner, Subject
from bitproof.evaluate.suite.build import Profile, Suite, build_suite
from bitproof.evaluate.suite.registry import find_slice, slices
from bitproof.evaluate.tiers import choose, level_scores, shipped_levels
from bitproof.stats.cluster import ratio_of_sums
from bitproof.stats.clustered import paired_difference
from bitproof.store.runs import Store, digest_of
from bitproof.types import Grade, Item, NotMeasured, Progress, Response, ToolCall

__all__ = ["Asked", "LocalReference", "SuitePlan", "measure_quality"]

NEXT_TO_NOTHING = 1e-12
NO_REFERENCE = NotMeasured("no reference was asked: mark an endpoint `reference: true`, or give --model")


@dataclass(frozen=True, kw_only=True)
class SuitePlan:
    """What is asked: a profile of the suite, some of its slices (all of its own where empty), and the user's items.

    Without a profile, the user's items alone.
    """

    profile: Profile | None
    slices: tuple[str, ...] = ()
    further: tuple[Item, ...] = ()
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class LocalReference:
    """The reference, run here: what quality is measured against."""

    name: str
    digest: str
    tokenizer: Any
    open: Callable[[], Generator]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What came of a suite: each endpoint's quality and its answers' times, by name."""

    suite: Suite
    quality: dict[str, Quality]
    seconds: dict[str, list[float]]
    against: str = ""
    reference_score: Share = NO_REFERENCE


@dataclass(frozen=True)
class _Graded:
    answers: Answers
    grades: Mapping[str, Grade]


def measure_quality(
    engines: Mapping[str, Generator],
    plan: SuitePlan,
    *,
    out: Path,
    marked: str = "",
    local: LocalReference | None = None,
    reference_digest: str = "",
    budgets: Mapping[str, Budget] | None = None,
    at_once: int = 4,
    progress: Progress | None = None,
) -> Asked:
    """Ask a suite of all `engines`; answers are kept in `out`, and what is there is not asked again.

    The quality is measured against `local`, or against the endpoint `marked`. Levels of difficulty are those known of
    `reference_digest`, others are chosen by `local`'s score; without it all are asked that the profile reaches, since
    choosing would cost requests that no budget counts.
    """
    tally = Tally(list(engines), progress)
    with Store(out) as store:
        subjects = {name: _subject(name, engine) for name, engine in engines.items()}
        reference: _Graded | None = None
        if local is not None:
            with local.open() as engine:
                subject = Subject(name=local.name, engine=engine, model=local.digest)
                suite = _suite(store, plan, subject, local.tokenizer, local.digest)
                answers = Runner(store, suite.items, local.tokenizer, seed=plan.seed).ask(subject, progress=progress)
            reference = _Graded(answers, grade(store, suite.items, answers))
        else:
            suite = _suite(store, plan, None, None, reference_digest)

        rounds = Rounds(list(engines), seed=plan.seed, at_once=at_once)

        def ask(name: str) -> Answers:
            subject = replace(subjects[name], engine=InTurn(engines[name], name, rounds, lenient=True))
            runner = Runner(store, suite.items, None, seed=plan.seed, budget=(budgets or {}).get(name))
            return runner.ask(subject, progress=tally.of(name))

        answered = side_by_side(rounds, {name: partial(ask, name) for name in engines})
        graded = {name: _Graded(found, grade(store, suite.items, found)) for name, found in answered.items()}
        reference = reference or graded.get(marked)
    against = local.name if local else marked if reference else ""
    asked = Asked(
        suite=suite,
        quality={name: _quality(suite, one, reference) for name, one in graded.items()},
        seconds={name: _seconds(one.answers) for name, one in graded.items()},
        against=against,
    )
    return replace(asked, reference_score=_score(suite.items, reference)) if reference else asked


def _subject(name: str, engine: Generator) -> Subject:
    return Subject(name=name, engine=engine, model="an endpoint")  # its settings hold its URL and the model's name


def _suite(store: Store, plan: SuitePlan, lead: Subject | None, tokenizer: Any, reference_digest: str) -> Suite:
    """The suite at levels that suit the reference: known ones, or chosen now by its score if it is there, and kept."""
    profile = plan.profile
    if profile is None:
        return Suite(name="own items", seed=plan.seed, items=plan.further)
    wanted = [find_slice(name) for name in plan.slices or profile.slices] or list(slices().values())
    levels = {name: found for name, found in shipped_levels(reference_digest).items() if found}
    unknown = [slice_ for slice_ in wanted if slice_.name not in levels]
    if unknown and lead is not None:
        key = f"levels {digest_of([profile.name, plan.seed, lead.identity, [slice_.name for slice_ in unknown]])[:16]}"
        if store.fact(key) is None:
            scores = level_scores(store, tokenizer, lead, unknown, profile, seed=plan.seed)
            store.keep_fact(key, {name: choose(found) for name, found in scores.items()})
        levels |= {name: tuple(found) for name, found in store.fact(key).items()}
    asked = {slice_.name: levels[slice_.name] for slice_ in wanted if slice_.name in levels}
    names = [slice_.name for slice_ in wanted]
    return build_suite(profile, seed=plan.seed, names=names, levels=asked, further=plan.further)


def _quality(suite: Suite, found: _Graded, reference: _Graded | None) -> Quality:
    answers, items = found.answers.responses, suite.items
    ended = [(item, float(answers[item.id].finish == "stop")) for item in items if item.id in answers]
    difference: Share = NO_REFERENCE
    retained: Share = NO_REFERENCE
    if reference is not None:
        difference, retained = _against(items, found, reference)
    return Quality(
        score=_score(items, found),
        difference=difference,
        retained=retained,
        completed=_share(ended, "nothing was asked"),
        tool_calls=_share(_tool_calls(items, answers), "no answer calls a function"),
        schema=_share(
            [
                (item, found.grades[item.id].parts["valid_schema"])
                for item in items
                if item.id in found.grades and "valid_schema" in found.grades[item.id].parts
            ],
            "no item asks for JSON",
        ),
        n_items=len(ended),
        n_failed=sum(answers[item.id].finish == "error" for item, _ in ended),
        n_cut=sum(answers[item.id].finish == "length" for item, _ in ended),
        slices={name: _score(suite.items_of(name), found) for name in suite.slices},
        stopped=found.answers.stopped,
    )


def _against(items: Sequence[Item], found: _Graded, reference: _Graded) -> tuple[Share, Share]:
    """The paired difference of scores, and the share of the reference's score that is retained."""
    paired = pair(items, (reference.answers, reference.grades), (found.answers, found.grades))
    if not paired.pairs:
        nothing = NotMeasured("no item was answered by both")
        return nothing, nothing
    difference = paired_difference(paired.difference, paired.cluster).interval()
    if not paired.reference_score.sum():
        return difference, NotMeasured("the reference's score is 0")
    _, index = np.unique(paired.cluster, return_inverse=True)
    # A cluster in which the reference has no point counts too: what was gained there is retained.
    theirs = np.maximum(np.bincount(index, weights=paired.reference_score), NEXT_TO_NOTHING)
    retained = ratio_of_sums(np.bincount(index, weights=paired.variant_score), theirs)
    return difference, replace(retained, n=len(paired.pairs))


def _score(items: Sequence[Item], found: _Graded) -> Share:
    known = [(item, found.grades[item.id].score) for item in items if item.id in found.grades]
    graded = [(item, score) for item, score in known if not isinstance(score, NotMeasured)]
    reasons = (score.reason for _, score in known if isinstance(score, NotMeasured))
    return _share(graded, next(reasons, "no item was asked"))


def _share(values: Sequence[tuple[Item, float]], otherwise: str) -> Share:
    if not values:
        return NotMeasured(otherwise)
    return share(np.array([value for _, value in values]), np.array([item.cluster for item, _ in values]))


def _tool_calls(items: Sequence[Item], answers: Mapping[str, Response]) -> list[tuple[Item, float]]:
    """Of items that offer functions, those whose answer calls something, and whether all of it could be executed."""
    found = []
    for item in items:
        response = answers.get(item.id)
        if item.tools and response is not None and not response.error and (calls := calls_in(response)):
            found.append((item, float(all(_can_be_executed(call, item) for call in calls))))
    return found


def _can_be_executed(call: ToolCall, item: Item) -> bool:
    """Whether a function of that name was offered, and its schema allows the arguments."""
    tool = next((tool for tool in item.tools if tool["name"] == call.name), None)
    if tool is None:
        return False
    schema = tool.get("parameters") or {}
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
        return bool(kind(schema, registry=Registry()).is_valid(call.arguments))
    except (SchemaError, Unresolvable, RecursionError):
        return True  # a schema that cannot be applied is no fault of the answer


def _seconds(answers: Answers) -> list[float]:
    return [one.total_s for one in answers.responses.values() if one.total_s is not None and not one.error]
