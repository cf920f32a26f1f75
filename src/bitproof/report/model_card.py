"""A variant's evaluation for its Hugging Face model card: the front matter's `model-index`, and a section of text.

The structure is the Hub's (`huggingface_hub.EvalResult`, flattened there): one result for each slice, whose metrics are
the variant's score and its difference from the reference in percentage points, or the divergence where outcomes cannot
be measured. What a metric's figure rests on stands in its `args`: the interval, its level, items and clusters.
What was not measured is not in the index; the text says why.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import yaml

from bitproof.errors import UsageError
from bitproof.evaluate.results import Evaluation, VariantResult
from bitproof.report import evaluation as words
from bitproof.report import figures
from bitproof.report.evaluation_markdown import cell_text, code, text
from bitproof.report.safe import one_line
from bitproof.types import Estimate, NotMeasured, SliceComparison

__all__ = ["front_matter", "model_card", "section"]


def model_card(evaluation: Evaluation, variant: str, *, version: str, base_model: str | None = None) -> str:
    """Front matter and section of a new card, or to be merged into one; `base_model` is the reference's id on the Hub.

    Raises UsageError where the evaluation has no such variant.
    """
    data = front_matter(evaluation, variant, base_model=base_model)
    matter = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{matter}---\n\n{section(evaluation, variant, version=version)}"


def front_matter(evaluation: Evaluation, variant: str, *, base_model: str | None = None) -> dict[str, Any]:
    """The card's metadata as plain types."""
    row = _variant(evaluation, variant)
    data: dict[str, Any] = {}
    if base_model:
        data |= {"base_model": one_line(base_model), "base_model_relation": "quantized"}
    data["tags"] = ["bitproof", "quantized"]
    results = [
        _result(evaluation, found, metrics)
        for found in (*row.comparisons, row.overall)
        if (metrics := list(_metrics(found)))
    ]
    if results:
        data["model-index"] = [{"name": one_line(f"{evaluation.reference} {row.name}"), "results": results}]
    return data


def section(evaluation: Evaluation, variant: str, *, version: str) -> str:
    """What the variant loses, slice by slice, as Markdown."""
    row = _variant(evaluation, variant)
    column = [one.name for one in evaluation.variants].index(row.name)
    lines = [
        "## What this variant loses",
        "",
        f"{text(row.name)}, {text(row.describe)}: compared with {text(evaluation.reference)} on the same "
        f"{evaluation.n_items:,} items of the suite {text(evaluation.suite)} (seed {evaluation.seed}, sha256 "
        f"{code(evaluation.suite_digest[:16])}) by bitproof {text(version)}. Differences are in percentage points.",
        "",
        f"{_verdict(evaluation, row)}",
        "",
        "| slice | reference | difference |",
        "| :-- | --: | --: |",
    ]
    rows = words.grid(evaluation)
    lines += [f"| {text(line.title)} | {line.reference[0]} | {cell_text(line.cells[column])} |" for line in rows]
    kl = " KL: divergence in nats per token." if any(line.cells[column].kind == "divergence" for line in rows) else ""
    lines += ["", f"\\~ {words.UNDECIDED}.{kl}", ""]
    lacking = words.missing(evaluation)
    if lacking:
        lines += ["Not measured:", "", *(f"- {text(what)}: {text(why)}" for what, why in lacking), ""]
    return "\n".join(lines)


def _variant(evaluation: Evaluation, name: str) -> VariantResult:
    for row in evaluation.variants:
        if row.name == name:
            return row
    names = [row.name for row in evaluation.variants]
    near = difflib.get_close_matches(name, names, n=1) or names[:3]
    raise UsageError(
        "is not in this evaluation", where=f"variant {one_line(name)}", remedy=f"It has {', '.join(near) or 'none'}."
    )


def _verdict(evaluation: Evaluation, row: VariantResult) -> str:
    rung = words.rung_of(evaluation, row.name)
    standing = words.standing(evaluation, row.name)[1]
    if rung is None:
        return f"Decision: {standing}." if standing else "No requirement was set for it."
    gates = ", ".join(f"{text(gate.requirement.text)} {gate.outcome}" for gate in rung.gates)
    return f"Decision: {standing}. {text(rung.why)} Requirements: {gates or 'none'}."


def _result(evaluation: Evaluation, found: SliceComparison, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    title = words.title(evaluation, found.slice)
    return {
        "task": {"type": "text-generation", "name": one_line(title)},
        "dataset": {
            "type": "bitproof",
            "name": one_line(f"bitproof {evaluation.suite}: {title}"),
            "config": one_line(found.slice),
            "revision": one_line(evaluation.suite_digest),
            "args": {"seed": evaluation.seed},
        },
        "metrics": metrics,
    }


def _metrics(found: SliceComparison) -> Iterator[dict[str, Any]]:
    if not isinstance(found.difference, NotMeasured):
        if not isinstance(found.variant_score, NotMeasured):
            yield _metric("accuracy", "score, %", found.variant_score, 100)
        yield _metric("accuracy_difference", "difference from the reference, percentage points", found.difference, 100)
    elif not isinstance(found.kl_nats, NotMeasured):
        yield _metric("kl_divergence", "mean KL from the reference, nats per token", found.kl_nats, 1)


def _metric(kind: str, name: str, value: Estimate, factor: float) -> dict[str, Any]:
    """A metric; its bounds are absent where there is no interval."""
    bounds = {"low": value.low, "high": value.high}
    known = {key: _rounded(factor * bound) for key, bound in bounds.items() if bound == bound}
    args = {**known, **({"level": value.level} if known else {}), "n_items": value.n, "n_clusters": value.n_clusters}
    return {"type": kind, "value": _rounded(factor * value.value), "name": name, "args": args}


def _rounded(value: float) -> float:
    """To the digits that reports show and one more."""
    return round(value, figures.decimals(value) + 1)
