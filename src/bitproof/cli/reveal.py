"""The end of `bitproof demo`: three providers, drawn and sealed, audited, revealed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitproof.cli.output import console, say, show
from bitproof.cli.progress import progress

if TYPE_CHECKING:
    from bitproof.audit.reveal_results import Reveal
    from bitproof.models import Reference
    from bitproof.types import NotMeasured


def reveal_providers(
    title: str, reference: Reference, out: Path, *, seed: int, reveal_seed: int | None
) -> Reveal | NotMeasured:
    """Serve three variants of the embedded model, audit them, and tell; or say on stderr why not."""
    from bitproof.audit.plan import AuditPlan
    from bitproof.audit.profile import find_profile
    from bitproof.audit.reveal import draw, left_out, name_all, revealed, serving
    from bitproof.audit.reveal_results import REVEAL

    (out / REVEAL).unlink(missing_ok=True)  # of an earlier demo
    missing = left_out(reference)
    if missing:
        say(f"{title}: {missing.reason}.")
        return missing
    profile, drawn = find_profile(None, reference.name), draw(reveal_seed)
    say(f"{title}: drawn at random and sealed, sha256 {drawn.seal}")
    with progress(title) as report, serving(drawn, out, progress=report) as served:
        audits = name_all(served, profile, AuditPlan(seed=seed), progress=report)
    found = revealed(drawn, served, audits)
    _write_audits(found, out)
    return found


def show_reveal(found: Reveal | NotMeasured) -> None:
    """The verdicts, then what each provider was; nothing where there are none."""
    from bitproof.report.reveal_terminal import reveal_parts
    from bitproof.types import NotMeasured

    if not isinstance(found, NotMeasured):
        target = console()
        show(found, "table", ["", *reveal_parts(found, width=target.width)], target)


def _write_audits(found: Reveal, out: Path) -> None:
    """The page of each audit, with every answer."""
    from bitproof import __version__
    from bitproof.report.audit_html import render
    from bitproof.store.files import write_text

    for one in found.providers:
        write_text(out / "providers" / f"{one.name}.html", render(one.audit, version=__version__))
