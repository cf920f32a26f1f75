"""The demo's reveal on a terminal and on a page."""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from bitproof.audit.results import AuditReport
from bitproof.audit.reveal_results import REVEAL, Finding, Provider, Reveal, read_reveal
from bitproof.errors import UsageError
from bitproof.evaluate.plain import to_plain
from bitproof.evaluate.results import Evaluation
from bitproof.report.evaluation_html import render
from bitproof.report.forms import Finished, read_finished, write_form
from bitproof.report.reveal_terminal import reveal_parts
from bitproof.report.reveal_words import check, headline, revealed
from bitproof.types import NotMeasured

MakeAudit = Callable[..., AuditReport]
MakeEvaluation = Callable[..., Evaluation]
OPENING = "a2f67362e70ef632f4dd9f74f3b4cfb4\nA=fp8a16-rtn-channel\nB=gguf-q8_0-rtn\nC=reference\n"


@pytest.fixture
def made(make_audit: MakeAudit) -> Reveal:
    """A variant that was named, an equal of the reference, and the reference."""

    def provider(name: str, audit: AuditReport, behind: str, stored_as: str, finding: Finding) -> Provider:
        url = f"http://127.0.0.1:1/{name}"
        return Provider(
            name=name, url=url, audit=audit, seconds=1.25, behind=behind, stored_as=stored_as, finding=finding
        )

    named = make_audit(closest=("fp8a16-rtn-channel",))
    alike = make_audit(
        outcome="consistent", closest=("w8a16-rtn-g64", "gguf-q8_0-rtn", "reference"), equals=("gguf-q8_0-rtn",)
    )
    return Reveal(
        model="smollm2-135m",
        providers=(
            provider("A", named, "fp8a16-rtn-channel", "BF16", "named"),
            provider("B", alike, "gguf-q8_0-rtn", "Q8_0", "equal"),
            provider("C", make_audit(outcome="consistent", closest=("reference",)), "reference", "BF16", "named"),
        ),
        pool=("reference", "gguf-q8_0-rtn", "w4a16-rtn-g64", "gguf-q4_0-rtn"),
        seal=hashlib.sha256(OPENING.encode()).hexdigest(),
        opening=OPENING,
        seed=None,
    )


@pytest.mark.parametrize("width", [80, 160])
def test_verdicts_stand_before_what_was_served(made: Reveal, width: int):
    stream = io.StringIO()
    target = Console(file=stream, width=width, highlight=False)
    for part in reveal_parts(made, width=width):
        target.print(part, markup=False)
    lines = stream.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    text = " ".join(" ".join(lines).split())
    assert "fp8a16-rtn-channel" in text[: text.index("Revealed")].split("drawn at random")[1]  # on one line
    verdict, told = text.index("inconsistent"), text.index("Revealed: 3 of 3 verdicts are right, 1 of them as an equal")
    assert verdict < told < text.index("A was fp8a16-rtn-channel, its rounded weights in BF16: named.")
    assert "B was gguf-q8_0-rtn, in Q8_0: consistent is right, and all that can be said" in text
    assert "C was the reference, in BF16: consistent is right." in text
    assert "1 or fewer" in text
    assert made.seal in text


def test_the_printed_line_makes_the_seal_again(made: Reveal):
    printed = subprocess.run(["sh", "-c", check(made)], capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == made.seal


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        ("missed", "missed."),
        ("unnamed", "and not named"),
        ("undecided", "did not decide"),
        ("among", "one of the 1 that were named"),
    ],
)
def test_what_was_not_named_is_not_called_right(made: Reveal, finding: Finding, said: str):
    one = replace(made.providers[0], finding=finding)
    assert said in revealed(one)
    assert headline(replace(made, providers=(one, *made.providers[1:]))).startswith("2 of 3 verdicts are right")


def test_the_page_holds_them(made: Reveal, make_evaluation: MakeEvaluation):
    evaluation = make_evaluation()
    page = render(evaluation, ladder=None, version="1", reveal=made)
    assert 'href="#providers"' in page
    assert "3 of 3 verdicts are right" in page
    assert made.seal in page
    assert "Three providers, audited" not in render(evaluation, ladder=None, version="1")
    left_out = render(evaluation, ladder=None, version="1", reveal=NotMeasured("left out: no <llama>"))
    assert "Three providers, audited" not in left_out
    assert "left out: no &lt;llama&gt;" in left_out


def test_what_an_endpoint_says_is_escaped(made: Reveal, make_evaluation: MakeEvaluation):
    hostile = replace(made.providers[0].audit, closest=("<b>w4</b>",), model="<script>")
    found = replace(made, providers=(replace(made.providers[0], audit=hostile), *made.providers[1:]))
    page = render(make_evaluation(), ladder=None, version="1", reveal=found)
    assert "<b>w4" not in page
    assert "<script>" not in page


def test_a_folder_gives_the_same_reveal_back(made: Reveal, make_evaluation: MakeEvaluation, tmp_path: Path):
    run = Finished(
        evaluation=make_evaluation(), ladder=None, folder=tmp_path, when=datetime(2026, 1, 2, tzinfo=UTC), reveal=made
    )
    write_form("json", run, tmp_path, version="1")
    assert (tmp_path / REVEAL).is_file()
    assert read_finished(tmp_path).reveal == made


def test_a_scale_of_no_bits_is_a_damaged_record(made: Reveal):
    plain = to_plain(made)
    plain["providers"][0]["audit"]["scale"] = {"three": 0.5}
    with pytest.raises(UsageError, match="whole numbers"):
        read_reveal(plain, where="reveal.json")
