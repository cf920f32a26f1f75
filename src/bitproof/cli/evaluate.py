"""`bitproof evaluate`: where each variant breaks, and the smallest that is proven good enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitproof.cli.evaluation import check_forms, end, show_evaluation, write_evaluation, write_option
from bitproof.cli.options import format_option, model_option, seed_option, trust_option
from bitproof.cli.progress import progress

if TYPE_CHECKING:
    from bitproof.evaluate.hosts import HostName

PROFILES = ("demo", "quick", "core", "full")
USES = ("chat", "extraction", "code", "long-context", "agents", "high-stakes")


@click.command()
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@model_option
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default="quick",
    show_default=True,
    help="How much is asked: demo is half a minute a variant on two cores, quick two minutes.",
)
@click.option(
    "--engine",
    type=click.Choice(["emulation", "llamacpp", "vllm"]),
    default="emulation",
    show_default=True,
    help="Where the reference and the variants run.",
)
@click.option("--slice", "slices", multiple=True, metavar="NAME", help="Ask this slice only; may be repeated.")
@click.option(
    "--require",
    multiple=True,
    metavar="WHAT",
    help="What must be shown: code>=-2pp, json>=-1pp, memory_gib<=8; may be repeated.",
)
@click.option("--use", type=click.Choice(USES), help="Requirements for a use, instead of --require.")
@click.option("--items", metavar="FILE", multiple=True, help="Your own items: JSONL, YAML, lm-eval or promptfoo files.")
@click.option("--out", default="evaluation", show_default=True, help="Folder for the answers and report.html.")
@click.option("--time", "time_s", type=click.FloatRange(min=1), metavar="SECONDS", help="Most seconds for one variant.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens for one variant, prompts and answers.")
@click.option("--noise-floor/--no-noise-floor", default=True, help="Ask the reference again, otherwise computed.")
@write_option
@seed_option
@trust_option
@format_option
def evaluate(
    artifacts: tuple[str, ...],
    model: str,
    profile: str,
    engine: HostName,
    slices: tuple[str, ...],
    require: tuple[str, ...],
    use: str | None,
    items: tuple[str, ...],
    out: str,
    time_s: float | None,
    max_tokens: int | None,
    noise_floor: bool,
    write: tuple[str, ...],
    seed: int,
    trust_remote_code: bool,
    output_format: str,
) -> None:
    """Ask variants what the reference is asked, and decide.

    An ARTIFACT is a folder that `bitproof quantize` made, or a folder of such folders. Every variant gets the same
    questions as the reference. Exit code 0: a variant is proven good enough; 10: none is, and the largest was shown to
    lose too much; 11: the items could not decide.
    """
    from bitproof.cli.artifacts import read_artifacts
    from bitproof.cli.ladder import caveats_of
    from bitproof.cli.main import this_command
    from bitproof.evaluate.evaluate import evaluate as run
    from bitproof.evaluate.hosts import open_host
    from bitproof.evaluate.importers.load import load_items
    from bitproof.evaluate.plan import Plan
    from bitproof.evaluate.requirements import USES as REQUIREMENTS
    from bitproof.evaluate.requirements import parse_requirement
    from bitproof.evaluate.runner import Budget
    from bitproof.evaluate.suite.build import PROFILES as KNOWN
    from bitproof.models import load

    check_forms(write)
    plan = Plan(
        profile=KNOWN[profile],
        requirements=tuple(parse_requirement(text) for text in require or REQUIREMENTS.get(use or "", ())),
        slices=slices,
        further=tuple(item for file in items for item in load_items(file)),
        seed=seed,
        noise=noise_floor,
    )
    found = read_artifacts(artifacts)
    reference = load(model, trust_remote_code=trust_remote_code)
    with progress("evaluate") as report:
        result = run(
            open_host(engine, reference, found),
            plan,
            out=Path(out),
            budget=Budget(time_s=time_s, tokens=max_tokens),
            progress=report,
        )
    result = replace(result, caveats=caveats_of(reference), command=this_command())
    show_evaluation(result, output_format)
    write_evaluation(result, Path(out), also=write)
    end(result)
