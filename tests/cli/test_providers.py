"""`bitproof providers`: what it asks for, how it ends, what it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitproof.audit.provider_disclosed import Disclosure
from bitproof.audit.provider_results import NO_SUITE, Money, ProviderResult, ProvidersReport
from bitproof.types import NotMeasured

Run = Callable[..., Any]
NOTHING = NotMeasured("nothing was asked")
FILE = "shape: llama-3.1-8b\nendpoints: [{name: a, url: 'http://127.0.0.1:9/v1'}, {name: b, url: 'http://x/v1'}]\n"


def row(name: str, outcome: Any) -> ProviderResult:
    return ProviderResult(
        name=name,
        url="http://127.0.0.1:9/v1",
        model="m",
        preset="",
        reference=False,
        outcome=outcome,
        words="In words.",
        level=None,
        audit=None,
        agreement=NOTHING,
        disclosure=Disclosure(
            disclosed="unknown", standing="undisclosed", worst="4 bits or fewer", words="Undisclosed."
        ),
        quality=NO_SUITE,
        latency_p50_s=NOTHING,
        latency_p95_s=NOTHING,
        latency_of="probes",
        money=Money(
            usd_per_million=NOTHING,
            source="",
            per_thousand=NOTHING,
            per_retained=NOTHING,
            claimed="",
            measured="",
            margin_claimed=NOTHING,
            margin_measured=NOTHING,
        ),
        n_requests=0,
        prompt_tokens=0,
        answer_tokens=0,
        spent_usd=NOTHING,
    )


@pytest.fixture
def made(fake: Callable[[str, Any], None], tmp_path: Path) -> dict[str, Any]:
    """What the comparison is asked for, and the outcomes it finds; no endpoint is asked."""
    calls: dict[str, Any] = {"outcomes": ("consistent", "consistent")}
    (tmp_path / "e.yaml").write_text(FILE)

    def run(endpoints: Any, plan: Any, costing: Any, **options: Any) -> ProvidersReport:
        calls.update(endpoints=endpoints, plan=plan, costing=costing, **options)
        rows = (row(name, outcome) for name, outcome in zip("ab", calls["outcomes"], strict=True))
        return ProvidersReport(providers=tuple(rows), reference="tiny", profile_digest="0" * 64, alpha=0.01, seed=0)

    fake("bitproof.audit.providers.providers", run)
    fake("bitproof.audit.profile.find_profile", lambda file, reference: "the profile")
    return calls


@pytest.mark.parametrize(
    ("outcomes", "code", "said"),
    [
        (("consistent", "consistent"), 0, "Report: "),
        (("consistent", "inconsistent"), 10, "inconsistent with the reference: b"),
        (("inconsistent", "inconclusive"), 10, "inconsistent with the reference: a"),
        (("unreachable", "inconclusive"), 11, "could not be decided: b"),
        (("unreachable", "consistent"), 12, "could not be asked: a"),
        (("not audited", "not audited"), 0, "Report: "),
    ],
)
def test_exit_codes_and_files(
    bitproof: Run, made: dict[str, Any], tmp_path: Path, outcomes: tuple[str, str], code: int, said: str
):
    made["outcomes"] = outcomes
    done = bitproof("providers", "e.yaml", "--profile", "p", "--out", "here")
    assert done.code == code
    assert said in done.err
    assert "In words." in done.out
    assert "2 endpoints; each: an audit of at most 60 answer tokens (2,000 of text)." in done.err
    assert json.loads((tmp_path / "here" / "report.json").read_text())["providers"][1]["outcome"] == outcomes[1]
    assert "bitproof providers e.yaml --profile p --out here" in (tmp_path / "here" / "report.html").read_text()


def test_options_reach_the_plan(bitproof: Run, made: dict[str, Any]):
    line = "e.yaml --reference r --suite core:code,json --alpha 0.05 --seed 7 --at-once 2 --test text --max-tokens 90"
    done = bitproof("providers", *line.split(), "--max-suite-tokens", "5000", "--on", "l4", "--format", "json")
    assert done.code == 0, done.err
    plan = made["plan"]
    assert (plan.audit.alpha, plan.audit.seed, plan.audit.test, plan.audit.max_tokens) == (0.05, 7, "text", 90)
    assert (plan.suite.profile.name, plan.suite.slices, plan.suite.seed) == ("core", ("code", "json"), 7)
    assert (plan.at_once, plan.max_tokens, made["costing"].device.name) == (2, 5000, "l4")
    assert made["costing"].shape == "llama-3.1-8b"
    assert json.loads(done.out)["command"].startswith("bitproof providers e.yaml")
    assert "suite core, 150 items a slice, at most 5,000 tokens" in done.err


def test_own_items_are_asked_alone_where_no_suite_is(bitproof: Run, made: dict[str, Any], tmp_path: Path):
    (tmp_path / "i.jsonl").write_text(
        '{"id": "x", "prompt": "Two and two?", "grader": "number", "gold": {"value": 4}}\n'
    )
    done = bitproof("providers", "e.yaml", "--items", "i.jsonl")
    assert done.code == 0, done.err
    assert made["plan"].suite.profile is None
    assert len(made["plan"].suite.further) == 1
    assert made["profile"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "there is nothing to ask"),
        (("--suite", "cor"), "there is no profile 'cor'. Did you mean 'core'?"),
        (("--suite", "core:cod"), "cod"),
        (("--profile", "p", "--on", "h100"), "there is no accelerator 'h100'"),
        (("--profile", "p", "--claims", "none.yaml"), "none.yaml"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(
    bitproof: Run, fake: Any, tmp_path: Path, options: tuple[str, ...], message: str
):
    (tmp_path / "e.yaml").write_text(FILE)
    fake("bitproof.audit.profile.find_profile", lambda file, reference: "the profile")
    done = bitproof("providers", "e.yaml", *options)
    assert done.code == 2
    assert message in " ".join(done.err.split())


def test_a_shape_that_the_catalogue_does_not_hold_is_an_error(bitproof: Run, fake: Any, tmp_path: Path):
    (tmp_path / "e.yaml").write_text(FILE.replace("llama-3.1-8b", "llama-3.1-9b"))
    fake("bitproof.audit.profile.find_profile", lambda file, reference: "the profile")
    done = bitproof("providers", "e.yaml", "--profile", "p")
    assert done.code == 2
    assert "there is no model 'llama-3.1-9b'" in " ".join(done.err.split())
