import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bitproof.errors import UsageError
from bitproof.evaluate.results import Evaluation
from bitproof.report.json_ import to_json
from bitproof.report.notebook import html, load_ipython_extension, show

MakeEvaluation = Callable[..., Evaluation]


def test_a_notebook_shows_the_verdict_and_the_table(make_evaluation: MakeEvaluation):
    shown = html(make_evaluation())
    for said in ("✓ Recommended", "w6a16-scaled-g64", "Not measured", "KL 0.0273", "Long context", "−6.6"):
        assert said in shown, said
    assert not re.search(r"<style|<script|class=", shown)  # notebooks strip or mix them


def test_hostile_text_is_only_text(hostile: Evaluation):
    shown = html(hostile)
    assert "<script" not in shown
    assert "<img" not in shown
    shown.encode()


def test_edge_cases_are_shown(edge_cases: dict[str, Evaluation]):
    for made in edge_cases.values():
        assert html(made).count("<table") == 1


def test_the_extension_registers_evaluations():
    registered: dict[object, object] = {}
    formatter = SimpleNamespace(for_type=registered.__setitem__)
    load_ipython_extension(SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": formatter})))
    assert registered == {Evaluation: html}


def test_an_evaluation_or_a_folder_shows_itself(make_evaluation: MakeEvaluation, tmp_path: Path):
    made = make_evaluation()
    (tmp_path / "evaluation.json").write_text(to_json(made))
    assert show(made)._repr_html_() == show(tmp_path)._repr_html_() == show(str(tmp_path))._repr_html_() == html(made)
    assert repr(show(made)) == "Recommended: w6a16-scaled-g64"
    with pytest.raises(UsageError, match=r"nowhere/evaluation\.json: there is no such file"):
        show(tmp_path / "nowhere")


def test_divergence_is_explained_where_it_is_shown(make_evaluation: MakeEvaluation):
    explained = "KL: not measurable by outcome"
    assert explained in html(make_evaluation())  # facts is at the floor
    assert explained not in html(make_evaluation(slices=("json", "code")))
