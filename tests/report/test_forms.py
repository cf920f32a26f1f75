"""A finished run's folder: everything that can be made of it, without what made it."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitproof.cli.evaluation import FORMS as OFFERED
from bitproof.engines.generation import Forced
from bitproof.errors import MissingPartError, UsageError
from bitproof.evaluate.records import LADDER, SPEED, write_answers
from bitproof.evaluate.results import Evaluation
from bitproof.evaluate.runner import Answers
from bitproof.evaluate.speed_results import Load, LoadSpeed, Percentiles, SpeedReport, TargetSpeed
from bitproof.formats.number import NumberFormat
from bitproof.quantize.recommend import recommend
from bitproof.report.forms import FORMS, Finished, read_finished, write_form
from bitproof.report.json_ import to_json
from bitproof.report.ladder import LadderReport
from bitproof.store.runs import Store
from bitproof.types import Estimate, Grade, NotMeasured, Variant

MakeEvaluation = Callable[..., Evaluation]
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
LN2 = float(np.log(2))


def ladder_report(make_measurement: Any) -> LadderReport:
    rows = (make_measurement("w8a16"), make_measurement("nf4", NotMeasured("not exported"), note="seen"))
    weights = NumberFormat(element="int8", granularity="block", block=(128, 128))
    variant = Variant(name="w8a16", asked="w8a16", scheme="w8a16", methods=("rtn",), weights=weights)
    return LadderReport(
        reference="tiny",
        n_parameters=1_000,
        reference_bytes=2_000,
        measurements=rows,
        floor=rows[:1],
        variants={"w8a16": variant},
        recommendation=recommend(rows, 0.3),
        how={"Seed": "0"},
        caveats=("none",),
        command="bitproof demo",
    )


def finish(folder: Path, evaluation: Evaluation, ladder: LadderReport | None = None) -> Finished:
    """Leave in a folder what a run leaves there: answers to each variant's worst items, tokens of two, figures."""
    pairs = evaluation.variants[0].worst
    items = [pair.item for pair in pairs]
    grades = {side: {pair.item.id: Grade(score=getattr(pair, f"{side}_score")) for pair in pairs} for side in SIDES}
    made: dict[str, Answers] = {}
    for name in (evaluation.reference, *(row.name for row in (*evaluation.variants, *evaluation.noise))):
        side = "reference" if name == evaluation.reference else "variant"
        responses = {pair.item.id: getattr(pair, side) for pair in pairs}
        forced = Forced(logprobs_nats=np.array([-1.0, -LN2]), same_top=np.array([True, False]), kl_nats=np.ones(2))
        made[name] = Answers(subject=name, responses=responses, forced={items[0].id: forced})
        keys = {item.id: (f"{len(made)} {item.id}",) for item in items}
        reference = made[evaluation.reference]
        write_answers(folder, items, made[name], grades[side], reference=reference, keys=keys)
        with Store(folder) as store:
            arrays = {key: value.tolist() for key, value in vars(forced).items()}
            store.keep_completion(keys[items[0].id][0], {"forced": arrays})
    run = Finished(evaluation=evaluation, ladder=ladder, folder=folder, when=WHEN)
    write_form("json", run, folder, version="0.2.0")
    return run


SIDES = ("reference", "variant")


def made_by(run: Finished, out: Path, form: str) -> dict[str, bytes]:
    files = write_form(form, run, out, version="0.2.0")
    assert sorted(files) == sorted(path for path in out.rglob("*") if path.is_file())  # and nothing aside
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_the_command_offers_every_form():
    assert tuple(FORMS) == OFFERED


def test_reports_are_made_again_as_they_were(make_evaluation: MakeEvaluation, make_measurement: Any, tmp_path: Path):
    run = finish(tmp_path / "run", make_evaluation(), ladder_report(make_measurement))
    again = replace(read_finished(tmp_path / "run"), when=WHEN)
    assert again.folder == run.folder
    assert repr(again.evaluation) == repr(run.evaluation)
    assert repr(again.ladder) == repr(run.ladder)
    for form in ("html", "markdown", "junit", "model-card", "json", "lm-eval"):
        first, second = (made_by(each, tmp_path / f"{form}{n}", form) for n, each in enumerate((run, again)))
        assert first == second
        assert first


