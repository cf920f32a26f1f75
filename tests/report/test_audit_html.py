"""The page of an audit: what it says, what it draws, and that a hostile endpoint's words are only words."""

import json
import math
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import altair
import pytest

from bitproof.audit.results import Answer, AuditReport
from bitproof.audit.standing import MIXED, NOISE
from bitproof.report import audit_charts as charts
from bitproof.report.audit_html import KEPT, embedded, render
from bitproof.report.evaluation_html import EXTRACT

MakeAudit = Callable[..., AuditReport]
VOID = {"meta", "br", "wbr"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \x1b[31m \x00 \u202eevil \ud83d {{ 7*7 }}"


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.marks: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.handlers += [name] if name.startswith("on") else []
            self.links += [value or ""] if name in ("src", "href", "xlink:href") else []
            self.ids += [value or ""] if name == "id" else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.text += data
        if self.open and self.open[-1] == "mark":
            self.marks.append(data)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No drawings: they take most of the time."""
    for name in ("residual_profile", "meter", "posterior"):
        monkeypatch.setattr(charts, name, lambda report: "")


def page_of(report: AuditReport) -> Page:
    return Page(render(report, version="0.4.0"))


def words(report: AuditReport) -> str:
    return " ".join(page_of(report).text.split())


def cases(make: MakeAudit) -> dict[str, AuditReport]:
    """Audits of every kind."""
    no_logprobs = {"residuals": (), "expected": {}, "fit": {}, "looks": (), "top_logprobs": 0}
    empty = {"closest": (), "excluded": (), "probability": {}, "meter": None, "scale": {}, "n_places": 0}
    text = {**no_logprobs, "test": "text"}
    return {
        "named": make(),
        "consistent": make(outcome="consistent", closest=("reference",), excluded=("w8", "w4"), words="Consistent."),
        "none fits": make(closest=(), probability={"reference": 0.0, "w8": 0.0, "w4": 0.0, NOISE: 1.0}),
        "text": make(**text),
        "mixed": make(**text, closest=(MIXED,), probability={"reference": 0.1, "w4": 0.1, MIXED: 0.8}),
        "sampled": make(**{**no_logprobs, "test": "sampled"}, meter=None, scale={}, sampler="temperature 0.7"),
        "missing": make(
            **{**no_logprobs, **empty}, test="none", outcome="inconclusive", missing=("it fails: HTTP 500",)
        ),
        "before the first look": make(outcome="inconclusive", closest=(), excluded=(), probability={}, fit={}),
        "nothing asked": make(**{**no_logprobs, **empty}, outcome="inconclusive", answers=(), model="", endpoint=""),
        "no scale": make(scale={}),
        "identical": make(residuals=(-math.inf, 0.0, 0.0, 0.0)),
    }


def test_every_kind_of_audit_is_a_page_that_fetches_and_runs_nothing(make_audit: MakeAudit):
    for name, report in cases(make_audit).items():
        text = render(report, version="0.4.0")
        page = Page(text)
        assert (page.open, page.unbalanced, page.handlers) == ([], [], []), name
        assert page.tags.count("script") == 1, name
        assert not {"img", "link", "iframe", "object"} & set(page.tags), name
        assert {link[:1] for link in page.links} <= {"#"}, name
        assert {link[1:] for link in page.links} <= set(page.ids), name
        assert not re.search(r"url\((?!#)|@import", text), name
        assert "default-src 'none'" in text, name


def test_what_a_person_must_know_stands_above_everything(make_audit: MakeAudit):
    text = words(make_audit())
    first = text.index("Residual profile")
    for said in (
        "✗ Inconsistent with made/tiny: the closest is w4.",
        "effective bits 3.6 [1 or fewer to 7 or more]",
        "answer tokens 8",
        "prompt tokens 1,234",
        "USD not known",
        "Alpha 0.01",
        "split evenly over 3 looks after 3, 5, 10 tokens",
        "its logprobs are rounded to 2 decimals",
        "one class with it: w8",
        "No rate of false alarms on held-out engines comes with this profile.",
    ):
        assert said in text[:first], said
    for said in (
        "bitproof audit https://api.example/v1",
        "ab" * 32,
        "a hidden prompt",
        "7: the order of the questions",
    ):
        assert said in text[first:], said


@pytest.mark.usefixtures("undrawn")
def test_the_rate_of_false_alarms_is_what_the_report_says(make_audit: MakeAudit):
    rates = "0 of 2,000 audits of engine X were false alarms [0, 0.2 %]."
    text = words(make_audit(how={"rates": rates, "Asked on": "a day"}, cost_usd=0.00123))
    assert text.count(rates) == 1
    assert "No rate of false alarms" not in text
    assert "Asked on a day" in text
    assert "USD 0.00123" in text


def test_missing_and_kinds_are_said(make_audit: MakeAudit):
    kinds = ("missing", "sampled", "mixed", "none fits", "text", "named")
    found = {name: words(cases(make_audit)[name]) for name in kinds}
    assert "Missing for a verdict it fails: HTTP 500" in found["missing"]
    assert "No test could be made" in found["missing"]
    assert "decides nothing" in words(make_audit(missing=("it fails",), outcome="inconclusive", closest=()))
    assert "decides nothing" not in found["named"]
    assert "not measured: tokens were drawn at temperature 1" in found["sampled"]
    assert "Sampler, as found temperature 0.7" in found["sampled"]
    assert "More than one: some requests" in found["mixed"]
    assert "None of them: the reference with noise" in found["none fits"]
    assert "at whatever token one stops" in found["text"]
    assert "expected, if w4 is served" in found["named"]
    assert "expected, if w4" not in found["none fits"]


@pytest.mark.usefixtures("undrawn")
def test_answers_are_marked_where_they_part_and_those_come_first(make_audit: MakeAudit):
    page = page_of(make_audit())
    assert page.marks == ["R", "D"]
    assert page.text.index("River?") < page.text.index("Capital?")
    assert "In the same words: 1 of 2" in " ".join(page.text.split())
    ended = make_audit(answers=(Answer(question="?", text=" the", reference=" the Rhine", n_read=1),))
    assert page_of(ended).marks == [" ", "ends here"]
    nothing = make_audit(answers=(Answer(question="?", text="", reference=" the Rhine", n_read=0),))
    assert page_of(nothing).marks == [" ", "nothing"]
    hidden = make_audit(answers=(Answer(question="?", text="a\x1bb", reference="a\nb", n_read=0),))
    assert page_of(hidden).marks == ["↵", "⟨U+001B⟩"]


@pytest.mark.usefixtures("undrawn")
def test_drawn_tokens_are_counted_by_question(make_audit: MakeAudit):
    drawn = [Answer(question="River?", text=text, reference=" the", n_read=1) for text in (" a", " the", " a")]
    failed = Answer(question="River?", text="", reference=" the", n_read=0, error="HTTP 429")
    text = words(make_audit(test="sampled", residuals=(), expected={}, answers=(*drawn, failed)))
    assert text.count("River?") == 1
    assert "a ×2" in text
    assert "the ×1" in text
    assert "failed: 1 times: HTTP 429" in text


def test_hostile_words_are_only_words(make_audit: MakeAudit):
    texts = (HOSTILE, "A" * 1_000_000, "e" + "\u0301" * 5000, "\n" * 5000, "\t" * 5000, "\u200b" * 5000)
    answers = [Answer(question=HOSTILE, text=text, reference=" Ulm", n_read=1) for text in texts]
    answers.append(Answer(question="?", text="", reference="", n_read=0, error=HOSTILE * 1000))
    report = make_audit(
        answers=tuple(answers) * 10,
        words=HOSTILE * 1000,
        findings=(HOSTILE,) * 3,
        missing=(HOSTILE * 1000,),
        model=HOSTILE * 1000,
        command=HOSTILE,
        names=("reference", "w8", "w4", HOSTILE),
    )
    for one in (report, make_audit(test="sampled", answers=tuple(answers) * 3)):
        text = render(one, version="0.4.0")
        text.encode()
        page = Page(text)
        assert (page.open, page.unbalanced, page.handlers) == ([], [], [])
        assert page.tags.count("script") == 1
        assert "img" not in page.tags
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
        assert "{{ 7*7 }}" in page.text
        assert "⟨U+202E⟩" in page.text
        assert "…" in page.text
        assert len(page.text) < 250_000
        assert ("characters left out" in page.text) == (one is report)
    assert "999,680 characters left out" in words(report)
    assert "10 more in the data" in words(report)


@pytest.mark.usefixtures("undrawn")
def test_the_command_on_the_page_takes_the_data_out(make_audit: MakeAudit, tmp_path: Path):
    report = make_audit(answers=(Answer(question="?", text=HOSTILE + "A" * 2 * KEPT, reference="", n_read=0),))
    (tmp_path / "report.html").write_text(render(report, version="0.4.0"), encoding="utf-8")
    command = shlex.split(EXTRACT)
    out = subprocess.run([sys.executable, *command[1:4]], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(out.stdout)["audit"]
    assert found["answers"][0]["text"].startswith(HOSTILE)
    assert len(found["answers"][0]["text"]) < KEPT + 100
    assert found["expected"]["w4"] == pytest.approx(report.expected["w4"])
    assert not set("<>&") & set(embedded(report))


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Specifications are checked against Vega-Lite's schema."""
    original = altair.LayerChart.to_dict

    def checked(self: altair.LayerChart, validate: bool = True, **fields: object) -> object:
        return original(self, validate=True, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(altair.LayerChart, "to_dict", checked)


@pytest.mark.usefixtures("validated")
def test_drawings_hold_what_was_measured(make_audit: MakeAudit):
    made = make_audit()
    profile, meter, posterior = charts.residual_profile(made), charts.meter(made), charts.posterior(made)
    for name in made.names:
        assert f">{name}<" in profile
        assert f">{name}<" in posterior
    for label in (">3 bits<", ">4 bits<", ">5 bits<", ">6 bits<", ">8–7 bits<"):
        assert label in meter, label
    assert "97.0 %" in posterior
    assert posterior.count(" ruled out<") == 2
    for svg in (profile, meter, posterior):
        assert "NaN" not in svg
        assert '"#0' not in svg  # every colour is the page's


def test_dots_lie_on_the_line_of_the_model_that_is_served(make_audit: MakeAudit):
    svg = charts.residual_profile(make_audit(residuals=make_audit().expected["w4"]))
    paths = [dict(re.findall(r'([\w-]+)="([^"]*)"', path)) for path in re.findall("<path[^>]*transform[^>]*>", svg)]
    dots = [path["transform"] for path in paths if path.get("fill") == "var(--ink)"]
    rings = [path["transform"] for path in paths if path.get("stroke") == "var(--bad)"]
    assert len(dots) == 4
    assert sorted(dots) == sorted(rings)


def test_there_is_no_drawing_of_nothing(make_audit: MakeAudit):
    found = cases(make_audit)
    assert charts.residual_profile(found["text"]) == ""
    assert charts.meter(found["sampled"]) == ""
    assert charts.posterior(found["missing"]) == ""
    assert ">reference<" not in charts.residual_profile(found["identical"])  # no distance at all has no place
    assert " bits<" not in charts.meter(found["no scale"])


def test_names_that_look_alike_have_a_row_each(make_audit: MakeAudit):
    long = "w4a16-" + "x" * 40
    made = make_audit(names=("reference", "w8", f"{long}1", f"{long}2"), probability={f"{long}1": 0.5, f"{long}2": 0.5})
    for svg in (charts.residual_profile(made), charts.posterior(made)):
        assert "(2)<" in svg
