"""`bitproof audit`: which precision an endpoint serves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitproof.cli.options import format_option, seed_option
from bitproof.cli.output import console, show
from bitproof.cli.progress import progress

if TYPE_CHECKING:
    from bitproof.audit.results import AuditReport

FORMS = (".html", ".json")
TESTS = ("auto", "top-logprobs", "logprob", "text", "sampled")


@click.command()
@click.argument("url")
@click.option("--reference", metavar="NAME", help="A reference whose profile comes with bitproof: smollm2-135m.")
@click.option("--profile", "profile_file", metavar="FILE", help="Made by bitproof profile.")
@click.option("--model", metavar="NAME", help="The model's name at the endpoint, where it offers several.")
@click.option("--key-env", metavar="NAME", help="The environment variable that holds the endpoint's key.")
@click.option(
    "--test",
    type=click.Choice(TESTS),
    default="auto",
    show_default=True,
    help="What to rely on: the best that the endpoint allows, or this. `sampled` is text at temperature 1.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="The chance of calling a benign endpoint inconsistent, on engines like those of the profile.",
)
@click.option("--top-logprobs", type=click.IntRange(1, 20), default=20, show_default=True, help="Alternatives a token.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=5),
    help="Most tokens of answers. [default: 60 with top logprobs, 200 with one, 2000 of text, 5000 sampled]",
)
@click.option("--out", metavar="FILE", help="Write the report here: FILE.html or FILE.json.")
@seed_option
@format_option
def audit(
    url: str,
    reference: str | None,
    profile_file: str | None,
    model: str | None,
    key_env: str | None,
    test: str,
    alpha: float,
    top_logprobs: int,
    max_tokens: int | None,
    out: str | None,
    seed: int,
    output_format: str,
) -> None:
    """Say which precision an endpoint serves.

    It takes the logprobs of a few tokens, or some hundred tokens of text. URL is that of an OpenAI-compatible API, such
    as https://host/v1. Exit codes: 0, consistent with the reference; 10, inconsistent; 11, inconclusive; 12, the
    endpoint cannot be reached.
    """
    from bitproof.audit.audit import AuditPlan
    from bitproof.audit.audit import audit as run
    from bitproof.audit.conversation import PATIENCE
    from bitproof.audit.profile import find_profile
    from bitproof.cli.main import this_command
    from bitproof.engines.http import HttpGenerator
    from bitproof.errors import GateFailed, InconclusiveError, UsageError
    from bitproof.report.audit_terminal import audit_parts

    if out and Path(out).suffix not in FORMS:
        raise UsageError(f"{out} says no form", where="--out", remedy="End its name in .html or in .json.")
    profile = find_profile(Path(profile_file) if profile_file else None, reference)
    kind = None if test == "auto" else test
    plan = AuditPlan(alpha=alpha, test=kind, top=top_logprobs, max_tokens=max_tokens, seed=seed)  # type: ignore[arg-type]
    with (
        HttpGenerator(url, model=model, key_env=key_env, workers=1, patience=PATIENCE) as engine,
        progress("audit") as report,
    ):
        found = run(
            engine, profile, plan, endpoint=engine.client.where, model=engine.model or model or "", progress=report
        )
    found = replace(found, command=this_command())
    if out:
        _write(found, Path(out))
    target = console()
    show(found, output_format, audit_parts(found, width=target.width), target)
    if found.outcome == "inconsistent":
        raise GateFailed("the endpoint does not serve the reference")
    if found.outcome == "inconclusive":
        raise InconclusiveError("the audit could not decide")


def _write(found: AuditReport, path: Path) -> None:
    """The report as a page or as JSON, as the name of `path` says."""
    from bitproof import __version__
    from bitproof.report.json_ import to_json
    from bitproof.store.files import write_text

    if path.suffix == ".html":
        from bitproof.report.audit_html import render

        write_text(path, render(found, version=__version__))
    else:
        write_text(path, to_json(found))
