"""How `bitproof demo` ends: with three providers, or with the reason why not."""

import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bitproof.audit.results import AuditReport
from bitproof.audit.reveal import PROVIDERS, Served
from bitproof.errors import EnvironmentFailed

Run = Callable[..., Any]


def verdict(outcome: Any, closest: str) -> AuditReport:
    """A report with nothing else in it."""
    fields: dict[str, Any] = {
        **dict.fromkeys(("excluded", "equals", "names", "residuals", "looks"), ()),
        **{field: {} for field in ("probability", "fit", "expected", "scale")},
        **dict.fromkeys(("n_probes", "n_places", "answer_tokens", "prompt_tokens", "top_logprobs", "seed"), 7),
        **dict.fromkeys(("endpoint", "profile_digest", "sampler", "reference", "model"), ""),
    }
    return AuditReport(
        outcome=outcome, closest=(closest,), words="Said.", test="text", meter=None, alpha=0.01, **fields
    )


@pytest.fixture
def staged(api: Any, fake: Callable[[str, Any], None]) -> dict[str, Any]:
    """The demo's fake API with servers that are none, all found to be Q4_0; what they did stands here."""
    done: dict[str, Any] = {"ended": False, "error": None}

    @contextmanager
    def serving(drawn: Any, folder: Path, *, progress: Any) -> Any:
        done["drawn"] = drawn
        try:
            yield [Served(name=name, url=f"http://127.0.0.1:1/{name}", model="m") for name in PROVIDERS]
        finally:
            done["ended"] = True

    def name_all(served: Any, profile: Any, plan: Any, *, progress: Any) -> Any:
        done["seed"] = plan.seed
        if done["error"] is not None:
            raise done["error"]
        return [(verdict("inconsistent", "gguf-q4_0-rtn"), 0.5) for _ in served]

    fake("bitproof.audit.reveal.left_out", lambda reference: None)
    fake("bitproof.audit.reveal.serving", serving)
    fake("bitproof.audit.reveal.name_all", name_all)
    fake("bitproof.audit.profile.find_profile", lambda file, reference: None)
    return done


def test_the_demo_ends_with_the_reveal(bitproof: Run, staged: dict[str, Any], tmp_path: Path):
    done = bitproof("demo", "w8a16", "--seed", "3")
    assert done.code == 0, done.err
    seal = staged["drawn"].seal
    assert done.err.index(seal) < done.err.index("4/4 providers ...")  # given out before the first question
    assert staged["drawn"].nonce not in done.err
    assert done.out.index("In words.") < done.out.index("Revealed: ") < done.out.index(staged["drawn"].nonce)
    assert staged["seed"] == 3
    assert staged["ended"]
    assert seal in (tmp_path / "demo" / "report.html").read_text()
    assert sorted(file.name for file in (tmp_path / "demo" / "providers").iterdir()) == ["A.html", "B.html", "C.html"]


def test_it_is_json_too_and_shown_again(bitproof: Run, staged: dict[str, Any]):
    first = bitproof("demo", "w8a16", "--format", "json", "--reveal-seed", "4")
    found = json.loads(first.out)
    assert list(found) == ["ladder", "evaluation", "reveal"]
    assert found["reveal"]["seed"] == 4
    assert [one["name"] for one in found["reveal"]["providers"]] == ["A", "B", "C"]
    again = bitproof("report", "demo", "--format", "json")
    assert json.loads(again.out) == found
    assert "Revealed: " in bitproof("report", "demo").out


def test_a_seed_of_the_run_does_not_draw(bitproof: Run, staged: dict[str, Any]):
    drawn = set()
    for _ in range(12):
        bitproof("demo", "w8a16", "--seed", "0")
        drawn.add(staged["drawn"].behind)
    assert len(drawn) > 1  # one in 120 ** 11


def test_a_demo_without_providers_says_why_in_a_line(bitproof: Run, api: Any, tmp_path: Path):
    done = bitproof("demo", "w8a16", "--format", "json")
    assert done.code == 0
    reason = "left out: the profile that comes with bitproof is that of smollm2-135m"
    assert f"4/4 providers: {reason}.\n" in done.err
    assert json.loads(done.out)["reveal"] == {"not_measured": reason}
    assert reason in (tmp_path / "demo" / "report.html").read_text()


def test_what_was_evaluated_is_kept_where_the_providers_fail(bitproof: Run, staged: dict[str, Any], tmp_path: Path):
    assert bitproof("demo", "w8a16").code == 0
    staged["error"] = EnvironmentFailed("no room", where="demo")
    done = bitproof("demo", "w8a16")
    assert done.code == 12
    assert "demo: no room" in done.err
    assert staged["ended"]
    assert "In words." in (tmp_path / "demo" / "report.html").read_text()
    assert not (tmp_path / "demo" / "reveal.json").exists()  # that of the first run
