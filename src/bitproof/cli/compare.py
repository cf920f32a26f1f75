"""`bitproof compare`: two artifacts, engines or endpoints, item by item."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from bitproof.cli.evaluate import PROFILES
from bitproof.cli.evaluation import check_forms, end, show_evaluation, write_evaluation, write_option
from bitproof.cli.options import format_option, model_option, seed_option
from bitproof.cli.progress import progress


@click.command()
@click.argument("first")
@click.argument("second")
@model_option
@click.option("--profile", type=click.Choice(PROFILES), default="quick", show_default=True, help="How much is asked.")
@click.option("--slice", "slices", multiple=True, metavar="NAME", help="Ask this slice only; may be repeated.")
@click.option("--require", multiple=True, metavar="WHAT", help="What SECOND must show: code>=-2pp; may be repeated.")
@click.option("--key-env", metavar="NAME", help="The environment variable that holds an endpoint's key.")
@click.option("--out", default="comparison", show_default=True, help="Folder for the answers and report.html.")
@click.option("--time", "time_s", type=click.FloatRange(min=1), metavar="SECONDS", help="Most seconds for each.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens for each, prompts and answers.")
@write_option
@seed_option
@format_option
def compare(
    first: str,
    second: str,
    model: str,
    profile: str,
    slices: tuple[str, ...],
    require: tuple[str, ...],
    key_env: str | None,
    out: str,
    time_s: float | None,
    max_tokens: int | None,
    write: tuple[str, ...],
    seed: int,
    output_format: str,
) -> None:
    """Compare two artifacts, engines or endpoints, item by item.

    Each is an artifact's folder (emulated), the model itself, a GGUF file, llamacpp:PATH, vllm:PATH, or a URL such as
    https://host/v1#model. FIRST is what SECOND is measured against. Exit codes as those of `bitproof evaluate`.
    """
    from bitproof.cli.main import this_command
    from bitproof.evaluate.evaluate import evaluate
    from bitproof.evaluate.plan import Plan
    from bitproof.evaluate.requirements import parse_requirement
    from bitproof.evaluate.runner import Budget
    from bitproof.evaluate.suite.build import PROFILES as KNOWN
    from bitproof.evaluate.targets import PairHost
    from bitproof.models import load

    check_forms(write)
    requirements = tuple(parse_requirement(text) for text in require)
    plan = Plan(profile=KNOWN[profile], requirements=requirements, slices=slices, seed=seed)
    place = PairHost(load(model), first, second, key_env=key_env)
    budget = Budget(time_s=time_s, tokens=max_tokens)
    with progress("compare") as report:
        result = evaluate(place, plan, out=Path(out), budget=budget, progress=report)
    result = replace(result, command=this_command())
    show_evaluation(result, output_format)
    write_evaluation(result, Path(out), also=write)
    end(result)
