"""The commands against a fake Python API: what they ask for, what they print, what they exit with."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bitproof.errors import CalibrationError
from bitproof.types import CheckResult, LayerPrecision

Run = Callable[..., Any]


def test_quantize_builds_what_was_asked(bitproof: Run, api: Any):
    done = bitproof(
        "quantize", "w8a16", "nf4", "--out", "here", "--shard", "1/2", "--fallback-group", "--export", "gguf"
    )
    assert done.code == 0, done.err
    asked = api.made["build"]
    assert asked["variants"] == ["w8a16", "nf4"]
    assert (asked["out"], asked["shard"], asked["exports"]) == (Path("here"), (1, 2), ("gguf",))
    assert (asked["fallback_group"], asked["propagate"], asked["seed"]) == (True, False, 0)
    assert "here/w8a16" in done.out
    assert "w8a16: one layer left in BF16" in done.out
    assert "tiny, 1,000,000 parameters; variants: 2; calibration: 4,096 tokens" in done.err


@pytest.mark.parametrize("command", [("quantize", "w8a16"), ("demo",)])
def test_own_calibration_that_overlaps_held_out_text_is_refused(
    bitproof: Run, fake: Run, api: Any, command: tuple[str, ...]
):
    def refuse() -> None:
        raise CalibrationError("1 pair of items shares text.", where="mine.jsonl", remedy="Take it out.")

    fake("bitproof.quantize.heldout.load_heldout", lambda reference: None)
    fake("bitproof.quantize.lint.lint", lambda data, texts: SimpleNamespace(raise_errors=refuse))
    done = bitproof(*command, "--calibration", "mine.jsonl")
    assert done.code == 2
    assert done.err == "bitproof: mine.jsonl: 1 pair of items shares text. Take it out.\n"
    assert "build" not in api.made


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/0"])
def test_a_shard_that_cannot_be_is_refused(bitproof: Run, shard: str):
    done = bitproof("quantize", "w8a16", "--shard", shard)
    assert done.code == 2
    assert "i/n" in done.err


def test_measure_reads_a_folder_of_artifacts(bitproof: Run, api: Any, tmp_path: Path):
    for name in ("w8a16", "nf4"):
        export = tmp_path / "ladder" / name / "compressed-tensors"
        export.mkdir(parents=True)
        for folder in (export, export.parent):
            (folder / "bitproof.json").write_text("{}")
    done = bitproof(
        "measure", "ladder", "--noise-floor", "--format", "json", "--html", "page.html", "--max-tokens", "512"
    )
    assert done.code == 0, done.err
    assert api.made["measure"]["artifacts"] == ["nf4", "w8a16"]
    assert api.made["measure"]["max_tokens"] == 512
    found = json.loads(done.out)
    assert [row["variant"] for row in found["measurements"]] == ["nf4", "w8a16"]
    assert found["floor"][0]["variant"] == "bf16, one thread"
    assert found["command"].startswith("bitproof measure ladder --noise-floor")
    assert "<svg" in (tmp_path / "page.html").read_text()
    assert list(tmp_path.glob("*.tmp")) == []


def test_measure_without_artifacts_says_how_to_make_one(bitproof: Run, api: Any, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    done = bitproof("measure", "empty")
    assert done.code == 2
    assert "empty: no artifact is here" in done.err


def test_the_demo_builds_measures_and_names_the_smallest(bitproof: Run, api: Any, tmp_path: Path):
    done = bitproof("demo", "--within", "0.1")
    assert done.code == 0, done.err
    assert len(api.made["build"]["variants"]) >= 8
    assert "is the smallest variant within 0.1 nats per token" in done.out
    assert "Provisional" in done.out
    assert "In words." in done.out
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "bitproof demo --within 0.1" in page
    place, names = api.made["evaluate"]["place"]
    assert place == "emulation"
    assert 0 < len(names) <= 4
    assert api.made["evaluate"]["plan"].profile.name == "demo"


def test_the_demo_prints_the_same_figures_as_json(bitproof: Run, api: Any):
    found = json.loads(bitproof("demo", "w8a16", "nf4", "--format", "json").out)
    assert found["ladder"]["recommendation"]["variant"] == "nf4"
    assert found["ladder"]["recommendation"]["provisional"] is True
    assert found["ladder"]["measurements"][0]["kl_nats"]["value"] == pytest.approx(0.015)
    assert found["evaluation"]["variants"][0]["comparisons"][0]["difference"]["value"] == pytest.approx(-0.01)


@pytest.mark.parametrize(("outcome", "code"), [("pass", 0), ("fail", 10), ("inconclusive", 11), ("not measurable", 11)])
def test_an_evaluation_ends_with_the_code_of_its_decision(bitproof: Run, api: Any, tmp_path: Path, outcome, code):
    (tmp_path / "ladder").mkdir()
    (tmp_path / "ladder" / "bitproof.json").write_text("{}")
    api.outcome = outcome
    done = bitproof(
        "evaluate", "ladder", "--engine", "llamacpp", "--require", "json>=-5pp", "--slice", "json", "--seed", "3",
        "--time", "60", "--write", "junit", "--write", "markdown", "--write", "model-card", "--write", "html",
        "--no-noise-floor",
    )  # fmt: skip
    assert done.code == code, done.err
    asked = api.made["evaluate"]
    assert asked["place"] == ("llamacpp", ["ladder"])
    assert [requirement.limit for requirement in asked["plan"].requirements] == [0.05]
    assert (asked["plan"].slices, asked["plan"].seed, asked["plan"].noise) == (("json",), 3, False)
    assert asked["budget"].time_s == 60
    assert sorted(file.name for file in (tmp_path / "evaluation").iterdir()) == [
        "evaluation.json", "evaluation.md", "junit.xml", "report.html", "w8a16.md",
    ]  # fmt: skip
    assert "JSON to a schema" in done.out
    assert done.out.count("In words.") == 1
    assert "In words." not in done.err
    assert ("bitproof: no variant is proven good enough" in done.err) is (code != 0)


@pytest.mark.parametrize("given", [("--require", "json>=5pp"), ("--profile", "huge"), ("--items", "nowhere.jsonl")])
def test_an_evaluation_that_cannot_be_asks_nothing(bitproof: Run, api: Any, tmp_path: Path, given):
    (tmp_path / "bitproof.json").write_text("{}")
    done = bitproof("evaluate", str(tmp_path), *given)
    assert done.code == 2
    assert "evaluate" not in api.made


def check_result(passed: bool, inconclusive: bool = False) -> CheckResult:
    return CheckResult(
        artifact=Path("a"),
        engine="transformers",
        engine_version="5",
        n_tokens=512,
        quantized_modules=210 if passed else 0,
        expected_modules=210,
        distance_nats=0.01,
        distance_p95_nats=0.05,
        floor_nats=0.01,
        floor_p95_nats=0.05,
        reference_distance_nats=0.3,
        passed=passed,
        inconclusive=inconclusive,
        findings=() if passed else ("the engine quantized 0 of 210 modules",),
    )


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 10)])
def test_a_check_that_does_not_pass_ends_with_10(bitproof: Run, fake: Run, passed: bool, code: int):
    asked = {}

    def check(path: Path, **options: Any) -> CheckResult:
        asked.update(options, path=path)
        return check_result(passed)

    fake("bitproof.evaluate.check.check", check)
    done = bitproof("check", "a", "--format", "json")
    assert done.code == code
    assert json.loads(done.out)["passed"] is passed
    assert (asked["path"], asked["engine"], asked["reference"]) == (Path("a"), "transformers", None)
    assert ("0 of 210 modules" in done.err) is not passed


def test_a_check_that_cannot_decide_ends_with_11(bitproof: Run, fake: Run):
    fake("bitproof.evaluate.check.check", lambda path, **options: check_result(passed=False, inconclusive=True))
    done = bitproof("check", "a")
    assert done.code == 11
    assert "Inconclusive." in done.out
    assert "cannot decide" in done.err


def test_variants_are_listed_and_explained(bitproof: Run, fake: Run, api: Any):
    fake("bitproof.quantize.names.legal_names", lambda: {"w8a16": "INT8 weights"})
    assert "INT8 weights" in bitproof("variants").out
    assert json.loads(bitproof("variants", "--format", "json").out) == {"w8a16": "INT8 weights"}
    assert bitproof("variants", "w8a16").out.startswith("w8a16: ")


@dataclass(frozen=True)
class FakeLint:
    findings: tuple[Any, ...]

    def raise_errors(self) -> None:
        return None


def test_calibrate_shows_what_is_there_and_what_is_missing(bitproof: Run, fake: Run, api: Any, tmp_path: Path):
    finding = SimpleNamespace(level="warning", what="nothing of the class json", remedy="Add some.")
    fake("bitproof.quantize.heldout.load_heldout", lambda reference, **options: SimpleNamespace(items=()))
    fake("bitproof.quantize.lint.lint", lambda data, texts: FakeLint((finding,)))
    done = bitproof("calibrate", "--out", "text.jsonl")
    assert done.code == 0, done.err
    assert "4,096" in done.out
    assert "warning: nothing of the class json. Add some." in done.out
    assert (tmp_path / "text.jsonl").read_text() == ""


@pytest.mark.parametrize(("agrees", "code"), [(True, 0), (None, 0), (False, 10)])
def test_inspect_ends_with_10_where_the_label_does_not_agree(bitproof: Run, fake: Run, agrees: bool | None, code: int):
    @dataclass(frozen=True)
    class Inspection:
        layers: tuple[LayerPrecision, ...]
        label: str
        agrees: bool | None
        findings: tuple[str, ...]

    layer = LayerPrecision(name="a.weight", shape=(4, 4), stored="int4, group 4", bits_per_weight=4.0, n_bytes=8)
    found = Inspection((layer,), "w8a16", agrees, ("the label says 8 bits",))
    fake("bitproof.models.inspect.inspect", lambda path: found)
    assert bitproof("inspect", "x.safetensors").code == code
    assert "a.weight" in bitproof("inspect", "x.safetensors", "--layers").out
    assert json.loads(bitproof("inspect", "x.safetensors", "--format", "json").out)["agrees"] is agrees
