import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from bitproof.evaluate.results import Evaluation
from bitproof.report.evaluation_html import render
from bitproof.report.evaluation_markdown import markdown
from bitproof.report.evaluation_terminal import evaluation_parts, folded
from bitproof.report.model_card import model_card
from bitproof.types import Estimate

MakeEvaluation = Callable[..., Evaluation]


def printed(evaluation: Evaluation, width: int, **console: Any) -> list[str]:
    stream = io.StringIO()
    target = Console(file=stream, width=width, highlight=False, **console)
    for part in evaluation_parts(evaluation, width=width):
        target.print(part, markup=False)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 160, 200])
def test_every_figure_is_whole_at_every_width(make_evaluation: MakeEvaluation, width: int):
    made = make_evaluation(speed=True)
    lines = printed(made, width)
    assert max(len(line) for line in lines) <= width
    text = "\n".join(lines)
    for variant in made.variants:
        for row in (*variant.comparisons, variant.overall):
            if isinstance(row.difference, Estimate):
                low, high = (f"{100 * x:+.1f}" for x in (row.difference.low, row.difference.high))
                assert f"[{low}, {high}]".replace("+0.0", "0.0").replace("-0.0", "0.0") in text
    for said in ("Recommended: w6a16-scaled-g64", "Not measured: The serving engine", "n/m", "inconclusive", "FAIL"):
        assert said in text, said


def test_a_pipe_gets_one_row_a_line(make_evaluation: MakeEvaluation):
    lines = printed(make_evaluation(variants=("w8a16-channel", "nf4"), decided=False), 160)
    row = next(line for line in lines if line.startswith("Long context"))
    assert row.count("[") == 2


def test_marks_are_ascii_where_names_are(make_evaluation: MakeEvaluation):
    lines = printed(make_evaluation(variants=("nf4",), decided=False), 80)
    assert "~" in "".join(lines)
    assert {c for line in lines for c in line if not c.isascii()} <= {"─"}


def test_hostile_text_neither_colours_nor_breaks(hostile: Evaluation):
    text = "\n".join(printed(hostile, 80, force_terminal=True))
    assert "\x1b[31m" not in text
    assert "\u202e" not in text
    assert "⟨U+001B⟩[31mred" in text


def test_markup_in_names_is_text(make_evaluation: MakeEvaluation):
    made = make_evaluation(titles={"json": "[red]JSON[/red] [/]"}, caveats=("[bold]x",))
    text = "\n".join(printed(made, 160))
    assert "[red]JSON[/red] [/]" in text
    assert "[bold]x" in text


def test_edge_cases_are_tables(edge_cases: dict[str, Evaluation]):
    for made in edge_cases.values():
        for width in (80, 160):
            lines = printed(made, width)
            assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize(
    ("name", "width", "text"),
    [
        ("w4a16-awq.scaled.gptq-g64", 13, "w4a16-awq.\nscaled.gptq-\ng64"),
        ("short", 13, "short"),
        ("x" * 7, 3, "xxx\nxxx\nx"),
        ("", 3, ""),
    ],
)
def test_names_fold_after_their_punctuation(name: str, width: int, text: str):
    assert folded(name, width) == text


@pytest.mark.parametrize(("slices", "shown"), [(("json", "facts"), True), (("json", "code"), False)])
def test_divergence_is_explained_where_it_is_shown(make_evaluation: MakeEvaluation, slices: Any, shown: bool):
    made = make_evaluation(slices=slices, decided=False)
    text = "\n".join(printed(made, 160))
    assert ("KL: not measurable by outcome" in text) is shown
    page = render(made, ladder=None, version="0.2.0")
    assert ('<span class="box kl">' in page) is shown
    for written in (markdown(made, version="0.2.0"), model_card(made, made.variants[0].name, version="0.2.0")):
        assert ("KL: divergence in nats per token" in written) is shown
