"""`bitproof evaluate`: where each variant breaks, and the smallest that is proven good enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitproof.cli.asking import asking_options, budget_of, plan_of
from bitproof.cli.evaluation import check_forms, end, show_evaluation, write_evaluation, write_option
from bitproof.cli.options import Shard, format_option, model_option, trust_option
from bitproof.cli.output import say
from bitproof.cli.progress import progress
from bitproof.errors import UsageError

if TYPE_CHECKING:
    from bitproof.evaluate.hosts import HostName


@click.command()
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@model_option
@click.option(
    "--engine",
    type=click.Choice(["emulation", "llamacpp", "vllm"]),
    default="emulation",
    show_default=True,
    help="Where the reference and the variants run.",
)
@asking_options
@click.option("--noise-floor/--no-noise-floor", default=True, help="Ask the reference again, otherwise computed.")
@click.option(
    "--shard", type=Shard(), help="Ask the i-th of n parts of the items only; a run without this adds them up."
)
@click.option("--ray", metavar="ADDRESS", help="Ask on a Ray cluster: HOST:PORT, or auto on one of its nodes.")
@click.option("--out", default="evaluation", show_default=True, help="Folder for the answers and report.html.")
@write_option
@trust_option
@format_option
def evaluate(
    artifacts: tuple[str, ...],
    model: str,
    engine: HostName,
    noise_floor: bool,
    shard: tuple[int, int] | None,
    ray: str | None,
    out: str,
    time_s: float | None,
    max_tokens: int | None,
    workers: int | None,
    write: tuple[str, ...],
    trust_remote_code: bool,
    output_format: str,
    **asked: Any,
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
    from bitproof.evaluate.shards import ask_shard
    from bitproof.models import load

    check_forms(write)
    if shard and ray:
        raise UsageError("are two ways to one end", where="--shard and --ray", remedy="Give one of them.")
    plan, budget = plan_of(**asked, noise=noise_floor), budget_of(time_s, max_tokens)
    found = read_artifacts(artifacts)
    reference = load(model, trust_remote_code=trust_remote_code)
    place = open_host(engine, reference, found, workers=workers)
    if shard:
        with progress(f"shard {shard[0]} of {shard[1]}") as report:
            folder = ask_shard(place, plan, out=Path(out), shard=shard, budget=budget, progress=report)
        say(f"Answers: {folder}. With all shards there, run the same command without --shard.")
        return
    if ray:
        from bitproof.evaluate.on_ray import Work, ask_on_ray

        paths = tuple(artifact.path.resolve() for artifact in found)
        work = Work(
            engine=engine,
            model=model,
            artifacts=paths,
            plan=plan,
            budget=budget,
            workers=workers,
            trust_remote_code=trust_remote_code,
        )
        with progress("Ray") as report:
            ask_on_ray(work, out=Path(out), address=ray, progress=report)
    with progress("evaluate") as report:
        result = run(place, plan, out=Path(out), budget=budget, progress=report)
    result = replace(result, caveats=caveats_of(reference), command=this_command())
    show_evaluation(result, output_format)
    write_evaluation(result, Path(out), also=write)
    end(result)