def test_what_is_hostile_stays_in_its_folder(hostile: Evaluation, tmp_path: Path):
    names = [f"../../{row.name}" for row in hostile.variants]
    rows = tuple(replace(row, name=name) for row, name in zip(hostile.variants, names, strict=True))
    finish(tmp_path / "run", replace(hostile, variants=rows, recommendation=None))
    run = read_finished(tmp_path / "run")
    for form in ("html", "markdown", "junit", "model-card", "json", "lm-eval"):
        made_by(run, tmp_path / "out" / form, form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_samples_lie_where_the_harness_puts_them(make_evaluation: MakeEvaluation, tmp_path: Path):
    run = finish(tmp_path / "run", make_evaluation(variants=("nf4",), reference="org/model"))
    names = made_by(run, tmp_path / "out", "lm-eval")
    folders = {name.split("/")[1] for name in names}
    assert len(folders) == 2
    assert "nf4" in folders
    assert {name.split("/")[2] for name in names} == {
        f"samples_{task}_2026-01-02T03-04-05.000678.jsonl" for task in ("arithmetic", "json", "multilingual")
    }
    (line,) = names["lm-eval/nf4/samples_json_2026-01-02T03-04-05.000678.jsonl"].splitlines()
    assert json.loads(line)["score"] == 0.0


def test_a_ladder_alone_is_a_page(make_measurement: Any, tmp_path: Path):
    (tmp_path / LADDER).write_text(to_json(ladder_report(make_measurement)))
    run = read_finished(tmp_path)
    assert run.evaluation is None
    assert b"w8a16" in made_by(run, tmp_path / "out", "html")["report.html"]
    with pytest.raises(
        UsageError, match=r"holds a ladder and no evaluation.*`bitproof evaluate` makes what junit needs"
    ):
        write_form("junit", run, tmp_path, version="0.2.0")


def test_the_demo_keeps_answers_in_a_folder_of_their_own(make_evaluation: MakeEvaluation, tmp_path: Path):
    finish(tmp_path / "evaluation", make_evaluation(variants=("nf4",)))
    (tmp_path / "evaluation" / "evaluation.json").rename(tmp_path / "evaluation.json")
    assert read_finished(tmp_path).folder == tmp_path / "evaluation"


def test_speed_that_was_measured_into_the_folder_is_on_the_page(make_evaluation: MakeEvaluation, tmp_path: Path):
    absent = NotMeasured("too few requests")
    bound = Estimate(value=1.5, low=1.0, high=math.inf, n=20, n_clusters=20)
    load = LoadSpeed(
        load=Load(n_requests=20, rate_per_s=2.0),
        n_answered=20,
        n_failed=0,
        duration_s=10.0,
        in_flight=1.0,
        first_token_s=Percentiles(p50=bound, p95=bound, p99=absent),
        between_tokens_s=Percentiles(p50=absent, p95=absent, p99=absent),
        whole_s=Percentiles(p50=absent, p95=absent, p99=absent),
        gap_p95_s=absent,
        tokens_per_s=absent,
        requests_per_s=absent,
        stages=(),
        client_late_s=0.0,
    )
    target = TargetSpeed(
        name="served", engine="llama.cpp", version="1", settings={}, loads=(load,), peak_memory_bytes=absent
    )
    speed = SpeedReport(targets=(target,), seed=0, prompts_digest="ab" * 32, prompt_tokens=20, answer_tokens=5)
    finish(tmp_path, make_evaluation(variants=("nf4",)))
    (tmp_path / SPEED).write_text(to_json(speed))
    run = read_finished(tmp_path)
    assert run.speed is not None
    assert run.speed.targets[0].loads[0].load == load.load
    page = made_by(run, tmp_path / "out", "html")["report.html"].decode()
    assert "<bdi>served</bdi>" in page


@pytest.mark.parametrize("column", ["levels", "reference", "difference", "kl_nats"])
def test_a_curve_with_a_figure_missing_is_refused(make_evaluation: MakeEvaluation, tmp_path: Path, column: str):
    plain = json.loads(to_json(make_evaluation(variants=("nf4",))))
    plain["variants"][0]["curves"][0][column].pop()
    (tmp_path / "evaluation.json").write_text(json.dumps(plain))
    with pytest.raises(UsageError, match="the curve of 'nf4' in 'arithmetic' has not one figure for each level"):
        read_finished(tmp_path)


@pytest.mark.parametrize(("left", "words"), [("notes.txt", "Name the folder"), ("run.sqlite", "is not finished")])
def test_a_folder_without_a_finished_run(tmp_path: Path, left: str, words: str):
    (tmp_path / left).touch()
    with pytest.raises(UsageError, match=rf"holds neither evaluation.json nor ladder.json.*{words}"):
        read_finished(tmp_path)


def test_answers_that_are_gone_stop_only_what_needs_them(make_evaluation: MakeEvaluation, tmp_path: Path):
    run = finish(tmp_path / "run", make_evaluation(variants=("nf4",)))
    (tmp_path / "run" / "answers" / "nf4.jsonl").unlink()
    with pytest.raises(UsageError, match=r"nf4\.jsonl: there is no such file. This report needs every answer"):
        write_form("lm-eval", run, tmp_path / "out", version="0.2.0")
    assert made_by(run, tmp_path / "again", "markdown")


@pytest.mark.parametrize(("form", "module"), [("inspect", "inspect_ai.log"), ("parquet", "pyarrow")])
def test_a_missing_part_is_answered_with_the_line_that_installs_it(
    make_evaluation: MakeEvaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, module: str
):
    run = finish(tmp_path / "run", make_evaluation(variants=("nf4",)))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPartError, match=rf"pip install 'bitproof\[{form}\]'"):
        write_form(form, run, tmp_path / "out", version="0.2.0")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_tokens_are_one_row_each(make_evaluation: MakeEvaluation, tmp_path: Path):
    from pyarrow import parquet

    run = finish(tmp_path / "run", make_evaluation(variants=("nf4", "w4a16-g64")))
    made_by(run, tmp_path / "out", "parquet")
    file = parquet.ParquetFile(tmp_path / "out" / "tokens.parquet")
    assert file.num_row_groups == 4  # two variants, two noise floors
    rows = file.read().to_pylist()
    assert len(rows) == 8
    assert rows[1] == {
        "subject": "nf4",
        "item": "arithmetic/0/3/17",
        "slice": "arithmetic",
        "position": 1,
        "token_id": None,  # the reference's own ids are of six tokens
        "reference_logprob_nats": -LN2,
        "logprob_nats": -LN2,
        "kl_nats": 1.0,
        "flip": True,
    }


