"""`bitproof profile`: what a reference and its ladder say to every probe, for audits without weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitproof.cli.options import format_option, model_option, seed_option, trust_option
from bitproof.cli.output import console, show
from bitproof.cli.progress import progress

if TYPE_CHECKING:
    from bitproof.models.reference import Reference
    from bitproof.types import Artifact

SHORT_CALIBRATION = 256  # tokens: rounding to nearest looks at none of them


@click.command()
@click.argument("artifacts", nargs=-1, metavar="[ARTIFACT]...")
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

    An ARTIFACT is a folder that `bitproof quantize` made, or a folder of such folders; without any, fourteen variants
    are rounded to nearest. The reference with an FP8 KV cache is added, rounded to nearest and towards zero. Every
    model reads the same few thousand tokens in four arithmetics: some minutes for each of a small one on two cores. A
    build that was interrupted goes on where it stopped when the same command is given again.
    """
    from bitproof.audit.build import KeyValueOverlay, ProfilePlan, build_profile
    from bitproof.audit.equals import equals
    from bitproof.audit.profile import REFERENCE, write_profile
    from bitproof.audit.separation import separations
    from bitproof.cli.artifacts import RECORD, read_artifacts
    from bitproof.models import load
    from bitproof.quantize.artifact import overlay_of
    from bitproof.quantize.schemes import KV_FORMATS
    from bitproof.report.profile_terminal import profile_parts

    reference = load(model, trust_remote_code=trust_remote_code)
    plan, work = ProfilePlan(probes=probes, seed=seed), Path(f"{out}.work")
    with progress("profile") as report:
        found = read_artifacts(artifacts) if artifacts else _default_ladder(reference, work / "ladder", seed)
        ladder = {each.variant.name: overlay_of(reference, each.path, each.variant, as_served=True) for each in found}
        ladder |= {f"bf16+kv{kv}": KeyValueOverlay(KV_FORMATS[kv]) for kv in ("fp8", "fp8rz")}
        records = [(each.path / RECORD).read_text() for each in found]
        identity = hashlib.sha256(json.dumps([reference.digest, asdict(plan), records]).encode()).hexdigest()
        made = build_profile(reference, ladder, plan, steps=work / identity[:16], progress=report)
    write_profile(made, Path(out))
    shutil.rmtree(work, ignore_errors=True)
    alike, apart = equals(made), separations(made)
    record = {
        "profile": out,
        "models": made.names,
        "tokens": len(made.places),
        "equals": alike,
        "separations": apart,
        "calibration": asdict(made.calibration),
        "sha256": made.digest,
    }
    show(record, output_format, profile_parts(made, apart, alike[REFERENCE], out), console())


def _default_ladder(reference: Reference, folder: Path, seed: int) -> Sequence[Artifact]:
    """The ladder that a profile holds unless told otherwise."""
    from bitproof.audit.build import LADDER
    from bitproof.cli.text import checked_calibration
    from bitproof.quantize.build import build
    from bitproof.quantize.names import parse_variant

    tokens = SHORT_CALIBRATION
    data = checked_calibration(None, reference, max_tokens=tokens, max_length=tokens, seed=seed)
    variants = [parse_variant(name) for name in LADDER]
    return build(reference, variants, calibration=data, out=folder, fallback_group=True, seed=seed)
