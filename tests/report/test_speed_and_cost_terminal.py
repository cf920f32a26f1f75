"""What the tables of `bitproof bench` and `bitproof cost` show, at 80 and 160 columns, and the page of a bench."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from bitproof.evaluate.cost import costs
from bitproof.evaluate.cost_catalogue import read_catalogue
from bitproof.evaluate.cost_results import Figure, Terms
from bitproof.evaluate.plain import read_as
from bitproof.evaluate.speed_results import (
    NO_DRAFT,
    GuidedEffect,
    Load,
    LoadSpeed,
    Percentiles,
    SpeedReport,
    Stage,
    TargetSpeed,
)
from bitproof.report.cost_terminal import break_even_table, cost_notes, cost_table, margin_table
from bitproof.report.json_ import to_json
from bitproof.report.speed_html import render
from bitproof.report.speed_terminal import draft_table, guided_table, speed_notes, speed_parts, speed_table, stage_table
from bitproof.types import Estimate, NotMeasured


def shown(made: Table, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(made)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return "\n".join(lines)


def estimate(value: float, high: float) -> Estimate:
    return Estimate(value=value, low=value / 2, high=high, n=100, n_clusters=40, level=0.9, method="order statistics")


def report() -> SpeedReport:
    some = Percentiles(
        p50=estimate(0.5, 0.6),
        p95=estimate(1.25, math.inf),
        p99=NotMeasured("p99 needs 299 requests, and there are 100"),
    )
    load = LoadSpeed(
        load=Load(n_requests=100, rate_per_s=2.5),
        n_answered=97,
        n_failed=3,
        duration_s=40.0,
        in_flight=1.5,
        first_token_s=some,
        between_tokens_s=some,
        whole_s=some,
        gap_p95_s=estimate(0.1, 0.2),
        tokens_per_s=estimate(80.0, 90.0),
        requests_per_s=estimate(2.5, 2.7),
        stages=(
            Stage(name="queue", seconds=NotMeasured("not told"), by="engine"),
            Stage(name="prefill", seconds=estimate(0.025, 0.03), by="engine"),
        ),
        client_late_s=0.2,
        failures={"HTTP 500": 3},
        invalid=4,
    )
    target = TargetSpeed(
        name="w4a16",
        engine="llama.cpp",
        version="1.0",
        settings={},
        loads=(load,),
        peak_memory_bytes=260_000_000,
        draft_acceptance=estimate(0.7, 0.8),
        answers_changed=estimate(0.02, 0.05),
        draft_speedup=estimate(1.4, 1.5),
        stopped="the budget of 60 s was spent",
    )
    guided = GuidedEffect(
        target="w4a16",
        slice="json",
        n_items=40,
        n_clusters=36,
        valid_free=estimate(0.6, 0.8),
        valid_guided=estimate(1.0, 1.0),
        score_free=estimate(0.4, 0.6),
        score_guided=estimate(0.5, 0.7),
        score_difference=estimate(0.1, 0.2),
        repaired=6,
        broken=2,
        time_ratio=estimate(1.25, 1.5),
        token_ratio=NotMeasured("the free answers hold none"),
        token_time_ratio=estimate(1.1, 1.2),
        cut_free=3,
        cut_guided=1,
        failed=4,
        failures={"HTTP 400: no grammar": 4},
    )
    return SpeedReport(
        targets=(target,),
        seed=7,
        prompts_digest="ab" * 32,
        prompt_tokens=128,
        answer_tokens=32,
        guided=(guided,),
        how={"slice json-real": "left out: it needs a package"},
    )


@pytest.mark.parametrize("width", [80, 160])
def test_speed_shows_bounds_and_that_there_is_none(width: int) -> None:
    text = shown(speed_table(report(), width=width), width)
    assert "w4a16" in text
    assert "1.25" in text
    assert "[0.62, no bound]" in text
    assert "80.0" in text
    assert ("97 of 100" in text) == (width == 160)
    assert " - " in text if width == 160 else True
    assert "25.0" in shown(stage_table(report()), width)


@pytest.mark.parametrize("width", [80, 160])
def test_drafts_and_guiding_have_tables_of_their_own(width: int) -> None:
    draft = shown(draft_table(report()), width)
    for part in ("70.0", "[35.0, 80.0]", "1.400"):
        assert part in draft
    guided = shown(guided_table(report(), width=width), width)
    for part in ("w4a16, json", "60.0", "100.0", "[50.0, 100.0]", "6, 2", "1.250"):
        assert part in guided
    assert ("1.100" in guided) == ("+10.0" in guided) == (width == 160)
    nan = float("nan")
    single = replace(report().guided[0], n_clusters=1, valid_free=replace(estimate(0.6, nan), low=nan))
    one = replace(report(), guided=(single,))
    assert "no interval:" not in shown(guided_table(one, width=width), width)
    assert "w4a16, json: no intervals" in "\n".join(speed_notes(one))
    assert sum(not isinstance(part, str) for part in speed_parts(report(), width=width)) == 4
    alone = replace(report(), targets=(replace(report().targets[0], loads=(), draft_acceptance=NO_DRAFT),))
    assert sum(not isinstance(part, str) for part in speed_parts(alone, width=width)) == 1
    assert "Prompts of about" not in "\n".join(speed_notes(alone))


def test_speed_notes_say_what_is_missing_and_why() -> None:
    text = "\n".join(speed_notes(report()))
    for part in (
        "seed 7",
        "peak memory 260.0 MB",
        "at temperature 0 an answer changes where two tokens are nearly as likely",
        "cut at their limit of tokens: 3 free and 1 guided answers",
        "4 items were not answered both ways: 4 x HTTP 400: no grammar",
        "slice json-real: left out: it needs a package",
        "stopped, because the budget of 60 s was spent",
        "3 failed: HTTP 500",
        "4 of 97 answers break the schema",
        "not measured: p99 needs 299 requests, and there are 100 (every load)",
        "no upper bound: order statistics",
        "sent up to 0.20 s late",
    ):
        assert part in text


@pytest.mark.parametrize("width", [80, 160])
def test_cost_marks_what_figures_rest_on(width: int) -> None:
    catalogue, models = read_catalogue(), ["llama-3.1-8b", "llama-3.1-8b:w4a16-g128"]
    found = costs(models, ["h100-sxm", "l4"], catalogue, Terms(), apis=["together-llama-3.1-8b"], detected="w4a16")
    text = shown(cost_table(found, width=width), width)
    assert "tokens/s R" in text
    assert "USD/M RL" in text
    assert "15.0" in text
    both = costs(models, ["h100-sxm"], catalogue, Terms(), measured={"llama-3.1-8b": Figure(1234.0, ("measured",))})
    mixed = shown(cost_table(both, width=width), width)
    assert "1,234 M" in mixed
    assert "5,281 R" in mixed
    assert "never: it" in shown(break_even_table(found), 160)
    assert "claimed" in shown(margin_table(found), width)
    notes = "\n".join(cost_notes(found))
    for part in ("M measured, R roofline", "2026-05-22", "Together's price", "no price to buy l4"):
        assert part in notes
    assert "NOT VERIFIED" not in notes
    doubted = costs(models[:1], ["rtx-4090"], catalogue, Terms(), apis=["deepinfra-llama-3.1-8b"])
    assert "NOT VERIFIED: its day" in "\n".join(cost_notes(doubted))
    assert "USD/M RU" in shown(cost_table(doubted, width=width), width)


def test_an_empty_schema_line_is_left_out() -> None:
    made = report()
    load = replace(made.targets[0].loads[0], invalid=NotMeasured("no schema was given"), failures={})
    plain = replace(made, targets=(replace(made.targets[0], loads=(load,), stopped=""),), guided=())
    text = "\n".join(speed_notes(plain))
    assert "schema" not in text
    assert "stopped" not in text


def test_the_page_shows_every_part_and_escapes_what_comes_from_outside() -> None:
    made = report()
    hostile = replace(made.targets[0], name="<script>alert(1)</script>", settings={"slots": 4})
    page = render(replace(made, targets=(hostile,), command="bitproof bench 'a<b'"), version="0.2.0")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for part in ("<svg", "Where the time goes", "Speculative decoding", "Guided decoding", "NOT", "a&lt;b", "slots 4"):
        assert (part in page) == (part != "NOT")
    assert "built-in method" not in page
    for figure in ("70.0 %", "1.400", "+10.0", "25.0", "no bound", "100.0 %"):
        assert figure in page
    again = read_as(SpeedReport, json.loads(to_json(made)), where="speed.json")
    assert render(again, version="0.2.0") == render(made, version="0.2.0")  # an infinity is read back as NaN
    alone = render(replace(made, targets=(replace(made.targets[0], loads=()),), guided=()), version="0.2.0")
    assert "<svg" not in alone
    assert "Where the time goes" not in alone
