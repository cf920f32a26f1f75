"""`bitproof compare`: two artifacts, engines or endpoints, item by item."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bitproof.cli.asking import asking_options, budget_of, plan_of
from bitproof.cli.evaluation import check_forms, end, show_evaluation, write_evaluation, write_option
from bitproof.cli.options import format_option, model_option
from bitproof.cli.progress import progress


@click.command()
@click.argument("first")
@click.argument("second")
@model_option
@asking_options
@click.option("--key-env", metavar="NAME", help="The environment variable that holds an endpoint's key.")
@click.option("--out", default="comparison", show_default=True, help="Folder for the answers and report.html.")
@click.option("--max-cost-usd", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="Most money for each.")
@click.option(
    "--price",
    type=(click.FloatRange(min=0), click.FloatRange(min=0)),
    metavar="IN OUT",
    help="US dollars for a million prompt tokens and for a million answer tokens.",
)
@write_option
@format_option
def compare(
    first: str,
    second: str,
    model: str,
    key_env: str | None,
    out: str,
    time_s: float | None,
    max_tokens: int | None,
    workers: int | None,
    max_cost_usd: float | None,
    price: tuple[float, float] | None,
    write: tuple[str, ...],
    output_format: str,
    **asked: Any,
) -> None:
    """Compare two artifacts, engines or endpoints, item by item.

    Each is an artifact's folder (emulated), the model itself, a GGUF file, llamacpp:PATH, vllm:PATH, or a URL such as
    https://host/v1#model. FIRST is what SECOND is measured against. Exit codes as those of `bitproof evaluate`.
    """
    from bitproof.cli.main import this_command
    from bitproof.evaluate.evaluate import evaluate
    from bitproof.evaluate.targets import PairHost
    from bitproof.models import load

    check_forms(write)
    plan, budget = plan_of(**asked), budget_of(time_s, max_tokens, max_cost_usd, price)
    place = PairHost(load(model), first, second, key_env=key_env, workers=workers)
    with progress("compare") as report:
        result = evaluate(place, plan, out=Path(out), budget=budget, progress=report)
    result = replace(result, command=this_command())
    show_evaluation(result, output_format)
    write_evaluation(result, Path(out), also=write)
    end(result)
