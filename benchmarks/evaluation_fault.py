"""One decoder block's scales off by 10 %, in one artifact: do `check` and `evaluate` see it?

- `check` loads the exported file, in which the fault is, in transformers, and compares it with the emulation.
- `evaluate` gets the pair that `bitproof compare SOUND FAULTY` makes, in emulation: the fault is found where the
  divergence on the sound one's answers is shown, at 95 % over clusters, to be larger than that of the sound one from
  itself.

`check` is also asked about the sound artifacts, where it may find nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchmarks.common import Figure
from bitproof.evaluate.check import check
from bitproof.evaluate.comparison import compare, pair
from bitproof.evaluate.grading import grade
from bitproof.evaluate.runner import Runner, Subject
from bitproof.evaluate.suite.build import PROFILES, Suite, build_suite
from bitproof.evaluate.targets import PairHost
from bitproof.models import load
from bitproof.models.overlay import block_file, read_block, write_block
from bitproof.quantize.build import build
from bitproof.quantize.calibration import load_calibration
from bitproof.quantize.names import parse_variant
from bitproof.store.runs import Store
from bitproof.types import Estimate

OFF = 1.1
SLICES = ("classification", "multilingual")
EXPORT = "compressed-tensors"


def figures(
    *, names: Sequence[str] = ("w8a16-rtn-channel", "w4a16-rtn-g64"), blocks: Sequence[int] = (0, 29)
) -> list[Figure]:
    """The figure `planted-fault`: the share of planted faults that are found both by `check` and by `evaluate`."""
    reference = load("smollm2-135m")
    with tempfile.TemporaryDirectory(prefix="bitproof-") as scratch:
        folder = Path(scratch)
        build(
            reference,
            [parse_variant(name) for name in names],
            calibration=load_calibration(None, reference, max_tokens=256, max_length=128),  # rounding reads none
            out=folder / "sound",
            exports=[EXPORT],
        )
        sound = {name: folder / "sound" / name for name in names}
        seen, faulty = {}, {}
        for name, block in product(names, blocks):
            seen[name, block] = failed_check(plant_in_export(sound[name], folder / f"export-{block}" / name, block))
            faulty[name, block] = plant_in_blocks(sound[name], folder / f"blocks-{block}" / name, block)
        alarms = sum(failed_check(path) for path in sound.values())
        suite = build_suite(replace(PROFILES["demo"], items=16), names=SLICES)
        floors = {name: divergence_of(suite, path, path, folder / "run") for name, path in sound.items()}
        moved = {key: divergence_of(suite, sound[key[0]], path, folder / "run") for key, path in faulty.items()}
    found = {key: (seen[key], moved[key].low > floors[key[0]].high) for key in faulty}
    both = sum(all(pair) for pair in found.values())
    words = [
        f"{name} block {block}: check {'yes' if in_check else 'no'}, evaluate {'yes' if in_evaluate else 'no'} "
        f"({moved[name, block].value:.2g} [{moved[name, block].low:.2g}, {moved[name, block].high:.2g}], floor "
        f"{floors[name].value:.1g})"
        for (name, block), (in_check, in_evaluate) in found.items()
    ]
    return [
        Figure(
            id="planted-fault",
            what=f"one block's scales of one artifact off by 10 %, {len(found)} times: found both by check and by "
            "evaluate",
            value=both / len(found),
            unit="share of faults",
            goal="1: found by check and by evaluate",
            met=both == len(found) and not alarms,
            note=f"check by transformers on the {EXPORT} file; evaluate by the divergence from a sound artifact of the "
            f"same variant, over the tokens of {len(suite.items)} answers, in nats a token: {'; '.join(words)}; check "
            f"finds {alarms} of {len(names)} sound ones faulty",
        )
    ]


def plant_in_blocks(sound: Path, out: Path, block: int) -> Path:
    """A copy of an artifact without its export: every scale of a decoder block as it was solved is 10 % too large."""
    shutil.copytree(sound, out, ignore=shutil.ignore_patterns(EXPORT))
    file = out / "blocks" / block_file(block)
    overlay = read_block(file)
    for name, tensor in overlay.quantized.items():
        overlay.quantized[name] = replace(tensor, scales=replace(tensor.scales, scale=tensor.scales.scale * OFF))
    write_block(file, overlay)
    return out


def plant_in_export(sound: Path, out: Path, block: int) -> Path:
    """A copy of an artifact in whose exported file every scale of a decoder block is 10 % too large."""
    shutil.copytree(sound, out)
    file = out / EXPORT / "model.safetensors"
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    scales = {name: tensors[name] * OFF for name in tensors if f".layers.{block}." in name and name.endswith("_scale")}
    if not scales:
        raise SystemExit(f"{file}: block {block} has no scales")
    save_file(tensors | scales, file, metadata=metadata)
    return out


def failed_check(artifact: Path) -> bool:
    """Whether `check` says that the export does not do what the solved blocks do in emulation."""
    result = check(artifact, engine="transformers", reference="smollm2-135m", export=EXPORT)
    return not result.passed and not result.inconclusive


def divergence_of(suite: Suite, sound: Path, other: Path, run: Path) -> Estimate:
    """KL(sound || other) on the sound artifact's own answers, as `bitproof compare` shows it, in nats a token."""
    reference = load("smollm2-135m")
    with Store(run) as store, PairHost(reference, str(sound), str(other)) as host:
        runner = Runner(store, suite.items, reference.tokenizer)
        target, second = host.reference(), host.variants()[0]
        with target.open() as engine:
            expected = runner.ask(Subject(name="sound", engine=engine, model=target.digest))
            host.remember(engine, expected)
        with second.open() as engine:
            answers = runner.ask(Subject(name="other", engine=engine, model=second.digest), reference=expected)
        graded = [(found, grade(store, suite.items, found)) for found in (expected, answers)]
    kl = compare(pair(suite.items, *graded), None).kl_nats
    assert isinstance(kl, Estimate)  # both are emulated
    return kl
