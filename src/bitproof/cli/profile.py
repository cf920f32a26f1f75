"""`bitproof profile`: what a reference and its ladder say to every probe, for audits without weights."""

from __future__ import annotations

from pathlib import Path

import click

from bitproof.cli.options import format_option, model_option, seed_option, trust_option
from bitproof.cli.output import console, show
from bitproof.cli.progress import progress


@click.command()
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@model_option
@click.option("--probes", type=click.IntRange(20, 5000), default=200, show_default=True, help="Questions.")
@click.option("--out", required=True, metavar="FILE", help="The profile: one file of some megabytes.")
@seed_option
@trust_option
@format_option
def profile(
    artifacts: tuple[str, ...],
    model: str,
    probes: int,
    out: str,
    seed: int,
    trust_remote_code: bool,
    output_format: str,
) -> None:
    """Make what `bitproof audit` compares endpoints with.

    An ARTIFACT is a folder that `bitproof quantize` made, or a folder of such folders. The reference with an FP8 KV
    cache is added to them. Every model reads the same few thousand tokens in two arithmetics: a minute or two for each
    of a small one on two cores.
    """
    from bitproof.audit.build import KeyValueOverlay, ProfilePlan, build_profile
    from bitproof.audit.profile import write_profile
    from bitproof.cli.artifacts import read_artifacts
    from bitproof.models import load
    from bitproof.quantize.artifact import overlay_of
    from bitproof.quantize.schemes import KV_FORMATS

    found = read_artifacts(artifacts)
    reference = load(model, trust_remote_code=trust_remote_code)
    ladder = {each.variant.name: overlay_of(reference, each.path, each.variant) for each in found}
    ladder["bf16+kvfp8"] = KeyValueOverlay(KV_FORMATS["fp8"])
    with progress("profile") as report:
        made = build_profile(reference, ladder, ProfilePlan(probes=probes, seed=seed), progress=report)
    write_profile(made, Path(out))
    record = {"profile": out, "models": made.names, "tokens": len(made.places), "sha256": made.digest}
    line = f"{out}: {len(made.names)} models, {len(made.places):,} tokens, sha256 {made.digest[:16]}"
    show(record, output_format, [line], console())
