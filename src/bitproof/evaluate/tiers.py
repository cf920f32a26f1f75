"""Which levels of difficulty are asked: those at which the reference sometimes fails, by its score alone.

Where a model always fails or never does, nothing that quantization changes can be seen. The levels are chosen on items
of their own (another seed), before any variant is asked, and are written into the plan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from math import log2
from typing import Any

from bitproof.errors import BitproofError, UsageError
from bitproof.evaluate.grading import grade
from bitproof.evaluate.runner import Runner, Subject
from bitproof.evaluate.suite.build import Profile
from bitproof.evaluate.suite.slice import Slice, make_items
from bitproof.store.runs import Store
from bitproof.types import NotMeasured, Progress

__all__ = ["choose", "level_scores", "shipped_levels"]

SELECTION_SEED = 1_000_003  # added to the suite's
LOW, HIGH = 0.2, 0.8
Scores = dict[str, dict[float, float]]  # slice -> level -> the reference's score


def level_scores(
    store: Store,
    tokenizer: Any,
    subject: Subject,
    wanted: Sequence[Slice],
    profile: Profile,
    *,
    seed: int,
    n: int = 12,
    progress: Progress | None = None,
) -> Scores:
    """The reference's score at every level that the profile can ask, on `n` items of another seed each.

    Levels are asked easiest first; after two in a row without a right answer the harder ones are not. Slices of which
    all levels are asked are left out, those whose part is not installed, and items that could not be graded.
    """
    found: Scores = {}
    steps = [(slice_, level) for slice_ in wanted for level in _to_choose(profile, slice_)]
    for number, (slice_, level) in enumerate(steps):
        if progress:
            progress(number, len(steps), slice_.name)
        scores = found.setdefault(slice_.name, {})
        if list(scores.values())[-2:] == [0.0, 0.0]:
            continue
        try:
            made = make_items(slice_, n, seed=seed + SELECTION_SEED, level=level)
        except UsageError:
            raise
        except BitproofError:  # a part that is not installed
            continue
        items = [item for item in made if item.max_tokens <= profile.max_tokens]
        grades = grade(store, items, Runner(store, items, tokenizer, seed=seed).ask(subject)).values()
        known = [one.score for one in grades if not isinstance(one.score, NotMeasured)]
        if known:
            scores[level] = sum(known) / len(known)
    return {name: scores for name, scores in found.items() if scores}


def _to_choose(profile: Profile, slice_: Slice) -> tuple[float, ...]:
    reachable = profile.reachable(slice_)
    return () if slice_.sweep or len(reachable) == 1 else reachable


def choose(scores: dict[float, float]) -> tuple[float, ...]:
    """The levels with scores of 20 to 80 %; where there is none, the one nearest to that, hardest first."""
    useful = tuple(level for level, score in sorted(scores.items()) if LOW <= score <= HIGH)
    if useful:
        return useful
    nearest = min(scores, key=lambda level: (max(LOW - scores[level], scores[level] - HIGH), -log2(1 + level)))
    return (nearest,)


def shipped_levels(reference_digest: str) -> dict[str, tuple[float, ...]]:
    """What was chosen for a reference that bitproof knows (`scripts/choose_levels.py`), else nothing."""
    text = resources.files("bitproof.data").joinpath("levels.json").read_text(encoding="utf-8")
    known = json.loads(text)["references"].get(reference_digest, {}).get("levels", {})
    return {name: tuple(levels) for name, levels in known.items()}
