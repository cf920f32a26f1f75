"""The demo's reveal for a terminal: three verdicts, then what each provider was."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from bitproof.audit.reveal_results import Reveal
from bitproof.report.evaluation_terminal import folded
from bitproof.report.reveal_words import check, headline, intro, provider_row, revealed
from bitproof.report.terminal import WIDE, Column, table

__all__ = ["reveal_parts"]

CLOSEST = 22  # characters of a line, where there is little room


def reveal_parts(reveal: Reveal, *, width: int = WIDE) -> list[RenderableType]:
    """The parts to print, in their order; strings are lines, to be printed with markup=False."""
    wide = width >= WIDE
    rows = [provider_row(one) for one in reveal.providers]
    verdicts = table(
        [
            *(Column(name, figures=False) for name in ("provider", "verdict", "closest")),
            *(Column(name) for name in ("effective bits", "tokens", "seconds")),
        ],
        [
            [
                row.name,
                row.outcome,
                row.closest if wide else "\n".join(folded(name, CLOSEST) for name in row.closest.split(" or ")),
                (" " if wide else "\n").join(part for part in row.bits if part),
                row.tokens,
                row.seconds,
            ]
            for row in rows
        ],
    )
    return [
        Text(f"Three providers of {reveal.model}", style="bold"),
        intro(reveal),
        "",
        verdicts,
        "",
        Text(f"Revealed: {headline(reveal)}", style="bold"),
        *(f"{one.name} was {revealed(one)}" for one in reveal.providers),
        f"Sealed before the first question: sha256 {reveal.seal}, which is that of:",
        f"  {check(reveal)}",
    ]
