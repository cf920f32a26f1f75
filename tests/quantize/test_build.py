"""The one pass: the same files however often it is interrupted, split or repeated, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bitproof.errors import CheckpointError, EnvironmentFailed, UsageError, VariantError
from bitproof.models import Reference, load
from bitproof.models.fakes import VOCABULARY, tiny_model
from bitproof.quantize import build as module
from bitproof.quantize.artifact import read_artifact, read_record
from bitproof.quantize.build import as_batches, build
from bitproof.quantize.calibration import Calibration
from bitproof.quantize.names import parse_variant
from bitproof.types import Variant

NAMES = ("w4a16-scaled.gptq-g32", "w8a8-static", "nvfp4a16-awq.gptq", "w8a16")
VARIANTS = [parse_variant(name) for name in NAMES]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file under a directory, hidden ones too."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture
def reference(tiny: Callable[..., Reference]) -> Reference:
    return tiny("llama")


@pytest.fixture(scope="module")
def whole(tiny: Callable[..., Reference], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    build(tiny("llama"), VARIANTS, calibration=text(tiny("llama"), folder), out=folder / "ladder")
    return files_of(folder / "ladder")


def text(reference: Reference, folder: Path) -> Calibration:
    """The tokens that the fixture `calibration` has."""
    from bitproof.quantize.calibration import load_calibration

    path = folder / "calibration.npy"
    np.save(path, np.random.default_rng(2).integers(4, VOCABULARY, (6, 32)))
    return load_calibration(str(path), reference, max_tokens=192, max_length=32, seed=0)


@pytest.fixture
def blocks_begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The index of every block whose statistics were collected."""
    begun: list[int] = []
    collect = module.collect

    def noted(stream: Any, layer: Any, index: int, *args: Any, **kwargs: Any) -> Any:
        begun.append(index)
        return collect(stream, layer, index, *args, **kwargs)

    monkeypatch.setattr(module, "collect", noted)
    return begun


def test_a_ladder_is_a_directory_for_each_variant(whole: dict[str, bytes]):
    tops = {name.split("/")[0] for name in whole}
    settled = {"w4a16-scaled.gptq-g32", "w8a8-static-rtn-channel", "nvfp4a16-awq.gptq", "w8a16-rtn-channel"}
    assert tops == {*settled, "run.json"}
    for name in settled:
        own = {file.split("/", 1)[1] for file in whole if file.startswith(f"{name}/")}
        assert {"bitproof.json", "blocks/00000.safetensors", "blocks/00001.safetensors"} <= own
        assert {"compressed-tensors/bitproof.json", "compressed-tensors/model.safetensors"} <= own


def test_the_same_command_makes_the_same_files(
    whole: dict[str, bytes], reference: Reference, calibration: Calibration, tmp_path: Path
):
    build(reference, VARIANTS, calibration=calibration, out=tmp_path / "ladder")
    assert files_of(tmp_path / "ladder") == whole


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(
    threads: int, whole: dict[str, bytes], reference: Reference, calibration: Calibration, tmp_path: Path
):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        build(reference, VARIANTS, calibration=calibration, out=tmp_path / "ladder")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert files_of(tmp_path / "ladder") == whole


def test_shards_make_the_files_of_one_run(
    whole: dict[str, bytes], reference: Reference, calibration: Calibration, tmp_path: Path
):
    out = tmp_path / "ladder"
    first = build(reference, VARIANTS, calibration=calibration, out=out, shard=(1, 2))
    second = build(reference, VARIANTS, calibration=calibration, out=out, shard=(2, 2))
    assert [artifact.variant.asked for artifact in first] == [NAMES[0], NAMES[2]]
    assert [artifact.variant.asked for artifact in second] == [NAMES[1], NAMES[3]]
    assert files_of(out) == whole


