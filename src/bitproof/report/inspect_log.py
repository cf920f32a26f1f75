"""Answers as an Inspect log (`.eval`), for `inspect view` and Inspect's data frames: one log a variant.

Needs the package `inspect-ai` (extra `inspect`), which writes the file and checks its structure. A sample's score is
the grader's; the reference's answer and score stand in its metadata, and the slices' figures with their intervals in
the results. Inspect's time of creation is an argument: a report has no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bitproof.errors import MissingPartError
from bitproof.evaluate.results import Evaluation, VariantResult
from bitproof.report.json_ import to_plain
from bitproof.report.safe import one_line
from bitproof.types import ItemPair, NotMeasured, Response, SliceComparison

__all__ = ["inspect_log", "write_inspect_log"]

STOP = {"stop": "stop", "length": "max_tokens", "error": "unknown"}


def write_inspect_log(
    evaluation: Evaluation, row: VariantResult, pairs: Sequence[ItemPair], path: Path, *, created: str, version: str
) -> None:
    """Write what a variant answered to `pairs` at `path`, which ends in `.eval`.

    `created` is a time in ISO 8601 with its zone, `version` bitproof's own. Raises MissingPartError where inspect-ai is
    not installed.
    """
    try:
        library = import_module("inspect_ai.log")
    except ImportError as error:
        raise MissingPartError(
            "an Inspect log needs the package inspect-ai, which is not installed",
            remedy="Install it: pip install 'bitproof[inspect]'",
        ) from error
    log = library.EvalLog.model_validate(inspect_log(evaluation, row, pairs, created=created, version=version))
    library.write_eval_log(log, str(path), format="eval")


def inspect_log(
    evaluation: Evaluation, row: VariantResult, pairs: Sequence[ItemPair], *, created: str, version: str
) -> dict[str, Any]:
    """The log in JSON types, after Inspect's `EvalLog`, version 2 of its format."""
    model = f"bitproof/{one_line(row.name)}"
    log = {
        "version": 2,
        "status": "cancelled" if row.stopped else "success",
        "eval": {
            "created": created,
            "task": evaluation.suite,
            "task_args": {  # Inspect's own version of a task is a number in older releases
                "seed": evaluation.seed,
                "suite_digest": evaluation.suite_digest,
                "plan_digest": evaluation.plan_digest,
            },
            "dataset": {
                "name": evaluation.suite,
                "samples": len(pairs),
                "sample_ids": [pair.item.id for pair in pairs],
            },
            "model": model,
            "config": {"epochs": 1},
            "packages": {"bitproof": version},
            "metadata": {"reference": evaluation.reference, "engine": row.engine, "how": evaluation.how},
        },
        "results": {
            "total_samples": evaluation.n_items,
            "completed_samples": len(pairs),
            "scores": [score for found in (*row.comparisons, row.overall) for score in _scores(found)],
        },
        "stats": {"started_at": created, "completed_at": created},
        "samples": [_sample(pair, model) for pair in pairs],
    }
    plain: dict[str, Any] = _utf8(to_plain(log))
    return plain


def _scores(found: SliceComparison) -> Iterator[dict[str, Any]]:
    """A slice's figures; those that were not measured are left out, as Inspect's metrics must be numbers."""
    estimates = {
        "score": found.variant_score,
        "reference_score": found.reference_score,
        "difference": found.difference,
        "kl_nats": found.kl_nats,
    }
    metrics = {
        name: {"name": name, "value": value.value, "metadata": to_plain(value)}
        for name, value in estimates.items()
        if not isinstance(value, NotMeasured)
    }
    if metrics:
        yield {"name": found.slice, "scorer": "bitproof", "metrics": metrics, "scored_samples": found.n_items}


def _sample(pair: ItemPair, model: str) -> dict[str, Any]:
    item = pair.item
    asked = [{"role": message.role, "content": message.content} for message in item.messages]
    last = {"role": "assistant", "content": pair.variant.text}
    said = _conversation(asked, item.follow_ups, pair.variant)
    return {
        "id": item.id,
        "epoch": 1,
        "input": asked,
        "target": item.right if item.right is not None else str(to_plain(item.gold)),
        "messages": said,
        "output": {
            "model": model,
            "choices": [{"message": last, "stop_reason": STOP[pair.variant.finish]}],
            "usage": {
                "input_tokens": pair.variant.prompt_tokens,
                "output_tokens": pair.variant.answer_tokens,
                "total_tokens": pair.variant.prompt_tokens + pair.variant.answer_tokens,
            },
            "time": pair.variant.total_s,
            "error": pair.variant.error or None,
        },
        "scores": {"score": {"value": pair.variant_score, "answer": pair.variant.text}},
        "metadata": {
            "slices": item.slices,
            "cluster": item.cluster,
            "level": item.level,
            "grader": item.grader,
            "tool_calls": pair.variant.tool_calls,
            "reference_answers": pair.reference.texts,
            "reference_score": pair.reference_score,
            "kl_nats": pair.kl_nats,
            "first_change": pair.first_change,
        },
    }


def _conversation(
    asked: Sequence[dict[str, str]], follow_ups: Sequence[str], response: Response
) -> list[dict[str, str]]:
    said = list(asked)
    for number, text in enumerate(response.texts):
        if number and number <= len(follow_ups):
            said.append({"role": "user", "content": follow_ups[number - 1]})
        said.append({"role": "assistant", "content": text})
    return said


def _utf8(value: Any) -> Any:
    """`value` with half surrogates, which Inspect refuses, as their escapes."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        case dict():
            return {_utf8(key): _utf8(item) for key, item in value.items()}
        case list():
            return [_utf8(item) for item in value]
    return value
