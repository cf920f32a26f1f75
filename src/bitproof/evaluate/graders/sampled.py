"""How much sampled answers to the same prompt differ: a property of several answers, told by each of their grades.

Parts, with the temperature in their name ("distinct_answers_t0.5"): `distinct_answers`, the share of different answers
among the n to one prompt, from 1/n (all the same, as they are at T = 0) to 1; `self_overlap`, see `diversity`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bitproof.evaluate.graders.diversity import self_overlap
from bitproof.evaluate.graders.reasoning import answered
from bitproof.types import Grade, Item, Response

__all__ = ["with_diversity"]


def with_diversity(
    items: Sequence[Item], responses: Mapping[str, Response], grades: Mapping[str, Grade]
) -> dict[str, Grade]:
    """The grades, by item id; those of prompts that were answered more than once, with the parts above."""
    asked: dict[tuple[str, float, str], list[Item]] = {}
    for item in items:
        if item.temperature and item.id in grades and item.id in responses and not responses[item.id].error:
            asked.setdefault((repr(item.messages), item.temperature, item.cluster), []).append(item)
    found = dict(grades)
    for same in asked.values():
        if len(same) < 2:
            continue
        texts = [answered(responses[item.id]).text.strip() for item in same]
        of_all = {"distinct_answers": len(set(texts)) / len(texts), "self_overlap": self_overlap(texts)}
        parts = {f"{name}_t{same[0].temperature:g}": value for name, value in of_all.items()}
        for item in same:
            found[item.id] = replace(found[item.id], parts={**found[item.id].parts, **parts})
    return found
