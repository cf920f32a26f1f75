"""`bitproof report`, on what the other commands left."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def evaluated(bitproof: Run, tmp_path: Path, *options: str) -> Any:
    (tmp_path / "ladder").mkdir(exist_ok=True)
    (tmp_path / "ladder" / "bitproof.json").write_text("{}")
    return bitproof("evaluate", "ladder", *options)


def test_a_finished_run_is_shown_and_written_again(bitproof: Run, api: Any, tmp_path: Path):
    first = evaluated(bitproof, tmp_path)
    page = (tmp_path / "evaluation" / "report.html").read_text()
    (tmp_path / "evaluation" / "report.html").unlink()
    again = bitproof("report", "evaluation")
    assert (again.code, again.out) == (0, first.out)
    assert (tmp_path / "evaluation" / "report.html").read_text() == page
    assert "Report: evaluation/report.html" in again.err


def test_the_outcome_of_the_run_is_not_that_of_the_report(bitproof: Run, api: Any, tmp_path: Path):
    api.outcome = "fail"
    assert evaluated(bitproof, tmp_path).code == 10
    assert bitproof("report", "evaluation").code == 0


def test_forms_go_where_they_are_asked_for(bitproof: Run, api: Any, tmp_path: Path):
    evaluated(bitproof, tmp_path)
    done = bitproof(
        "report", "evaluation", "--write", "markdown", "--write", "junit", "--out", "made", "--format", "json"
    )
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["evaluation.md", "junit.xml"]
    assert json.loads(done.out) == json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())


def test_the_demo_is_shown_again_with_its_ladder(bitproof: Run, api: Any, tmp_path: Path):
    first = bitproof("demo", "w8a16", "nf4")
    page = (tmp_path / "demo" / "report.html").read_text()
    again = bitproof("report", "demo")
    assert (again.code, again.out) == (0, first.out)
    assert (tmp_path / "demo" / "report.html").read_text() == page
    as_json = bitproof("report", "demo", "--format", "json").out
    assert as_json == bitproof("demo", "w8a16", "nf4", "--format", "json").out.replace(" --format json", "")


def test_a_measured_ladder_is_a_report(bitproof: Run, api: Any, tmp_path: Path):
    (tmp_path / "ladder" / "a").mkdir(parents=True)
    (tmp_path / "ladder" / "a" / "bitproof.json").write_text("{}")
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "ladder.json").write_text(bitproof("measure", "ladder", "--format", "json").out)
    done = bitproof("report", "measured")
    assert done.code == 0, done.err
    assert "Provisional" in done.out
    assert (tmp_path / "measured" / "report.html").exists()
    done = bitproof("report", "measured", "--write", "junit")
    assert (done.code, "holds a ladder and no evaluation" in done.err) == (2, True)


@pytest.mark.parametrize(("form", "module"), [("inspect", "inspect_ai"), ("parquet", "pyarrow")])
def test_a_form_that_cannot_be_written_is_refused_before_anything_is_asked(
    bitproof: Run, api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, module: str
):
    monkeypatch.setitem(sys.modules, module, None)
    done = evaluated(bitproof, tmp_path, "--write", form)
    assert done.code == 12
    assert f"pip install 'bitproof[{form}]'" in " ".join(done.err.split())
    assert "evaluate" not in api.made
    assert bitproof("compare", "a", "b", "--write", form).code == 12
    assert api.made == {}


def test_a_damaged_record_is_one_paragraph(bitproof: Run, api: Any, tmp_path: Path):
    evaluated(bitproof, tmp_path)
    path = tmp_path / "evaluation" / "evaluation.json"
    path.write_text(path.read_text().replace('"n_clusters": 50', '"n_clusters": "many"', 1))
    done = bitproof("report", "evaluation")
    assert (done.code, done.out) == (2, "")
    said = " ".join(done.err.split())
    assert "evaluation/evaluation.json, reference_scores['json'].n_clusters: \"many\" is not" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("folder", ["nowhere", ".", "notes.txt"])
def test_a_folder_without_a_run(bitproof: Run, tmp_path: Path, folder: str):
    (tmp_path / "notes.txt").touch()
    done = bitproof("report", folder)
    assert (done.code, done.out) == (2, "")
    assert "Name the folder that was --out" in " ".join(done.err.split())
