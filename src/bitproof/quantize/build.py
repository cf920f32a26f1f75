"""The one pass: calibration text streamed through the reference block by block, every variant solved on the way.

For each block: statistics once, all variants solved from them, each variant's block written at once, then the hidden
states that the next block starts from. A killed build finds the last hidden states and goes on; the block it was in is
solved again, to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bitproof.errors import EnvironmentFailed, UsageError
from bitproof.formats.number import NumberFormat
from bitproof.models.overlay import OUTER_FILE, BlockOverlay, StoredOverlay, block_file, write_aside, write_block
from bitproof.models.reference import Reference
from bitproof.models.stream import BlockStream, by_length
from bitproof.quantize.artifact import describe_block, finish_variant, is_solved
from bitproof.quantize.block import Block, as_block
from bitproof.quantize.calibration import Calibration
from bitproof.quantize.exports import check_exports
from bitproof.quantize.imatrix import IMPORTANCE_FILE
from bitproof.quantize.methods import method_of
from bitproof.quantize.mixed import Unit, formats_of, measure_units
from bitproof.quantize.names import digest, with_group
from bitproof.quantize.solve import solve_block
from bitproof.quantize.statistics import collect
from bitproof.types import Artifact, Progress, Variant

WORK = ".bitproof"


@dataclass(frozen=True)
class Plan:
    """What a build is: two builds of one plan make the same files."""

    reference: str  # digest
    calibration: str  # digest
    variants: tuple[Variant, ...]
    seed: int
    propagate: bool

    @property
    def digest(self) -> str:
        record = {"reference": self.reference, "calibration": self.calibration, "propagate": self.propagate}
        return hashlib.sha256(
            json.dumps([record, [digest(variant, {"seed": self.seed}) for variant in self.variants]]).encode()
        ).hexdigest()


def build(
    reference: Reference,
    variants: Sequence[Variant],
    *,
    calibration: Calibration,
    out: Path,
    shard: tuple[int, int] = (1, 1),
    fallback_group: bool = False,
    propagate: bool = False,
    seed: int = 0,
    exports: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Artifact]:
    """Build a ladder: one directory for each variant in `out`, holding its blocks, its export and bitproof.json.

    `shard` (i, n) builds every n-th variant from the i-th (1-based), so that n machines share a ladder and an `out`.
    `exports` names the export of each variant (default: its scheme's own). Running the same command again after an
    interruption goes on where it stopped. Raises VariantError (a group that does not divide), UsageError (`out`
    belongs to another run), CheckpointError (NaN, wrong shapes), EnvironmentFailed (disk full).
    """
    stream = BlockStream(reference)
    widths = linear_widths(stream)
    settled = tuple(with_group(variant, widths, fallback=fallback_group) for variant in variants)
    _check_plan(settled, propagate)
    check_exports(exports or ())
    reference.check_finite()  # now, not after an hour of solving
    plan = Plan(reference.digest, calibration.digest, settled, seed, propagate)
    mine = settled[shard[0] - 1 :: shard[1]]
    work = _open_run(out, plan, shard)
    batches = as_batches(calibration.sequences)
    say = _Reporter(progress, reference.n_blocks + len(mine))
    if not all(is_solved(out / variant.name, plan.digest) for variant in mine):
        with torch.no_grad():
            _solve(stream, batches, mine, plan, work, say)
    artifacts = []
    for variant in mine:
        _clean(out / variant.name)
        _write_outer(reference, variant, out / variant.name / "blocks")
        artifacts.append(
            finish_variant(
                reference,
                variant,
                out / variant.name,
                calibration=calibration.to_record(),
                plan={"digest": plan.digest, "seed": seed, "propagate": propagate},
                exports=exports,
            )
        )
        say(f"wrote {variant.name}")
    shutil.rmtree(work, ignore_errors=True)
    if not any(work.parent.iterdir()):  # no other shard is at work
        work.parent.rmdir()
        _clean(out)
    return artifacts


def _write_outer(reference: Reference, variant: Variant, folder: Path) -> None:
    """Write what a variant has outside the blocks: what its transform changes there; a K-quant's importance."""
    method = method_of(variant, "transform")
    tensors = method.outer_tensors(reference, variant) if method else {}
    if tensors:
        write_block(folder / OUTER_FILE, BlockOverlay(dense=tensors))
    if variant.gguf_type is not None:
        stored = StoredOverlay(folder)
        importance = {
            name: values
            for index in range(reference.n_blocks)
            for name, values in stored.block(index).importance.items()
        }
        write_aside(folder / IMPORTANCE_FILE, lambda aside: save_file(importance, aside))


def linear_widths(stream: BlockStream) -> dict[str, int]:
    """Input width of every linear of every block, by full name."""
    return {
        f"{stream.prefix}.{index}.{name}": module.in_features
        for index, layer in enumerate(stream.layers)
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    }


def as_batches(sequences: Sequence[Any]) -> list[Tensor]:
    """Token sequences as int64 batches [n, L], one for each length, shortest first; order is kept within a length."""
    return [batch for _, batch in by_length(sequences)]


def _check_plan(variants: Sequence[Variant], propagate: bool) -> None:
    names = [variant.name for variant in variants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{', '.join(twice)} is asked for twice", remedy="Name each variant once.")
    rotated = [variant.name for variant in variants if "hadamard" in variant.methods]
    if propagate and rotated:
        raise UsageError(
            f"errors cannot be propagated through a rotated residual stream ({rotated[0]})",
            where="--propagate",
            remedy="Build the rotated variants in a run of their own, without it.",
        )


def _open_run(out: Path, plan: Plan, shard: tuple[int, int]) -> Path:
    """The run's work folder; refuses an `out` that holds another run's files."""
    record = out / "run.json"
    if record.exists():
        try:
            found = json.loads(record.read_text())["plan"]
        except (json.JSONDecodeError, KeyError, UnicodeDecodeError):
            found = None
        if found != plan.digest:
            raise UsageError(
                "this directory belongs to another run (another reference, calibration, seed or list of variants)",
                where=str(out),
                remedy="Give another --out, or repeat the command that began it to go on with it.",
            )
    elif out.exists() and not out.is_dir():
        raise UsageError("is a file", where=str(out), remedy="Give a new or empty directory as --out.")
    elif out.exists() and any(file for file in out.iterdir() if not file.name.startswith(".run.json.")):
        raise UsageError(
            "this directory is not empty and was not made by bitproof quantize",
            where=str(out),
            remedy="Give a new or empty directory as --out.",
        )
    names = [variant.name for variant in plan.variants]
    content = json.dumps({"plan": plan.digest, "reference": plan.reference, "variants": names}, indent=2) + "\n"
    _folder(out)
    write_aside(record, lambda aside: aside.write_text(content))  # first, so that a killed run is known as ours
    return _clean(_folder(out / WORK / f"shard-{shard[0]}-of-{shard[1]}"))


def _folder(path: Path) -> Path:
    """A directory of the run, made if it is not there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFailed(
            f"cannot be written ({error})", where=str(path), remedy="Free some disk space, or give another --out."
        ) from error
    return path


def _clean(folder: Path) -> Path:
    """A directory that no other shard writes to, without what a killed run left half-written."""
    for leftover in folder.glob(".*.tmp"):
        leftover.unlink()
    return folder


class _Pass:
    """Variants solved together: the calibration text's hidden states as the reference has them.

    With error propagation each variant has a pass of its own, whose hidden states went through its quantized blocks, so
    that its statistics see the errors of what comes before.
    """

    def __init__(self, stream: BlockStream, variants: Sequence[Variant], out: Path, propagate: bool) -> None:
        self.variants = variants
        self.folders = [_clean(_folder(out / variant.name / "blocks")) for variant in variants]
        self._stream, self._quantized = stream, stream
        if propagate:
            overlay = StoredOverlay(self.folders[0], variants[0].activations, variants[0].kv)
            self._quantized = BlockStream(stream.reference, overlay)
        self.hidden: list[Tensor] = []

    def begin(self, batches: Sequence[Tensor], saved: Sequence[Tensor] | None) -> None:
        """Embed the text, which also records what the layers are called with, and take saved states if there are."""
        self.hidden = [self._stream.embed(tokens).clone() for tokens in batches]
        if self._quantized is not self._stream:
            self.hidden = [self._quantized.embed(tokens).clone() for tokens in batches]
        if saved is not None:
            self.hidden = [batch.clone() for batch in saved]

    def solve(self, index: int, formats: Mapping[str, dict[str, NumberFormat]]) -> None:
        """Solve a block of every variant, write it, and take the hidden states through it."""
        propagate = self._quantized is not self._stream
        with self._stream.block(index) as layer:
            inputs = [batch.clone() for batch in self.hidden] if propagate else self.hidden
            self._write(index, layer, inputs, formats)
        if propagate:
            with self._quantized.block(index) as layer:
                for batch in self.hidden:
                    self._quantized.run(layer, index, batch)

    def _write(
        self, index: int, layer: nn.Module, inputs: list[Tensor], formats: Mapping[str, dict[str, NumberFormat]]
    ) -> None:
        """Solve and write; a function of its own, so that nothing of a block outlives it."""
        block = as_block(index, self._stream, layer, collect(self._stream, layer, index, inputs))
        for folder, overlay in zip(self.folders, _overlays(block, self.variants, formats), strict=True):
            write_block(folder / block_file(index), overlay)


def _overlays(
    block: Block, variants: Sequence[Variant], formats: Mapping[str, dict[str, NumberFormat]]
) -> list[BlockOverlay]:
    """Every variant's form of a block; of a K-quant, which llama-quantize makes, the importance of its columns."""
    solved = [variant for variant in variants if variant.weights is not None]
    found = dict(
        zip(
            (v.name for v in solved), solve_block(block, solved, [formats.get(v.name, {}) for v in solved]), strict=True
        )
    )
    for overlay in found.values():
        describe_block(block, overlay)
    importance = {
        name: layer.statistics.importance.clone() if layer.reached else torch.ones(layer.width)
        for layer in block.layers
        for name in layer.names
    }
    return [found.get(variant.name) or BlockOverlay(importance=importance) for variant in variants]


def _solve(
    stream: BlockStream, batches: list[Tensor], variants: Sequence[Variant], plan: Plan, folder: Path, say: _Reporter
) -> None:
    """All blocks of all variants, from where an earlier run of the same plan stopped; `folder` is its work folder."""
    out = folder.parents[1]
    groups = [[variant] for variant in variants] if plan.propagate else [list(variants)]
    passes = [_Pass(stream, group, out, plan.propagate) for group in groups]
    start, saved = _resume(folder, len(passes), len(batches))
    for number, each in enumerate(passes):
        each.begin(batches, saved[number] if saved else None)
    formats = _mixtures(stream, batches, variants, folder, say)
    say.skip(start)
    for index in range(start, len(stream.layers)):
        for each in passes:
            each.solve(index, formats)
        _save_hidden(folder, index + 1, [each.hidden for each in passes])
        say(f"block {index + 1} of {len(stream.layers)}")


def _mixtures(
    stream: BlockStream, batches: list[Tensor], variants: Sequence[Variant], folder: Path, say: _Reporter
) -> dict[str, dict[str, NumberFormat]]:
    """Variant -> linear -> format, for variants with a budget of bits; measured once and kept for a resumed run."""
    mixed = [variant for variant in variants if variant.bits_budget is not None]
    record = folder / "mixed.json"
    if mixed and not record.exists():
        say.note("measuring the sensitivity of every linear")
        sequences = [row for batch in batches for row in batch]
        bits: dict[str, dict[str, str]] = {}
        units: dict[NumberFormat, list[Unit]] = {}
        for variant in mixed:
            assert variant.weights is not None  # a mixture has a base format
            if variant.weights not in units:
                units[variant.weights] = measure_units(stream, sequences, variant.weights)
            chosen = formats_of(variant, units[variant.weights])
            bits[variant.name] = {name: fmt.element for name, fmt in chosen.items()}
        write_aside(record, lambda aside: aside.write_text(json.dumps(bits, indent=1, sort_keys=True)))
    elements = json.loads(record.read_text()) if mixed else {}
    return {
        variant.name: {name: replace(variant.weights, element=each) for name, each in elements[variant.name].items()}
        for variant in mixed
        if variant.weights is not None
    }


def _resume(folder: Path, n_passes: int, n_batches: int) -> tuple[int, list[list[Tensor]] | None]:
    """The block to go on with and the hidden states before it, or 0 and None."""
    saved = sorted(folder.glob("hidden-*.safetensors"))
    if not saved:
        return 0, None
    with safe_open(saved[-1], framework="pt") as file:
        found = [[file.get_tensor(f"{p}.{b}") for b in range(n_batches)] for p in range(n_passes)]
    return int(saved[-1].stem.split("-")[1]), found


def _save_hidden(folder: Path, index: int, hidden: Sequence[Sequence[Tensor]]) -> None:
    tensors = {f"{p}.{b}": batch for p, batches in enumerate(hidden) for b, batch in enumerate(batches)}
    write_aside(folder / f"hidden-{index:05d}.safetensors", lambda aside: save_file(tensors, aside))
    for old in folder.glob("hidden-*.safetensors"):
        if int(old.stem.split("-")[1]) < index:
            old.unlink()


class _Reporter:
    """Counts steps and tells a progress callback."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def skip(self, steps: int) -> None:
        self._done += steps

    def note(self, what: str) -> None:
        if self._progress:
            self._progress(self._done, self._total, what)

    def __call__(self, what: str) -> None:
        self._done += 1
        self.note(what)
