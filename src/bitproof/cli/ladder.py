"""A measured ladder, shown: what `bitproof demo` and `bitproof measure` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitproof import __version__
from bitproof.cli.output import console, say, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bitproof.models import Reference
    from bitproof.report.ladder import LadderReport
    from bitproof.types import Artifact, Measurement

EMBEDDED_CAVEAT = (
    "The weights of the embedded model were published in 4 bits: they lie on a 32-wide asymmetric 4-bit grid (Q4_1). "
    "An asymmetric INT4 variant with groups of 32 is therefore nearly free here, and would not be on another model; "
    "symmetric groups of 64 are an honest test of a method."
)
EMULATED = (
    "Each variant is emulated in the reference's forward pass; `bitproof check` measures an artifact in its engine."
)


def ladder_report(
    reference: Reference,
    artifacts: Sequence[Artifact],
    measurements: Sequence[Measurement],
    floor: Sequence[Measurement],
    *,
    within_nats: float,
    how: dict[str, str],
    command: str,
) -> LadderReport:
    """Gather what the table, the page and the JSON of a ladder show; largest variant first, as a ladder goes."""
    from bitproof.quantize.recommend import recommend
    from bitproof.report.ladder import LadderReport
    from bitproof.types import NotMeasured

    def rank(row: Measurement) -> tuple[bool, float, float]:
        unknown = isinstance(row.size_bytes, NotMeasured)
        return unknown, 0.0 if isinstance(row.size_bytes, NotMeasured) else -row.size_bytes, row.kl_nats.value

    return LadderReport(
        reference=reference.name,
        n_parameters=reference.n_parameters,
        reference_bytes=sum(file.stat().st_size for file in reference.path.glob("*.safetensors")),
        measurements=tuple(sorted(measurements, key=rank)),
        floor=tuple(floor),
        variants={artifact.variant.name: artifact.variant for artifact in artifacts},
        recommendation=recommend(measurements, within_nats),
        how={
            "Reference": f"{reference.name}, sha256 {reference.digest[:16]}",
            **how,
            "Emulation": EMULATED,
            "Not quantized": not_quantized(artifacts),
        },
        caveats=caveats_of(reference),
        command=command,
    )


def caveats_of(reference: Reference) -> tuple[str, ...]:
    """What a reader must know of this reference before relying on figures about it."""
    from bitproof.models.reference import EMBEDDED

    return (EMBEDDED_CAVEAT,) if reference.name == EMBEDDED else ()


def not_quantized(artifacts: Sequence[Artifact]) -> str:
    """What variants left as it was, and why, one clause a reason."""
    modules: dict[str, dict[str, None]] = {}
    for artifact in artifacts:
        for module, reason in artifact.unquantized.items():
            modules.setdefault(reason, {})[module] = None
    clauses = []
    for reason, names in modules.items():
        shown = ", ".join(list(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        clauses.append(f"{shown} ({reason})")
    return "; ".join(clauses) or "nothing"


def show_ladder(report: LadderReport, output_format: str) -> None:
    """The table, what it rests on, and what it suggests; or all of it as JSON."""
    from rich.text import Text

    from bitproof.report.ladder import PROVISIONAL, headline
    from bitproof.report.terminal import floor_table, measurement_notes, measurement_table

    target = console()
    best = report.recommendation.variant
    parts: list[RenderableType] = [
        measurement_table(report.measurements, width=target.width, best=best),
        "",
        *measurement_notes(report.measurements),
    ]
    if report.floor:
        parts += ["", floor_table(report.floor, width=target.width)]
    parts += ["", Text(headline(report), style="bold"), PROVISIONAL, *report.caveats]
    show(report, output_format, parts, target)


def write_page(report: LadderReport, path: Path) -> None:
    """Write the self-contained page at `path`, aside first and then renamed."""
    from bitproof.report.html import render
    from bitproof.store.files import write_text

    write_text(path, render(report, version=__version__))
    say(f"Report: {path}")
