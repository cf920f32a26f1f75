"""`bitproof report`: the reports on a finished run, made again."""

from __future__ import annotations

from pathlib import Path

import click

from bitproof.cli.evaluation import check_forms, show_evaluation, write_forms, write_option
from bitproof.cli.options import format_option


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@write_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for what is written; FOLDER itself otherwise.",
)
@format_option
def report(folder: Path, write: tuple[str, ...], out: Path | None, output_format: str) -> None:
    """Show a finished run again, and write its reports.

    FOLDER is what was --out of `bitproof evaluate`, `compare` or `demo`. Nothing is asked and no weights are read.
    Writes report.html where no --write says otherwise.
    """
    from bitproof.cli.ladder import show_ladder
    from bitproof.cli.reveal import show_reveal
    from bitproof.report.forms import read_finished

    forms = write or ("html",)
    check_forms(forms)
    run = read_finished(folder)
    if run.ladder is not None and (output_format == "table" or run.evaluation is None):
        show_ladder(run.ladder, output_format)
    if run.evaluation is not None:
        show_evaluation(run.evaluation, output_format, run.ladder, run.reveal)
    if run.reveal is not None and output_format == "table":
        show_reveal(run.reveal)
    write_forms(run, out or folder, forms)