def test_a_finished_ladder_is_not_built_again(
    reference: Reference, calibration: Calibration, tmp_path: Path, blocks_begun: list[int]
):
    out = tmp_path / "ladder"
    first = build(reference, VARIANTS, calibration=calibration, out=out)
    assert blocks_begun == [0, 1]
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")}
    assert build(reference, VARIANTS, calibration=calibration, out=out) == first
    assert blocks_begun == [0, 1]
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")} == times


def test_another_export_of_a_finished_ladder_solves_nothing(
    reference: Reference, calibration: Calibration, tmp_path: Path, blocks_begun: list[int]
):
    out = tmp_path / "ladder"
    variants = [parse_variant("w4a16-gptq-g32")]
    build(reference, variants, calibration=calibration, out=out)
    [artifact] = build(reference, variants, calibration=calibration, out=out, exports=["gptq"])
    assert artifact.export == "gptq"
    assert (artifact.path / "gptq" / "model.safetensors").exists()
    assert blocks_begun == [0, 1]


@pytest.mark.slow
def test_a_build_killed_at_any_point_goes_on_to_the_same_files(tmp_path: Path):
    """SIGKILL before every fourth rename of a build of three blocks, four variants (one mixed), four exports."""
    model = tiny_model("llama", tmp_path / "model", num_hidden_layers=3)
    np.save(tmp_path / "tokens.npy", np.random.default_rng(2).integers(4, VOCABULARY, (6, 32)))
    script = [sys.executable, str(Path(__file__).with_name("killed_builds.py")), str(model)]
    script += [str(tmp_path / "tokens.npy"), str(tmp_path)]

    def run(*points: int) -> list[dict[str, Any]]:
        done = subprocess.run([*script, *map(str, points)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    [uninterrupted] = run(0)
    assert uninterrupted["codes"] == [0, 0]
    expected = files_of(tmp_path / "point-0" / "ladder")
    n_begun, n_calls = uninterrupted["begun"][0], uninterrupted["calls"]
    assert uninterrupted["begun"][1] == 0  # the second run found it finished
    assert n_calls > 20
    for result in run(*range(1, n_calls + 1, 4)):
        point = result["point"]
        assert result["codes"] == [-9, 0], point
        assert n_begun <= sum(result["begun"]) <= n_begun + 1, point
        assert files_of(tmp_path / f"point-{point}" / "ladder") == expected, point


def test_an_interrupted_build_goes_on(
    whole: dict[str, bytes], reference: Reference, calibration: Calibration, tmp_path: Path, blocks_begun: list[int]
):
    def interrupt(done: float, total: float, what: str) -> None:
        if what.startswith("block 1"):
            raise KeyboardInterrupt

    out = tmp_path / "ladder"
    with pytest.raises(KeyboardInterrupt):
        build(reference, VARIANTS, calibration=calibration, out=out, progress=interrupt)
    assert not list(out.rglob("*.tmp"))
    assert not list(out.rglob("bitproof.json"))
    build(reference, VARIANTS, calibration=calibration, out=out)
    assert blocks_begun == [0, 1]
    assert files_of(out) == whole


def test_progress_ends_at_its_total(reference: Reference, calibration: Calibration, tmp_path: Path):
    said: list[tuple[float, float, str]] = []
    build(
        reference,
        VARIANTS[:2],
        calibration=calibration,
        out=tmp_path / "ladder",
        progress=lambda done, total, what: said.append((done, total, what)),
    )
    assert [done for done, _, _ in said] == [1, 2, 3, 4]
    assert {total for _, total, _ in said} == {4}
    assert said[-1][2] == "wrote w8a8-static-rtn-channel"


# What belongs to others


@pytest.mark.parametrize("other", ["variants", "seed", "propagate", "calibration"])
def test_the_directory_of_another_run_is_refused(
    other: str, reference: Reference, calibration: Calibration, tmp_path: Path
):
    out = tmp_path / "ladder"
    build(reference, VARIANTS[3:], calibration=calibration, out=out)
    before = files_of(out)
    changes: dict[str, Any] = {
        "variants": {"variants": VARIANTS[2:]},
        "seed": {"seed": 1},
        "propagate": {"propagate": True},
        "calibration": {"calibration": replace(calibration, sequences=calibration.sequences[1:])},
    }[other]
    with pytest.raises(UsageError, match="another run") as caught:
        build(**{"reference": reference, "variants": VARIANTS[3:], "calibration": calibration, "out": out} | changes)
    assert str(out) in str(caught.value)
    assert files_of(out) == before


def test_a_directory_of_someone_else_is_refused(reference: Reference, calibration: Calibration, tmp_path: Path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        build(reference, VARIANTS, calibration=calibration, out=out)
    assert files_of(out) == {"thesis.txt": b"years of work"}
    with pytest.raises(UsageError, match="is a file"):
        build(reference, VARIANTS, calibration=calibration, out=out / "thesis.txt")


def test_a_damaged_run_record_is_not_taken_for_ours(reference: Reference, calibration: Calibration, tmp_path: Path):
    (tmp_path / "run.json").write_text('{"plan": ')
    with pytest.raises(UsageError, match="another run"):
        build(reference, VARIANTS, calibration=calibration, out=tmp_path)


def test_an_empty_directory_is_taken(reference: Reference, calibration: Calibration, tmp_path: Path):
    out = tmp_path / "empty"
    out.mkdir()
    assert len(build(reference, VARIANTS[3:], calibration=calibration, out=out)) == 1


# Disks


@contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[None]:
    """A file system of `n_bytes` mounted at a folder; skips where this cannot be done."""
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("room", [40_000, 150_000, 400_000])
def test_a_full_disk_leaves_nothing_half_written_and_the_same_command_goes_on(
    room: int, whole: dict[str, bytes], reference: Reference, calibration: Calibration, tmp_path: Path
):
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, 8_000_000):
        filler = disk / "filler"
        filler.write_bytes(b"\0" * (8_000_000 - room))
        with pytest.raises(EnvironmentFailed, match="No space left") as caught:
            build(reference, VARIANTS, calibration=calibration, out=disk / "ladder")
        assert "run the same command again" in str(caught.value)
        left = files_of(disk / "ladder")
        assert all(whole.get(name) == content for name, content in left.items() if not name.startswith(".bitproof/"))
        assert not [name for name in left if name.endswith(".tmp") or ".writing" in name]
        filler.unlink()
        build(reference, VARIANTS, calibration=calibration, out=disk / "ladder")
        assert files_of(disk / "ladder") == whole


@pytest.mark.parametrize("allowed", [0, 1, 5, 9])
def test_a_write_that_fails_is_an_environment_error(
    allowed: int,
    whole: dict[str, bytes],
    reference: Reference,
    calibration: Calibration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    calls = iter(range(1000))

    def fsync(_: int) -> None:
        if next(calls) >= allowed:
            raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "ladder"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(EnvironmentFailed, match="No space left"):
            build(reference, VARIANTS, calibration=calibration, out=out)
    assert not list(out.rglob("*.tmp"))
    build(reference, VARIANTS, calibration=calibration, out=out)
    assert files_of(out) == whole


def test_an_output_that_cannot_be_written_is_said_to_be_so(reference: Reference, calibration: Calibration):
    with pytest.raises(EnvironmentFailed, match="cannot be written") as caught:
        build(reference, VARIANTS, calibration=calibration, out=Path("/proc/nowhere/ladder"))
    assert caught.value.exit_code == 12
    assert "--out" in str(caught.value)


# Bad weights


def damaged(path: Path, tensor: str, value: float) -> Reference:
    model = tiny_model("llama", path)
    weights = load_file(model / "model.safetensors")
    weights[tensor][3, 5] = value
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return load(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_in_weights_names_the_tensor(value: float, calibration: Calibration, tmp_path: Path):
    name = "model.layers.1.mlp.down_proj.weight"
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        build(damaged(tmp_path / "m", name, value), VARIANTS, calibration=calibration, out=tmp_path / "ladder")
    assert not (tmp_path / "ladder").exists()


def test_weights_that_make_nan_name_the_linears(calibration: Calibration, tmp_path: Path):
    name = "model.layers.0.mlp.up_proj.weight"
    with pytest.raises(CheckpointError, match=r"mlp\.down_proj becomes NaN or infinite"):
        build(damaged(tmp_path / "m", name, 3e38), VARIANTS, calibration=calibration, out=tmp_path / "ladder")


# Variants


def test_groups_are_settled_before_anything_is_written(reference: Reference, calibration: Calibration, tmp_path: Path):
    wanted = [parse_variant("w4a16-g128")]
    with pytest.raises(VariantError, match=r"64 columns"):
        build(reference, wanted, calibration=calibration, out=tmp_path / "ladder")
    assert not (tmp_path / "ladder").exists()
    [artifact] = build(reference, wanted, calibration=calibration, out=tmp_path / "ladder", fallback_group=True)
    assert any("fallback group" in note and "group 64" in note for note in artifact.notes)


def test_a_variant_that_is_asked_for_twice_is_refused(reference: Reference, calibration: Calibration, tmp_path: Path):
    twice = [parse_variant(name) for name in ("w4a16", "w4a16-rtn-g64")]
    with pytest.raises(UsageError, match="twice"):
        build(reference, twice, calibration=calibration, out=tmp_path / "ladder")


def test_propagation_sees_the_errors_of_earlier_blocks(reference: Reference, calibration: Calibration, tmp_path: Path):
    variants = [parse_variant("w3a16-gptq-g32"), parse_variant("w4a16-g32")]
    plain = build(reference, variants, calibration=calibration, out=tmp_path / "plain")
    seeing = build(reference, variants, calibration=calibration, out=tmp_path / "seeing", propagate=True)
    gptq = [files_of(artifact.path / "blocks") for artifact in (plain[0], seeing[0])]
    assert gptq[0]["00000.safetensors"] == gptq[1]["00000.safetensors"]
    assert gptq[0]["00001.safetensors"] != gptq[1]["00001.safetensors"]
    codes = [load_file(artifact.path / "blocks" / "00001.safetensors") for artifact in (plain[1], seeing[1])]
    assert all(torch.equal(codes[0][name], codes[1][name]) for name in codes[0])  # rounding sees no statistics


def test_a_mixture_keeps_its_budget(reference: Reference, calibration: Calibration, tmp_path: Path):
    [artifact] = build(reference, [parse_variant("mix4.5-g32")], calibration=calibration, out=tmp_path / "ladder")
    assert 4.0 < artifact.bits_per_quantized_weight <= 4.5
    formats = json.loads((artifact.path / "bitproof.json").read_text())
    assert formats["quantized_modules"] == 14


def test_batches_keep_every_sequence_in_order_within_its_length():
    sequences = [np.arange(n) + 10 * k for k, n in enumerate((3, 2, 3, 1))]
    batches = as_batches(sequences)
    assert [batch.shape for batch in batches] == [(1, 1), (1, 2), (2, 3)]
    assert batches[2].tolist() == [[0, 1, 2], [20, 21, 22]]


def test_the_record_says_what_made_it(reference: Reference, calibration: Calibration, tmp_path: Path):
    [artifact] = build(reference, [parse_variant("w4a16-gptq-g32")], calibration=calibration, out=tmp_path / "ladder")
    record = read_record(artifact.path)
    assert read_artifact(artifact.path) == artifact
    assert record["calibration"]["digest"] == calibration.digest
    assert record["reference"]["digest"] == reference.digest
    assert record["plan"]["seed"] == 0
    assert isinstance(artifact.variant, Variant)


def test_an_export_that_there_is_not_is_refused_before_anything_is_solved(tmp_path, reference, calibration):
    with pytest.raises(UsageError, match="there is no export 'none'"):
        build(reference, [parse_variant("w8a16")], calibration=calibration, out=tmp_path / "out", exports=["none"])
    assert not (tmp_path / "out").exists()
