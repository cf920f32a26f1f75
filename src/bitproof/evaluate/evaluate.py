"""`bitproof evaluate`: a suite asked of the reference and of its variants, compared slice by slice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bitproof.evaluate.analysis import analyse
from bitproof.evaluate.asking import Run
from bitproof.evaluate.comparison import Paired
from bitproof.evaluate.decision import choose_variants, recommend, sizes_of
from bitproof.evaluate.hosts import Host, Target
from bitproof.evaluate.plan import Plan
from bitproof.evaluate.results import Evaluation, Recommendation, VariantResult
from bitproof.evaluate.runner import Budget
from bitproof.evaluate.shards import take_in_shards
from bitproof.evaluate.speed_gates import tokens_per_s
from bitproof.evaluate.suite.registry import slices
from bitproof.quantize.artifact import versions
from bitproof.store.machine import machine
from bitproof.store.runs import Store, digest_of
from bitproof.types import Progress

__all__ = ["evaluate"]


def evaluate(
    place: Host, plan: Plan, *, out: Path, budget: Budget | None = None, progress: Progress | None = None
) -> Evaluation:
    """Ask a suite of a reference and of its variants, where `place` has them; compare, find cliffs, decide.

    Answers are kept in `out` as they come; those that shards (`shards.ask_shard`) left there are taken in first. Raises
    UsageError where `out` belongs to another run or nobody measures a requirement, and what the engines, the runner and
    the graders raise.
    """
    with Store(out) as store, place:
        take_in_shards(store, out)
        run = Run(store, place, plan, out=out, budget=budget, progress=progress)
        run.lead()
        paired = {target.name: run.follow(target) for target in (*run.variants, *run.floor)}
        scores = run.scores
        recommendation, looks = _decide(run, paired)

    def result(target: Target) -> VariantResult:
        found = analyse(
            paired[target.name],
            run.suite,
            describe=target.describe,
            reference_forced=run.expected.forced,
            size_bytes=target.size_bytes,
            bits_per_parameter=target.bits_per_parameter,
            engine=place.words,
            seconds=run.seconds.get(target.name),
            stopped=run.stopped.get(target.name, ""),
        )
        return replace(found, tokens_per_s=tokens_per_s(plan.speed, target.name))

    return Evaluation(
        reference=run.target.name,
        reference_bytes=run.target.size_bytes,
        suite=run.suite.name,
        suite_digest=run.suite.digest,
        plan_digest=digest_of(run.record),
        seed=plan.seed,
        slices=run.suite.slices,
        titles={name: slices()[name].title for name in run.suite.slices if name in slices()},
        n_items=len(run.suite.items),
        reference_scores=scores,
        variants=tuple(result(target) for target in run.variants),
        noise=tuple(result(target) for target in run.floor),
        recommendation=recommendation,
        left_out=run.suite.left_out,
        how=_how(run, looks),
    )


def _decide(run: Run, paired: dict[str, Paired]) -> tuple[Recommendation, dict[str, int]]:
    """The decision, and how often each variant was looked at.

    A variant that the items cannot decide on is looked at again, with fresh items, as often as the plan says; those
    before it have passed, those after it wait.
    """
    plan, targets = run.plan, {target.name: target for target in run.variants}
    passed_over = choose_variants(sizes_of(run.variants), paired, seed=plan.seed)
    looks = dict.fromkeys(targets, 1)
    while True:
        found = recommend(
            plan.required,
            run.variants,
            paired,
            seed=plan.seed,
            alpha=plan.alpha,
            alphas={name: plan.levels[look - 1] for name, look in looks.items()},
            passed_over=passed_over,
            losses=run.losses,
            speed=plan.speed,
        )
        waiting = next((rung for rung in found.rungs if rung.tested and rung.outcome != "pass"), None)
        if waiting is None or waiting.outcome != "inconclusive" or looks[waiting.variant] == plan.looks:
            return found, looks
        looks[waiting.variant] += 1
        if run.suite_of(looks[waiting.variant]).items == run.suite_of(looks[waiting.variant] - 1).items:
            return found, looks  # there are no other items
        run.lead(looks[waiting.variant])
        paired[waiting.variant] = run.follow(targets[waiting.variant], looks[waiting.variant])


def _how(run: Run, looks: dict[str, int]) -> dict[str, str]:
    suite, plan = run.suite, run.plan
    levels = "; ".join(f"{name} {', '.join(f'{level:g}' for level in found)}" for name, found in suite.levels.items())
    words = {
        "Engine": f"{run.place.words} ({run.engine})",
        "Levels": f"chosen by the reference's score alone, on other items: {levels}",
    }
    if plan.looks > 1:
        spent = ", ".join(f"{level:.2g}" for level in plan.levels)
        words["Looks"] = (
            f"at most {plan.looks}, at the one-sided levels {spent}: "
            f"{', '.join(f'{name} {n}' for name, n in looks.items())}"
        )
    here = machine()
    words["Machine"] = f"{here['processor']}, {here['cores']} cores, {here['memory_gib']} GiB"
    words["Versions"] = ", ".join(f"{name} {found}" for name, found in versions().items())
    words["Seconds"] = ", ".join(f"{name} {seconds:.0f}" for name, seconds in run.seconds.items())
    return words
