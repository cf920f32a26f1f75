"""A run: its suite, what its subjects answered, and the grades, kept in its store and asked for where it has none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bitproof.errors import UsageError
from bitproof.evaluate.comparison import Paired, pair, share
from bitproof.evaluate.early import DecisiveLoss, decisive_loss, parts_of
from bitproof.evaluate.grading import grade
from bitproof.evaluate.hosts import Host, Target
from bitproof.evaluate.kept import ask
from bitproof.evaluate.margins import items_without_outcome, margins
from bitproof.evaluate.plan import DECISIVE, Plan
from bitproof.evaluate.records import write_answers
from bitproof.evaluate.requirements import check_requirements
from bitproof.evaluate.runner import Answers, Budget, Runner, Subject
from bitproof.evaluate.suite.build import Profile, Suite, build_suite
from bitproof.evaluate.suite.registry import find_slice, slices
from bitproof.evaluate.tiers import choose, level_scores, shipped_levels
from bitproof.store.runs import Store, digest_of
from bitproof.types import Estimate, Grade, Item, NotMeasured, Progress

__all__ = ["Run", "reference_scores"]


class Run:
    """One plan, carried out in a folder. The reference is asked first (`lead`), then others (`follow`).

    `suite` is that of the first look. `expected` and `grades` are the reference's, of the latest. `shard` = (i, n)
    asks only every n-th item, beginning with the i-th, counted from 1.
    """

    def __init__(
        self,
        store: Store,
        place: Host,
        plan: Plan,
        *,
        out: Path,
        budget: Budget | None = None,
        progress: Progress | None = None,
        shard: tuple[int, int] = (1, 1),
    ) -> None:
        self.place, self.plan = place, plan
        self.target, self.variants = place.reference(), place.variants()
        self.floor = place.noise() if plan.noise else []
        self.seconds: dict[str, float] = {}
        self.stopped: dict[str, str] = {}
        self.losses: dict[str, DecisiveLoss] = {}
        self.record: dict[str, Any] = {}
        self.engine = ""  # that answered for the reference, in words
        self._suites: dict[int, Suite] = {}  # by look
        self.expected, self.grades = Answers(subject=""), dict[str, Grade]()
        self._store, self._out, self._progress, self._shard = store, out, progress, shard
        self._runner = Runner(store, (), place.tokenizer, seed=plan.seed, budget=budget)
        self._levels: dict[str, tuple[float, ...]] = {}
        self._without_outcome: list[Item] = []

    @property
    def suite(self) -> Suite:
        """That of the first look."""
        return self.suite_of(1)

    @property
    def scores(self) -> dict[str, Estimate | NotMeasured]:
        """The reference's score in each slice of the first look."""
        return reference_scores(self.suite, self.grades)

    def lead(self, look: int = 1) -> None:
        """Ask the reference what look number `look` asks, and note the plan before the first answer."""

        def work(subject: Subject) -> None:
            if look == 1:
                self._choose_levels(subject)
                check_requirements(self.plan.required, self.suite.slices, speed=self.plan.speed is not None)
                self.record = self.plan.record(self.suite, self.target, self.variants, self.place.words)
                _claim(self._store, self.record, self._out)
            items = self._items(look)
            settings = ", ".join(f"{name} {value}" for name, value in subject.engine.settings.items())
            found = (subject.engine.abilities.prompt_ids.finding, subject.engine.abilities.score.finding)
            self.engine = "; ".join(
                (f"{subject.engine.name} {subject.engine.version}: {settings}", *filter(None, found))
            )
            self.expected = self._asked(subject, items, None)
            self.place.remember(subject.engine, self.expected)
            self.grades = grade(self._store, items, self.expected)
            stuck = items_without_outcome(self.suite.items, self.scores)
            self._without_outcome = [item for item in stuck if item in items]
            self.expected.margins_nats = self._margins(subject)
            self._write(items, self.expected, self.grades)

        ask(self._store, self.target, work)

    def follow(self, target: Target, look: int = 1) -> Paired:
        """Ask another subject what look number `look` asks, and pair its answers with the reference's."""
        items = self._items(look)

        def work(subject: Subject) -> Paired:
            subject = replace(subject, reworded=target.reworded)
            early = self.plan.stop_early and target not in self.floor and self._shard == (1, 1)
            answers = Answers(subject=target.name)
            asked: list[Item] = []
            for part in parts_of(items, seed=self.plan.seed) if early else [items]:
                asked += part
                answers.add(self._asked(subject, part, self.expected))
                grades = grade(self._store, asked, answers)
                loss = self._loss(asked, grades) if early and len(asked) < len(items) else None
                if loss is not None:
                    self.losses[target.name], self.stopped[target.name] = loss, loss.words
                    break
            if not target.reworded:
                answers.margins_nats = self._margins(subject)
            self._write(items, answers, grades)
            return pair(items, (self.expected, self.grades), (answers, grades))

        return ask(self._store, target, work)

    def suite_of(self, look: int) -> Suite:
        """The items of looks up to this one: the first look's, and then others of the same slices. Needs the levels."""
        if look not in self._suites:
            self._suites[look] = self._made(look)
        return self._suites[look]

    def _made(self, look: int) -> Suite:
        profile = replace(self._profile, items=look * self.plan.profile.items)
        wanted = [find_slice(name) for name in self.plan.slices or profile.slices] or list(slices().values())
        levels = {
            slice_.name: tuple(one for one in self._levels.get(slice_.name, ()) if one in profile.reachable(slice_))
            for slice_ in wanted
        }
        return build_suite(profile, seed=self.plan.seed, names=list(levels), levels=levels, further=self.plan.further)

    @property
    def _profile(self) -> Profile:
        """The plan's, for the context of this reference."""
        limit = self.place.context_tokens
        profile = self.plan.profile
        return replace(profile, max_context=min(profile.max_context, limit - 256), context_tokens=limit)

    def _items(self, look: int) -> list[Item]:
        part, n_parts = self._shard
        return list(self.suite_of(look).items[part - 1 :: n_parts])

    def _write(self, items: list[Item], answers: Answers, grades: Mapping[str, Grade]) -> None:
        reference = None if answers is self.expected else self.expected
        write_answers(self._out, items, answers, grades, reference=reference, keys=answers.keys)

    def _loss(self, items: list[Item], grades: Mapping[str, Grade]) -> DecisiveLoss | None:
        return decisive_loss(self.plan.required, items, self.grades, grades, level=DECISIVE)

    def _margins(self, subject: Subject) -> dict[str, float]:
        return margins(self._store, subject, self._without_outcome, self.place.tokenizer)

    def _choose_levels(self, subject: Subject) -> None:
        """Levels that suit the reference: known ones, or chosen now and kept in the store."""
        plan, profile = self.plan, self._profile
        self._suites.clear()  # they are made at these levels
        wanted = [find_slice(name) for name in plan.slices or profile.slices] or list(slices().values())
        self._levels = {name: found for name, found in shipped_levels(subject.model).items() if found}
        unknown = [slice_ for slice_ in wanted if slice_.name not in self._levels]
        if not unknown:
            return
        key = f"levels {digest_of([profile.name, plan.seed, [slice_.name for slice_ in unknown]])[:16]}"
        if self._store.fact(key) is None:
            scores = level_scores(
                self._store, self.place.tokenizer, subject, unknown, profile, seed=plan.seed, progress=self._progress
            )
            self._store.keep_fact(key, {name: choose(found) for name, found in scores.items()})
        self._levels |= {name: tuple(found) for name, found in self._store.fact(key).items()}

    def _asked(self, subject: Subject, items: list[Item], expected: Answers | None) -> Answers:
        n_subjects = 1 + len(self.variants) + len(self.floor)
        before = len(self.seconds.keys() - {subject.name})
        start = time.monotonic()

        def report(done: float, total: float, what: str) -> None:
            if self._progress:
                self._progress(min(before + done / total, n_subjects), n_subjects, what)

        answers = self._runner.ask(subject, items, reference=expected, progress=report)
        self.seconds[subject.name] = self.seconds.get(subject.name, 0.0) + time.monotonic() - start
        if answers.stopped:
            self.stopped[subject.name] = answers.stopped
        return answers


def reference_scores(suite: Suite, grades: Mapping[str, Grade]) -> dict[str, Estimate | NotMeasured]:
    """The reference's score in each slice, from the items that were graded."""
    scores: dict[str, Estimate | NotMeasured] = {}
    for name in suite.slices:
        graded = [(grades[item.id].score, item.cluster) for item in suite.items_of(name) if item.id in grades]
        known = [(score, cluster) for score, cluster in graded if not isinstance(score, NotMeasured)]
        if known:
            scores[name] = share(np.array([score for score, _ in known]), np.array([cluster for _, cluster in known]))
        else:
            reasons = (score.reason for score, _ in graded if isinstance(score, NotMeasured))
            scores[name] = NotMeasured(next(reasons, "no item was asked"))
    return scores


def _claim(store: Store, plan: Mapping[str, Any], out: Path) -> None:
    """Note in the store what this run is: a folder holds one plan, made before its first answer."""
    store.keep_fact("plan", plan)
    if store.fact("plan") == plan:
        return
    other = [key for key, value in store.fact("plan").items() if plan.get(key) != value]
    raise UsageError(
        f"belongs to another run: its {', '.join(other)} differ",
        where=str(out),
        remedy="Give another --out, or the options of that run to go on with it.",
    )
