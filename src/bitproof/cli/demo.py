"""`bitproof demo`: the whole job on a small real model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitproof.cli.options import calibration_options, format_option, model_option, seed_option, within_option
from bitproof.cli.progress import progress
from bitproof.cli.text import announce, checked_calibration

if TYPE_CHECKING:
    from bitproof.audit.reveal_results import Reveal
    from bitproof.types import NotMeasured

LADDER = (
    "w8a16-channel",
    "w8a8-smoothquant",
    "fp8a16",
    "w6a16-scaled-g64",
    "nvfp4a16-scaled.gptq",
    "w4a16-g64",
    "w4a16-scaled.gptq-g64",
    "w4a16-awq.scaled.gptq-g64",
    "nf4",
    "mxfp4a16-scaled.gptq",
    "w3a16-scaled.gptq-g64",
)
EVALUATED = 4  # variants


@click.command()
@click.argument("variants", nargs=-1, metavar="[VARIANT]...")
@model_option
@click.option("--out", default="demo", show_default=True, help="Folder for the artifacts and report.html.")
@calibration_options
@click.option("--measure-tokens", type=click.IntRange(min=64), default=4096, show_default=True, help="Held-out tokens.")
@within_option
@seed_option
@click.option(
    "--reveal-seed",
    type=int,
    metavar="N",
    help="Draw the three providers from this; from the system's entropy otherwise.",
)
@format_option
def demo(
    variants: tuple[str, ...],
    model: str,
    out: str,
    calibration: str | None,
    max_tokens: int,
    max_length: int,
    measure_tokens: int,
    within: float,
    seed: int,
    reveal_seed: int | None,
    output_format: str,
) -> None:
    """Build, measure and evaluate a ladder of a small real model.

    Names the smallest variant that is proven good enough. Then serves three variants drawn at random under one name,
    audits them over HTTP, says what each is, and reveals what it was.

    Without VARIANTs a ladder from 8 to 3 bits of the embedded model SmolLM2-135M-Instruct: minutes on two cores.
    """
    from bitproof.cli.evaluation import show_evaluation, write_evaluation
    from bitproof.cli.ladder import caveats_of, ladder_report, show_ladder
    from bitproof.cli.main import this_command
    from bitproof.cli.reveal import reveal_providers, show_reveal
    from bitproof.evaluate.decision import best_of_each_size
    from bitproof.evaluate.evaluate import evaluate
    from bitproof.evaluate.hosts import open_host
    from bitproof.evaluate.measure import measure
    from bitproof.evaluate.plan import Plan
    from bitproof.evaluate.suite.build import PROFILES
    from bitproof.models import load
    from bitproof.quantize.build import build
    from bitproof.quantize.names import parse_variant

    wanted = [parse_variant(name) for name in variants or LADDER]
    reference = load(model)
    data = checked_calibration(calibration, reference, max_tokens=max_tokens, max_length=max_length, seed=seed)
    announce(reference, wanted, data)
    with progress("1/4 build") as report:
        artifacts = build(reference, wanted, calibration=data, out=Path(out), seed=seed, progress=report)
    with progress("2/4 measure") as report:
        rows = measure(reference, artifacts, text=None, max_tokens=measure_tokens, progress=report)
    how = {
        "Calibration": f"{data.source}, {data.n_tokens:,} tokens, sha256 {data.digest[:16]}",
        "Held-out text": "shipped with bitproof; no calibration text overlaps it",
        "Seed": str(seed),
    }
    result = ladder_report(reference, artifacts, rows, (), within_nats=within, how=how, command=this_command())
    chosen = best_of_each_size(artifacts, {row.variant: row.kl_nats.value for row in rows}, most=EVALUATED)
    with progress("3/4 evaluate") as report:
        place = open_host("emulation", reference, chosen)
        plan = Plan(profile=PROFILES["demo"], seed=seed)
        evaluation = evaluate(place, plan, out=Path(out) / "evaluation", progress=report)
    evaluation = replace(evaluation, caveats=caveats_of(reference), command=this_command())
    if output_format == "table":
        show_ladder(result, output_format)
        show_evaluation(evaluation, output_format)
    found: Reveal | NotMeasured | None = None
    try:
        found = reveal_providers("4/4 providers", reference, Path(out), seed=seed, reveal_seed=reveal_seed)
        if output_format == "table":
            show_reveal(found)
        else:
            show_evaluation(evaluation, output_format, result, found)
    finally:  # what was evaluated is kept, whatever becomes of the providers
        write_evaluation(evaluation, Path(out), result, reveal=found)
