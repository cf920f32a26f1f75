"""An evaluation, shown and written: what `bitproof evaluate`, `compare`, `demo` and `report` have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitproof import __version__
from bitproof.cli.output import console, say, show
from bitproof.errors import GateFailed, InconclusiveError, MissingPartError

if TYPE_CHECKING:
    from bitproof.audit.reveal_results import Reveal
    from bitproof.evaluate.results import Evaluation
    from bitproof.report.forms import Finished
    from bitproof.report.ladder import LadderReport
    from bitproof.types import NotMeasured

FORMS = ("html", "markdown", "junit", "model-card", "json", "lm-eval", "inspect", "parquet")
NEEDS = {"inspect": "inspect_ai", "parquet": "pyarrow"}  # form -> the module it needs, an extra of the form's name

write_option = click.option(
    "--write",
    type=click.Choice(FORMS),
    multiple=True,
    help="Write this form of the report, too; may be repeated. A run itself writes html and json.",
)


def check_forms(forms: Sequence[str]) -> None:
    """Raise MissingPartError where a form cannot be written: before a run, not at its end."""
    for form, module in NEEDS.items():
        if form in forms and find_spec(module) is None:
            raise MissingPartError(
                f"--write {form} needs {module}, which is not installed",
                remedy=f"Install it: pip install 'bitproof[{form}]'",
            )


def show_evaluation(
    evaluation: Evaluation,
    output_format: str,
    ladder: LadderReport | None = None,
    reveal: Reveal | NotMeasured | None = None,
) -> None:
    """The verdict, the table, the cliffs and the gates; or JSON, of the ladder and the demo's providers too."""
    from bitproof.report.evaluation_terminal import evaluation_parts

    target = console()
    record = evaluation if ladder is None else {"ladder": ladder, "evaluation": evaluation}
    if reveal is not None:
        record = {"ladder": ladder, "evaluation": evaluation, "reveal": reveal}
    show(record, output_format, evaluation_parts(evaluation, width=target.width), target)


def write_evaluation(
    evaluation: Evaluation,
    folder: Path,
    ladder: LadderReport | None = None,
    *,
    reveal: Reveal | NotMeasured | None = None,
    also: Sequence[str] = (),
) -> None:
    """Write the page and the data of an evaluation into `folder`, which holds its answers, and the forms in `also`."""
    from bitproof.report.forms import Finished

    run = Finished(evaluation=evaluation, ladder=ladder, folder=folder, when=datetime.now(UTC), reveal=reveal)
    write_forms(run, folder, tuple(dict.fromkeys(("json", "html", *also))))


def write_forms(run: Finished, out: Path, forms: Sequence[str]) -> None:
    """Write forms of a report into a folder, and say where each is."""
    from bitproof.report.forms import write_form

    for form in forms:
        files = write_form(form, run, out, version=__version__)
        place = files[0] if len(files) == 1 else f"{len(files)} files in {os.path.commonpath(files)}"
        say(f"{'Report' if form == 'html' else form}: {place}")


def end(evaluation: Evaluation) -> None:
    """Raise what the exit code of the decision asks for: nothing where a variant is proven good enough."""
    decision = evaluation.recommendation
    if decision is None or decision.chosen is not None:
        return
    if decision.outcome == "fail":
        raise GateFailed("no variant is proven good enough")
    raise InconclusiveError("no variant is proven good enough, and none is shown not to be")
