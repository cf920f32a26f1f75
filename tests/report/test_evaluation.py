import math
from collections.abc import Callable

import pytest

from bitproof.evaluate.results import Evaluation, GateOutcome, Requirement
from bitproof.report import evaluation as words
from bitproof.report import figures
from bitproof.report.gates import GateRow, gate_row
from bitproof.types import Estimate, NotMeasured

MakeEvaluation = Callable[..., Evaluation]


@pytest.mark.parametrize(
    ("difference", "step"),
    [
        (0.0, 0),
        (-0.0099, 0),
        (-0.01, -1),
        (-0.03, -2),
        (-0.0599, -2),
        (-0.06, -3),
        (-0.5, -4),
        (0.12, 4),
        (math.nan, 0),
    ],
)
def test_steps_of_colour(difference: float, step: int):
    assert words.step_of(difference) == step


def test_points_are_signed_and_nothing_has_no_sign():
    found = Estimate(value=-0.0004, low=-0.02, high=0.0191, n=9, n_clusters=9)
    assert figures.points(found) == ("0.0", "[-2.0, +1.9]")
    lone = Estimate(value=0.1, low=math.nan, high=math.nan, n=9, n_clusters=1)
    assert figures.points(lone) == ("+10.0", "[no interval: 1 cluster]")


def test_a_cell_is_undecided_by_its_gate_or_by_its_interval(make_evaluation: MakeEvaluation):
    made = make_evaluation(variants=("w4a16-awq.scaled.gptq-g64",))
    rows = {row.slice: row.cells[0] for row in words.grid(made)}
    assert [rows[name].outcome for name in ("arithmetic", "json", "long_context")] == ["pass", "inconclusive", None]
    assert [rows[name].undecided for name in ("arithmetic", "json", "long_context")] == [False, True, False]
    assert rows["facts"].kind == "divergence"
    assert rows["refusal"].undecided  # about 0, and as wide as several points
    assert not rows["all"].undecided


def test_a_narrow_interval_about_nothing_is_decided(make_evaluation: MakeEvaluation):
    made = make_evaluation(variants=("w8a16-channel",), decided=False)
    assert not words.grid(made)[-1].cells[0].undecided


@pytest.mark.parametrize(
    ("changes", "label", "headline"),
    [
        ({}, "Recommended", "w6a16-scaled-g64"),
        ({"decided": False}, "Nothing required", "Measured, not decided"),
        ({"variants": ("w3a16-scaled.gptq-g64",)}, "Not good enough", "No variant is proven good enough"),
        ({"variants": ("w4a16-awq.scaled.gptq-g64",)}, "Inconclusive", "No variant is proven good enough"),
    ],
)
def test_the_verdict(make_evaluation: MakeEvaluation, changes: dict[str, object], label: str, headline: str):
    found = words.verdict(make_evaluation(**changes))
    assert (found.label, found.headline) == (label, headline)


def test_standing_in_the_decision(make_evaluation: MakeEvaluation):
    made = make_evaluation()
    standings = [words.standing(made, row.name) for row in made.variants]
    assert standings == [
        ("✓", "good enough"),
        ("✓", "good enough"),
        ("✓", "recommended"),
        ("?", "not proven"),
        ("", "not tested"),
    ]
    assert words.standing(made, "w8a8-smoothquant") == ("", "passed over")
    assert words.standing(make_evaluation(decided=False), "nf4") == ("", "")


def gate(outcome: str, figure: Estimate | float | NotMeasured, **fields: object) -> GateRow:
    kind = "slice" if isinstance(figure, Estimate) else "at most"
    requirement = Requirement(text="x", subject="x", kind=kind, limit=0.02)  # type: ignore[arg-type]
    return gate_row(GateOutcome(requirement=requirement, outcome=outcome, figure=figure, **fields))  # type: ignore[arg-type]


def test_gates_in_words():
    found = Estimate(value=-0.03, low=-0.05, high=-0.01, n=9, n_clusters=9)
    assert gate("fail", found, p_fail=0.0212, why="it lost").evidence == "it lost; against “met” p\u00a00.021"
    assert gate("pass", found, p_pass=1e-9).evidence == "against “not met” p\u00a0<\u00a00.001"
    undecided = gate("inconclusive", found, p_pass=0.2, p_fail=0.3, items_needed=12_345)
    assert undecided.evidence == "against “not met” p\u00a00.20, against “met” p\u00a00.30"
    assert undecided.decides == "about 12,345 fresh items"
    assert "no affordable number" in gate("inconclusive", found).decides
    assert gate("pass", 7.25, p_pass=0.0).evidence == ""  # known exactly: no test
    assert gate("pass", 7.25).figure == ("7.25", "")
    absent = gate("not measurable", NotMeasured("no server"))
    assert (absent.figure, absent.evidence) == (("–", ""), "not measured: no server")


def test_everything_missing_is_named_once(make_evaluation: MakeEvaluation):
    made = make_evaluation(measurable=False, decided=False)
    lines = words.missing(made)
    assert [what for what, _ in lines] == [
        "The serving engine",
        "code_humaneval",
        "Every slice, by outcome",
        "Speed",
    ]
    assert lines[-1][1] == "bitproof bench measures it; --speed adds what it found"


def test_what_is_missing_of_one_variant_names_it(make_evaluation: MakeEvaluation):
    made = make_evaluation(variants=("nf4", "fp8a16"))
    first = made.variants[0]
    other = type(first)(**{**vars(first), "comparisons": first.comparisons[1:]})
    made = type(made)(**{**vars(made), "variants": (other, made.variants[1])})
    assert ("Multi-step arithmetic of nf4", "this variant was not asked") in list(words.undecidable(made))


def test_names_of_cliffs_have_their_titles(make_evaluation: MakeEvaluation):
    made = make_evaluation()
    assert words.cliff_name(made, "long_context at 4096 tokens of context").startswith("Long context at 4096")
    assert words.cliff_name(made, "json") == "JSON to a schema"
    assert words.cliff_name(made, "json_schema") == "json_schema"
    assert words.cliff_name(made, "the hard tail") == "the hard tail"
