"""`bitproof audit`: which precision an endpoint serves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from bitproof.cli.options import format_option, seed_option
from bitproof.cli.output import console, show
from bitproof.cli.progress import progress

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
@click.option("--out", metavar="FILE", help="Write the report as JSON here.")
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
    from bitproof.audit.profile import find_profile
    from bitproof.cli.main import this_command
    from bitproof.engines.http import HttpGenerator
    from bitproof.errors import GateFailed, InconclusiveError
    from bitproof.report.audit_terminal import audit_parts
    from bitproof.report.json_ import to_json
    from bitproof.store.files import write_text

    profile = find_profile(Path(profile_file) if profile_file else None, reference)
    kind = None if test == "auto" else test
    plan = AuditPlan(alpha=alpha, test=kind, top=top_logprobs, max_tokens=max_tokens, seed=seed)  # type: ignore[arg-type]
    with HttpGenerator(url, model=model, key_env=key_env, workers=1) as engine, progress("audit") as report:
        found = run(engine, profile, plan, endpoint=url, model=engine.model or model or "", progress=report)
    found = replace(found, command=this_command())
    if out:
        write_text(Path(out), to_json(found))
    show(found, output_format, audit_parts(found), console())
    if found.outcome == "inconsistent":
        raise GateFailed("the endpoint does not serve the reference")
    if found.outcome == "inconclusive":
        raise InconclusiveError("the audit could not decide")
