"""An evaluation as Markdown, for pull requests and notes: the page's tables, in the page's order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bitproof.evaluate.results import Evaluation
from bitproof.report import evaluation as words
from bitproof.report import figures
from bitproof.report.evaluation import MARKS, Cell
from bitproof.report.gates import gate_row, p_value
from bitproof.report.safe import one_line
from bitproof.types import Estimate, NotMeasured

__all__ = ["cell_text", "code", "markdown", "text"]

SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#!|~$&@])")  # of CommonMark, GitHub's tables, mentions and formulas


def markdown(evaluation: Evaluation, *, version: str) -> str:
    """The whole report; what comes from outside has no meaning for Markdown or HTML."""
    lines = [f"# What each variant of {text(evaluation.reference)} loses", ""]
    lines += [*_verdict(evaluation), "", "## What each slice loses", ""]
    lines += ["Variant less reference in percentage points, with its interval.", ""]
    lines += [*_slices(evaluation), "", *_notes(evaluation)]
    if evaluation.recommendation:
        lines += ["## What was required, and what came out", "", *_gates(evaluation), ""]
    lines += ["## Cliffs", "", *_cliffs(evaluation), "", "## Size and quality", "", *_overview(evaluation), ""]
    lines += ["## How it was measured", "", *_how(evaluation), "", f"bitproof {text(version)}", ""]
    return "\n".join(lines)


def text(value: str, limit: int = 500) -> str:
    """Text from outside, on one line, with all that Markdown would read escaped."""
    return SPECIAL.sub(r"\\\1", one_line(value, limit))


def code(value: str) -> str:
    """Text from outside as code; a fence longer than any of its own holds it."""
    shown = one_line(value, 2000)
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    return f"{fence} {shown} {fence}".replace("|", "\\|") if "`" in shown else f"`{shown}`".replace("|", "\\|")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """A table whose first `left` columns are text."""
    rule = [":--" if number < left else "--:" for number in range(len(headings))]
    return ["| " + " | ".join(row) + " |" for row in (headings, rule, *rows)]


def _verdict(evaluation: Evaluation) -> Iterator[str]:
    found = words.verdict(evaluation)
    mark = f"{MARKS[found.outcome]} " if found.outcome else ""
    yield f"**{mark}{found.label}: {text(found.headline)}**"
    if found.words:
        yield ""
        yield text(found.words, 2000)
    lines = words.missing(evaluation)
    if lines:
        yield ""
        yield "Not measured:"
        yield ""
        yield from (f"- {text(what)}: {text(why)}" for what, why in lines)
    if evaluation.caveats:
        yield ""
        yield "Before relying on these figures:"
        yield ""
        yield from (f"- {text(caveat, 2000)}" for caveat in evaluation.caveats)


def _slices(evaluation: Evaluation) -> list[str]:
    headings = ["slice", "reference", *(text(row.name) for row in evaluation.variants)]
    rows = [
        [text(row.title), row.reference[0], *(cell_text(cell) for cell in row.cells)] for row in words.grid(evaluation)
    ]
    return _table(headings, rows)


def cell_text(cell: Cell) -> str:
    """A cell of the table in one line: `-3.1 [-5.0, -1.2] ✗`, `KL 0.03 [...]`; `~` where it is undecided."""
    mark = MARKS[cell.outcome] if cell.outcome else "~" if cell.undecided else ""
    value = f"KL {cell.value}" if cell.kind == "divergence" else cell.value
    return " ".join(part for part in (value, cell.interval, mark) if part)


def _notes(evaluation: Evaluation) -> Iterator[str]:
    kl = " KL: divergence in nats per token." if words.diverges(words.grid(evaluation)) else ""
    yield f"✓ pass, ✗ fail, ? inconclusive, – not measurable, \\~ {words.UNDECIDED}.{kl}"
    yield ""
    for where, why in words.undecidable(evaluation):
        yield f"{text(where)}: {text(why)}."
        yield ""


def _gates(evaluation: Evaluation) -> list[str]:
    assert evaluation.recommendation is not None
    rows = []
    for rung in evaluation.recommendation.rungs:
        for gate in rung.gates:
            row = gate_row(gate)
            outcome = f"{MARKS[row.outcome]} {row.outcome}" + ("" if rung.tested else " (not tested)")
            figure = " ".join(part for part in row.figure if part)
            rows.append([text(rung.variant), code(row.requirement), outcome, figure, text(row.evidence), row.decides])
    lines = _table(["variant", "requirement", "outcome", "measured", "evidence", "what would decide it"], rows, left=6)
    lines += ["", *(f"- {text(rung.variant)}: {text(rung.why)}" for rung in evaluation.recommendation.rungs)]
    passed_over = evaluation.recommendation.passed_over.items()
    return [*lines, *(f"- {text(name)} was passed over: {text(why)}." for name, why in passed_over)]


def _cliffs(evaluation: Evaluation) -> list[str]:
    rows = [
        [
            text(variant.name),
            text(words.cliff_name(evaluation, cliff.name)),
            *(" ".join(figures.points(one)) for one in (cliff.contrast, cliff.group, cliff.rest)),
            p_value(cliff.p_holm),
        ]
        for variant in evaluation.variants
        for cliff in variant.cliffs
        if cliff.found
    ]
    if not rows:
        return ["None was found among the slices and levels that could be compared."]
    return _table(["variant", "where", "more than the rest, points", "there", "the rest", "p, Holm"], rows, left=2)


def _overview(evaluation: Evaluation) -> list[str]:
    rows = [
        [
            text(row.name),
            "–" if isinstance(row.size_bytes, NotMeasured) else figures.size(row.size_bytes),
            "–" if isinstance(row.bits_per_parameter, NotMeasured) else figures.bits(row.bits_per_parameter),
            _joined(row.overall.difference, points=True),
            _joined(row.overall.kl_nats),
            _joined(row.tokens_per_s),
        ]
        for row in evaluation.variants
    ]
    headings = ["variant", "size", "bits per parameter", "all items, points", "mean KL, nats per token", "tokens/s"]
    return _table(headings, rows)


def _joined(value: Estimate | NotMeasured, *, points: bool = False) -> str:
    if isinstance(value, NotMeasured):
        return "–"
    return " ".join(figures.points(value) if points else (figures.number(value.value), figures.interval(value)))


def _how(evaluation: Evaluation) -> Iterator[str]:
    yield f"- Suite: {text(evaluation.suite)}, seed {evaluation.seed}, sha256 {code(evaluation.suite_digest)}"
    yield f"- Plan, fixed before the first answer: sha256 {code(evaluation.plan_digest)}"
    yield from (f"- {text(what)}: {text(how)}" for what, how in evaluation.how.items())
    if evaluation.command:
        yield f"- Repeat it: {code(evaluation.command)}"
