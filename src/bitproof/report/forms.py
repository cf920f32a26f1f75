"""Every form of a report on a finished run, and the files that each of them is. They need no engine and no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bitproof.audit.reveal_results import REVEAL, Reveal, read_reveal
from bitproof.errors import UsageError
from bitproof.evaluate.plain import read_as, read_json
from bitproof.evaluate.records import (
    ANSWERS,
    EVALUATION,
    LADDER,
    SPEED,
    Answered,
    file_name,
    item_pairs,
    read_answers,
    read_evaluation,
)
from bitproof.evaluate.results import Evaluation
from bitproof.evaluate.speed_results import SpeedReport
from bitproof.report.json_ import to_json
from bitproof.report.ladder import LadderReport
from bitproof.store.files import write_aside
from bitproof.types import NotMeasured

__all__ = ["FORMS", "Finished", "read_finished", "write_form"]

File = tuple[str, str | Callable[[Path], None]]  # its name in the folder, and its text or what writes it


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a finished run left: at least one of an evaluation and a ladder.

    `folder` holds the answers and the database; `when` it ended, in UTC. `speed` is what `bitproof bench` left there,
    `reveal` what `bitproof demo` did.
    """

    evaluation: Evaluation | None
    ladder: LadderReport | None
    folder: Path
    when: datetime
    speed: SpeedReport | None = None
    reveal: Reveal | NotMeasured | None = None


def read_finished(folder: Path) -> Finished:
    """What is in the folder of a run; raises UsageError where none has finished there, or its records are damaged."""
    evaluation, ladder, speed, reveal = (folder / name for name in (EVALUATION, LADDER, SPEED, REVEAL))
    records = [path for path in (evaluation, ladder) if path.is_file()]
    if not records:
        unfinished = (folder / ANSWERS).is_dir() or any(folder.glob("*.sqlite"))
        raise UsageError(
            f"holds neither {EVALUATION} nor {LADDER}",
            where=str(folder),
            remedy="The run there is not finished: the same command goes on with it."
            if unfinished
            else "Name the folder that was --out of `bitproof evaluate`, `compare` or `demo`.",
        )
    inner = folder / "evaluation"  # where `bitproof demo` keeps answers
    return Finished(
        evaluation=read_evaluation(folder) if evaluation in records else None,
        ladder=read_as(LadderReport, read_json(ladder), where=str(ladder)) if ladder in records else None,
        folder=inner if (inner / ANSWERS).is_dir() and not (folder / ANSWERS).is_dir() else folder,
        when=datetime.fromtimestamp(records[0].stat().st_mtime, UTC),
        speed=read_as(SpeedReport, read_json(speed), where=str(speed)) if speed.is_file() else None,
        reveal=read_reveal(read_json(reveal), where=str(reveal)) if reveal.is_file() else None,
    )


def write_form(form: str, run: Finished, out: Path, *, version: str) -> list[Path]:
    """Write one of FORMS into a folder, each file aside first; returns the files. `version` is bitproof's own.

    Raises UsageError for a form that this run has no records for, MissingPartError where a package is missing.
    """
    if run.evaluation is None and form not in LADDER_FORMS:
        raise UsageError(
            "holds a ladder and no evaluation",
            where=str(run.folder),
            remedy=f"It can be written as {' or '.join(LADDER_FORMS)}; `bitproof evaluate` makes what {form} needs.",
        )
    written = []
    for name, content in FORMS[form](run, version):
        write_aside(out / name, partial(_put, content))
        written.append(out / name)
    return written


def _put(content: str | Callable[[Path], None], path: Path) -> None:
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        content(path)


def _html(run: Finished, version: str) -> Iterator[File]:
    from bitproof.report import evaluation_html, html

    if run.evaluation is not None:
        page = evaluation_html.render(
            run.evaluation, ladder=run.ladder, speed=run.speed, reveal=run.reveal, version=version
        )
        yield "report.html", page
    elif run.ladder is not None:
        yield "report.html", html.render(run.ladder, version=version)


def _json(run: Finished, _: str) -> Iterator[File]:
    for name, record in ((EVALUATION, run.evaluation), (LADDER, run.ladder), (REVEAL, run.reveal)):
        if record is not None:
            yield name, to_json(record)


def _markdown(run: Finished, version: str) -> Iterator[File]:
    from bitproof.report.evaluation_markdown import markdown

    yield "evaluation.md", markdown(_evaluation(run), version=version)


def _junit(run: Finished, _: str) -> Iterator[File]:
    from bitproof.report.junit import junit

    yield "junit.xml", junit(_evaluation(run))


def _model_card(run: Finished, version: str) -> Iterator[File]:
    from bitproof.report.model_card import model_card

    for variant in _evaluation(run).variants:
        yield f"{file_name(variant.name)}.md", model_card(_evaluation(run), variant.name, version=version)


def _lm_eval(run: Finished, _: str) -> Iterator[File]:
    from bitproof.report.lm_eval_samples import samples

    reference, when = _reference(run), run.when.strftime("%Y-%m-%dT%H-%M-%S.%f")
    for subject in (_evaluation(run).reference, *(variant.name for variant in _evaluation(run).variants)):
        for task, lines in samples(read_answers(run.folder, subject), reference).items():
            name = f"lm-eval/{file_name(subject)}/samples_{file_name(task)}_{when}.jsonl"
            yield name, "".join(f"{line}\n" for line in lines)


def _inspect(run: Finished, version: str) -> Iterator[File]:
    from bitproof.report.inspect_log import write_inspect_log

    made, reference = _evaluation(run), _reference(run)
    for row in made.variants:
        pairs = list(item_pairs(reference, read_answers(run.folder, row.name)))
        write = partial(write_inspect_log, made, row, pairs, created=run.when.isoformat(), version=version)
        yield f"inspect/{file_name(row.name)}.eval", write


def _parquet(run: Finished, _: str) -> Iterator[File]:
    from bitproof.report.token_table import write_tokens

    made = _evaluation(run)
    subjects = [row.name for row in (*made.variants, *made.noise)]
    yield "tokens.parquet", partial(write_tokens, run.folder, made.reference, subjects)


def _reference(run: Finished) -> list[Answered]:
    return read_answers(run.folder, _evaluation(run).reference)


def _evaluation(run: Finished) -> Evaluation:
    assert run.evaluation is not None  # write_form saw to it
    return run.evaluation


FORMS: dict[str, Callable[[Finished, str], Iterator[File]]] = {
    "html": _html,
    "markdown": _markdown,
    "junit": _junit,
    "model-card": _model_card,
    "json": _json,
    "lm-eval": _lm_eval,
    "inspect": _inspect,
    "parquet": _parquet,
}
LADDER_FORMS = ("html", "json")
