"""Fakes of the Python API that the commands call, and a way to run a command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bitproof.cli.main import run
from bitproof.evaluate.results import Evaluation, GateOutcome, Recommendation, Requirement, RungOutcome, VariantResult
from bitproof.stats.decision import Outcome
from bitproof.types import Artifact, Estimate, SliceComparison, Variant


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def bitproof(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Run `bitproof ARGUMENTS` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Done:
        code = run(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return call


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Replace "module.member" for the length of a test."""

    def replace(target: str, value: Any) -> None:
        home, _, member = target.rpartition(".")
        try:
            module = import_module(home)
        except ModuleNotFoundError:
            module = ModuleType(home)
            monkeypatch.setitem(sys.modules, home, module)
        monkeypatch.setattr(module, member, value, raising=False)

    return replace


@dataclass
class FakeReference:
    path: Path
    name: str = "tiny"
    digest: str = "0" * 64
    n_parameters: int = 1_000_000
    n_blocks: int = 2
    config: Any = None
    tokenizer: Any = None


@dataclass
class FakeCalibration:
    source: str = "mixture"
    n_tokens: int = 4096
    digest: str = "1" * 64
    items: tuple[Any, ...] = ()

    def to_record(self) -> dict[str, Any]:
        return {"source": self.source, "classes": {"code": {"sequences": 2, "tokens": 4096}}}


@dataclass
class Calls:
    """What the commands asked the Python API for."""

    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcome: Outcome = "pass"  # of an evaluation


def variant(name: str) -> Variant:
    return Variant(name=name, asked=name, scheme="w8a16", methods=("rtn",), weights=None)


def artifact(name: str, path: Path, size_bytes: int = 500_000) -> Artifact:
    return Artifact(
        path=path,
        variant=variant(name),
        export="compressed-tensors",
        size_bytes=size_bytes,
        bits_per_quantized_weight=8.02,
        bits_per_parameter=9.1,
        notes=("one layer left in BF16",),
    )


def evaluation(outcome: Outcome) -> Evaluation:
    """One variant on one slice."""
    half = Estimate(value=0.5, low=0.4, high=0.6, n=100, n_clusters=50)
    change = Estimate(value=-0.01, low=-0.05, high=0.03, n=100, n_clusters=50)
    compared = SliceComparison(
        variant="w8a16",
        slice="json",
        n_items=100,
        n_clusters=50,
        reference_score=half,
        variant_score=half,
        difference=change,
    )
    requirement = Requirement(text="json>=-5pp", subject="json", kind="slice", limit=0.05)
    gate = GateOutcome(requirement=requirement, outcome=outcome, figure=change, why="seen")
    rung = RungOutcome(variant="w8a16", outcome=outcome, tested=True, gates=(gate,), why="because")
    variant = VariantResult(
        name="w8a16",
        describe="INT8 weights",
        size_bytes=900,
        bits_per_parameter=8.0,
        comparisons=(compared,),
        overall=replace(compared, slice="all"),
    )
    return Evaluation(
        reference="tiny",
        reference_bytes=2_000,
        suite="core/demo",
        suite_digest="5" * 64,
        plan_digest="6" * 64,
        seed=0,
        slices=("json",),
        titles={"json": "JSON to a schema"},
        n_items=100,
        reference_scores={"json": half},
        variants=(variant,),
        recommendation=Recommendation(
            chosen="w8a16" if outcome == "pass" else None, outcome=outcome, rungs=(rung,), words="In words."
        ),
    )


@pytest.fixture
def api(fake: Callable[[str, Any], None], tmp_path: Path, make_measurement: Any) -> Calls:
    """A whole fake Python API; what it was asked for stands in `made`."""
    calls = Calls()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w.safetensors").write_bytes(b"0" * 2_000)

    def load(model: str, **options: Any) -> FakeReference:
        calls.made["load"] = {"model": model, **options}
        return FakeReference(tmp_path / "model")

    def load_calibration(source: str | None, reference: Any, **options: Any) -> FakeCalibration:
        calls.made["load_calibration"] = {"source": source, **options}
        return FakeCalibration()

    def build(reference: Any, variants: Any, **options: Any) -> list[Artifact]:
        calls.made["build"] = {"variants": [each.name for each in variants], **options}
        options["progress"](1, 2, "block 1")
        return [artifact(each.name, options["out"] / each.name, 900 - 100 * n) for n, each in enumerate(variants)]

    def measure(reference: Any, artifacts: Any, **options: Any) -> list[Any]:
        calls.made["measure"] = {"artifacts": [each.variant.name for each in artifacts], **options}
        return [
            make_measurement(each.variant.name, each.size_bytes, 0.01 * (n + 1), 0.02 * (n + 1))
            for n, each in enumerate(artifacts)
        ]

    def noise_floor(reference: Any, **options: Any) -> list[Any]:
        calls.made["noise_floor"] = options
        return [make_measurement("bf16, one thread", 2_000, 0.001, 0.002)]

    def evaluate(place: Any, plan: Any, **options: Any) -> Evaluation:
        calls.made["evaluate"] = {"place": place, "plan": plan, **options}
        return evaluation(calls.outcome)

    def open_host(name: str, reference: Any, artifacts: Any, **_: Any) -> Any:
        return name, [each.variant.name for each in artifacts]

    fake("bitproof.evaluate.evaluate.evaluate", evaluate)
    fake("bitproof.evaluate.hosts.open_host", open_host)
    fake("bitproof.models.load", load)
    fake("bitproof.quantize.names.parse_variant", variant)
    fake("bitproof.quantize.build.build", build)
    fake("bitproof.quantize.calibration.load_calibration", load_calibration)
    fake("bitproof.quantize.artifact.read_artifact", lambda path: artifact(path.name, path))
    fake("bitproof.evaluate.measure.measure", measure)
    fake("bitproof.evaluate.measure.noise_floor", noise_floor)
    return calls
