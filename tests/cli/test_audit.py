"""`bitproof audit`: where its report goes, and how it ends."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bitproof.audit.results import AuditReport

Run = Callable[..., Any]
URL = "http://127.0.0.1:1/v1"


@pytest.fixture
def found(fake: Callable[[str, Any], None]) -> dict[str, Any]:
    """What audits find, to be changed; no endpoint is asked."""
    fields: dict[str, Any] = {
        "outcome": "consistent",
        "words": "Consistent with tiny.",
        "names": ("reference", "w4"),
        "probability": {"reference": 0.99, "w4": 0.01},
        "closest": ("reference",),
        **dict.fromkeys(("excluded", "equals", "residuals", "looks"), ()),
        **{field: {} for field in ("fit", "expected", "scale")},
        **dict.fromkeys(("profile_digest", "sampler", "reference"), ""),
        **dict.fromkeys(("n_probes", "n_places", "answer_tokens", "prompt_tokens", "top_logprobs", "seed"), 0),
        "test": "text",
        "meter": None,
        "alpha": 0.01,
    }
    profile = SimpleNamespace(probes=("Wool?",) * 200, prompt_tokens=(30,) * 200, path=np.zeros((200, 16)))
    fake("bitproof.audit.profile.find_profile", lambda file, reference: profile)
    engine = SimpleNamespace(model="tiny", client=SimpleNamespace(where=URL))
    fake("bitproof.engines.http.HttpGenerator", lambda *a, **k: nullcontext(engine))

    def audit(engine: Any, profile: Any, plan: Any, *, endpoint: str, model: str, progress: Any) -> AuditReport:
        return AuditReport(endpoint=endpoint, model=model, **fields)

    fake("bitproof.audit.audit.audit", audit)
    return fields


def test_the_report_takes_the_form_that_its_name_says(bitproof: Run, found: dict[str, Any], tmp_path: Path):
    done = bitproof("audit", URL, "--profile", "p", "--out", "made/report.html")
    assert done.code == 0, done.err
    page = (tmp_path / "made" / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "bitproof audit http://127.0.0.1:1/v1 --profile p --out made/report.html" in page
    assert bitproof("audit", URL, "--profile", "p", "--out", "report.json").code == 0
    assert json.loads((tmp_path / "report.json").read_text())["words"] == "Consistent with tiny."
    assert "Consistent with tiny." in done.out


@pytest.mark.parametrize("name", ["report", "report.pdf", "html"])
def test_another_name_is_refused_before_anything_is_asked(bitproof: Run, fake: Any, tmp_path: Path, name: str):
    fake("bitproof.audit.profile.find_profile", lambda file, reference: pytest.fail("it was read"))
    done = bitproof("audit", URL, "--profile", "p", "--out", name)
    assert done.code == 2
    assert "End its name in .html or in .json" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("outcome", "code"), [("inconsistent", 10), ("inconclusive", 11)])
def test_a_report_is_written_whatever_came_out(
    bitproof: Run, found: dict[str, Any], tmp_path: Path, outcome: str, code: int
):
    found["outcome"] = outcome
    assert bitproof("audit", URL, "--profile", "p", "--out", "report.html").code == code
    assert (tmp_path / "report.html").exists()


def test_money_is_said_first_and_is_a_limit(bitproof: Run, found: dict[str, Any], fake: Any):
    plans = []

    def audit(engine: Any, profile: Any, plan: Any, *, endpoint: str, model: str, progress: Any) -> AuditReport:
        plans.append(plan)
        return AuditReport(endpoint=endpoint, model=model, **found, cost_usd=0.0123)

    fake("bitproof.audit.audit.audit", audit)
    money = ("--price-in", "1", "--price-out", "10", "--max-cost-usd", "0.5")
    done = bitproof("audit", URL, "--profile", "p", *money, "--test", "top-logprobs")
    assert done.code == 0, done.err
    assert (plans[0].price, plans[0].max_cost_usd) == ((1.0, 10.0), 0.5)
    # at most one question a token, each with a prompt of 30 tokens and an answer of 16 in it
    assert "At most 60 answer tokens and 2,760 prompt tokens, 0.0034 USD; budget: 0.5 USD." in done.err
    assert "0.0123 USD" in done.out