@pytest.mark.skipif(find_spec("inspect_ai") is None, reason="inspect-ai is not installed")
def test_inspect_reads_a_log_of_each_variant(make_evaluation: MakeEvaluation, tmp_path: Path):
    from inspect_ai.log import read_eval_log

    run = finish(tmp_path / "run", make_evaluation(variants=("nf4", "w4a16-g64")))
    assert sorted(made_by(run, tmp_path / "out", "inspect")) == ["inspect/nf4.eval", "inspect/w4a16-g64.eval"]
    log = read_eval_log(str(tmp_path / "out" / "inspect" / "nf4.eval"))
    assert (log.status, log.eval.created[:19]) == ("success", "2026-01-02T03:04:05")
    assert [sample.scores["score"].value for sample in log.samples or ()] == [0.0, 0.0, 0.0]


def test_nothing_heavy_is_loaded(make_evaluation: MakeEvaluation, make_measurement: Any, tmp_path: Path):
    """A finished run can be shown where neither torch nor a database is installed."""
    finish(tmp_path / "run", make_evaluation(), ladder_report(make_measurement))
    forms = [
        word for form in ("html", "markdown", "junit", "model-card", "json", "lm-eval") for word in ("--write", form)
    ]
    code = (
        "import sys\nfrom bitproof.cli.main import run\n"
        f"assert run(['report', {str(tmp_path / 'run')!r}, *{forms!r}]) == 0\n"
        "print(*(name for name in ('torch', 'transformers', 'safetensors', 'sqlalchemy') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
    assert "w6a16-scaled-g64" in done.stdout
