"""Grades of answers: kept by answer and grader version, so that grading again never asks again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bitproof.evaluate.graders.registry import find_grader
from bitproof.evaluate.graders.sampled import with_diversity
from bitproof.evaluate.graders.several import grade_all
from bitproof.evaluate.runner import Answers
from bitproof.store.runs import Store, digest_of
from bitproof.types import Grade, Item, NotMeasured

__all__ = ["grade"]


def grade(store: Store, items: Sequence[Item], answers: Answers) -> dict[str, Grade]:
    """The grade of every item that has an answer, by item id; an answer that failed is not measured."""
    keys = {item.id: _key(item, answers) for item in items if item.id in answers.responses}
    known = store.grades(keys.values())
    found: dict[str, Grade] = {}
    new: list[Item] = []
    for item in items:
        if item.id not in keys:
            continue
        key, response = keys[item.id], answers.responses[item.id]
        if response.error:
            found[item.id] = Grade(score=NotMeasured(f"no answer: {response.error}"))
        elif key in known:
            found[item.id] = _read(known[key])
        else:
            new.append(item)
    graded = grade_all([(item, answers.responses[item.id]) for item in new])
    found |= {item.id: one for item, one in zip(new, graded, strict=True)}
    store.keep_grades(
        {
            keys[item.id]: asdict(one)
            for item, one in zip(new, graded, strict=True)
            if not isinstance(one.score, NotMeasured)  # what is lacking here may be there next time
        }
    )
    return with_diversity(items, answers.responses, found)


def _key(item: Item, answers: Answers) -> str:
    response, grader = answers.responses[item.id], find_grader(item.grader)
    answered = [response.texts, response.finish, [asdict(call) for call in response.tool_calls]]
    return digest_of([asdict(item), answered, grader.name, grader.version])


def _read(record: dict[str, Any]) -> Grade:
    return Grade(score=record["score"], parts=record["parts"], note=record["note"])
