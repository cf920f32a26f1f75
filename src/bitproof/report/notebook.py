"""An evaluation in a notebook: the verdict and the table of slices, with styles that need no page around them.

::

    from bitproof.report.notebook import show

    show("evaluation")  # the folder of a finished run, or an `Evaluation`

`%load_ext bitproof.report.notebook` shows every `Evaluation` so; the contract itself knows nothing of reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitproof.evaluate.records import read_evaluation
from bitproof.evaluate.results import Evaluation
from bitproof.report import evaluation as words
from bitproof.report.page import environment
from bitproof.report.safe import one_line

__all__ = ["Shown", "html", "load_ipython_extension", "show"]

SHADES = ("0", ".14", ".3", ".48", ".66")  # opacity of a step, over a light or a dark notebook


def html(evaluation: Evaluation) -> str:
    """The HTML of a cell's output; all that comes from outside is escaped."""
    grid = words.grid(evaluation)
    return (
        environment()
        .get_template("notebook.html")
        .render(
            evaluation=evaluation,
            verdict=words.verdict(evaluation),
            missing=words.missing(evaluation),
            grid=grid,
            diverges=words.diverges(grid),
            marks=words.MARKS,
            shade=_shade,
            undecided=words.UNDECIDED,
        )
    )


@dataclass(frozen=True, repr=False)
class Shown:
    """An evaluation that a notebook shows as its table, and a console as its verdict."""

    evaluation: Evaluation

    def _repr_html_(self) -> str:
        return html(self.evaluation)

    def __repr__(self) -> str:
        found = words.verdict(self.evaluation)
        return f"{found.label}: {one_line(found.headline)}"


def show(evaluation: Evaluation | Path | str) -> Shown:
    """An evaluation, or that of a finished run by its folder; raises UsageError where none is there."""
    return Shown(evaluation if isinstance(evaluation, Evaluation) else read_evaluation(Path(evaluation)))


def load_ipython_extension(ipython: Any) -> None:
    """Called by `%load_ext`: from now on an `Evaluation` that ends a cell is shown as its table."""
    ipython.display_formatter.formatters["text/html"].for_type(Evaluation, html)


def _shade(step: int) -> str:
    """Orange for a loss, blue for a gain, as on the page."""
    return f"rgba({'215,120,40' if step < 0 else '70,140,200'},{SHADES[abs(step)]})"
