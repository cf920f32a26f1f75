"""Answers as lm-evaluation-harness logs its samples (`--log_samples`): one JSON line an item, one file a task.

Fields and hashes are those of its `samples_TASK_DATE.jsonl` (0.4): every question is a request, whose conversation is
kept as JSON text, as it does for chat endpoints; the filter is "none"; the only metric is "score", the grader's. An
item counts once, under its own slice, which is the task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from bitproof.evaluate.records import Answered
from bitproof.report.json_ import to_plain
from bitproof.types import Item, NotMeasured, Response

__all__ = ["samples"]


def samples(found: Sequence[Answered], reference: Sequence[Answered]) -> dict[str, list[str]]:
    """Task -> its JSON lines, of what one subject answered; what could not be graded is left out.

    A document's number is its place among the reference's, so that it is the same for every subject.
    """
    places: dict[str, dict[str, int]] = {}
    for one in reference:
        numbers = places.setdefault(_task(one.item), {})
        numbers[one.item.id] = len(numbers)
    tasks: dict[str, list[str]] = {}
    for one in found:
        task = _task(one.item)
        number = places.get(task, {}).get(one.item.id)
        if number is not None and not isinstance(one.grade.score, NotMeasured):
            sample = _sample(number, one.item, one.response, one.grade.score)
            tasks.setdefault(task, []).append(json.dumps(sample, allow_nan=False))
    return tasks


def _task(item: Item) -> str:
    return item.slices[0] if item.slices else "all"


def _sample(number: int, item: Item, response: Response, score: float) -> dict[str, Any]:
    doc = to_plain(item)
    target = item.right if item.right is not None else json.dumps(to_plain(item.gold), sort_keys=True)
    prompts = _prompts(item, response)
    sampling = {"until": [], "max_gen_toks": item.max_tokens, "temperature": item.temperature}
    settings = {**sampling, "do_sample": item.temperature > 0}
    return {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {f"gen_args_{turn}": {"arg_0": [text], "arg_1": settings} for turn, text in enumerate(prompts)},
        "resps": [[text] for text in response.texts],
        "filtered_resps": list(response.texts[-1:]),
        "filter": "none",
        "metrics": ["score"],
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(prompts[0]),
        "target_hash": _hash(target),
        "score": float(score),
    }


def _prompts(item: Item, response: Response) -> list[str]:
    """The conversation before each answer, as JSON text."""
    messages = [{"role": message.role, "content": message.content} for message in item.messages]
    prompts = [json.dumps(messages, ensure_ascii=False)]
    for answer, question in zip(response.texts, item.follow_ups, strict=False):
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": question}]
        prompts.append(json.dumps(messages, ensure_ascii=False))
    return prompts


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
