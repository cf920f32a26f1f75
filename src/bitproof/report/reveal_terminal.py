"""The demo's reveal for a terminal: three verdicts, then what each provider was."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from bitproof.audit.reveal_results import Reveal
from bitproof.report.evaluation_terminal import folded
from bitproof.report.reveal_words import check, command, headline, intro, provider_row, revealed
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
            *(
                Column(name)
                for name in ("effective bits, 95 %" if wide else "effective\nbits, 95 %", "tokens", "seconds")
            ),
        ],
        [
            [
                row.name,
                row.outcome,
                row.closest if wide else "\n".join(folded(name, CLOSEST) for name in row.closest.split(" or ")),
                row.bits if wide else row.bits.replace(" to ", "\nto "),
                row.tokens,
                row.seconds,
            ]
            for row in rows
        ],
    )
    return [
        Text(f"Three providers of {reveal.model}", style="bold"),
        f"{intro(reveal)} Each was asked as `{command(reveal)}` asks.",
        "",
        verdicts,
        "",
        Text(f"Revealed: {headline(reveal)}", style="bold"),
        *(f"{one.name} was {revealed(one)}" for one in reveal.providers),
        "Sealed before the first question, as the sha256 that this prints:",
        f"  {reveal.seal}",
        *(f"  {line}" for line in check(reveal).splitlines()),
    ]
