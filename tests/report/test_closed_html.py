"""The page of a comparison without a reference: everything said, nothing of the endpoint's runs or moves anything."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bitproof.audit.closed_results import UNKNOWABLE, Asked, Channel, ClosedReport
from bitproof.report.closed_html import embedded, render
from bitproof.report.evaluation_html import DATA_ID
from bitproof.stats.estimate import Estimate
from bitproof.types import NotMeasured

VOID = {"meta", "br", "wbr", "hr", "img"}
CHANNEL = Channel(
    name="logprobs",
    n_probes=40,
    own=Estimate(value=0.002, low=0.001, high=0.003, n=40, n_clusters=40),
    between=Estimate(value=0.124, low=0.1, high=0.15, n=40, n_clusters=40),
    p_value=0.0002,
    found=True,
    smallest=NotMeasured("something was found"),
    unit="nats on every logprob",
    sittings_p_value=0.7,
)
GREEDY = Asked(
    question="Where would you look for wool?",
    sampled=False,
    against=(("On a sheep", 3), ("On a lamb", 1)),
    answered=(("On a shelf", 1),),
)
SAMPLED = replace(GREEDY, sampled=True, answered=(("On a sheep", 5), ("Here", 2)))
REPORT = ClosedReport(
    endpoint="https://host/v1",
    model="m",
    against="m as recorded",
    recording_digest="0" * 64,
    sittings=("2026-01-02T03:04:05+00:00", "2026-01-03T03:04:05+00:00"),
    outcome="different",
    words="Different from m as recorded, in its logprobs.",
    channels=(CHANNEL, replace(CHANNEL, name="greedy", found=False, p_value=0.2)),
    n_requests=50,
    answer_tokens=1234,
    prompt_tokens=900,
    alpha=0.01,
    least_nats=0.01,
    seed=7,
    answers=(GREEDY, SAMPLED),
    cost_usd=0.0123,
    command="bitproof audit https://host/v1 --against m.recording",
)


class Checker(HTMLParser):
    """Fails where tags do not match; collects them, and the text that is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


def read(report: ClosedReport) -> Checker:
    checker = Checker()
    checker.feed(render(report, version="1"))
    assert checker.open == []
    checker.text = " ".join(checker.text.split())
    return checker


def test_everything_is_said():
    text = read(REPORT).text
    for words in (
        "Does m answer as it did?",
        "✗ Different from m as recorded, in its logprobs.",
        "0.124 [0.100, 0.150]".replace(" ", ""),
        "undecided",
        "0.0123",
        "1,234",
        "2 sittings, 2026-01-02T03:04:05+00:00 to 2026-01-03",
        REPORT.command,
        *UNKNOWABLE,
    ):
        assert words in text or words in text.replace(" ", ""), words


def test_an_answer_is_marked_from_where_it_leaves_all_others():
    page = render(REPORT, version="1")
    assert "On a she<mark>lf</mark>" in page
    assert "<bdi>On a sheep</bdi>" in page
    assert "<bdi><mark>Here</mark></bdi>" in page
    assert "In the same words: 0 of 1" in read(REPORT).text


def test_where_nothing_differs_what_would_have_been_found_is_said():
    fine = tuple(replace(channel, found=False, smallest=0.012) for channel in REPORT.channels)
    text = read(replace(REPORT, outcome="consistent", channels=fine)).text
    assert "Logprobs: 0.012 nats on every logprob would have been found in 95 of 100 comparisons" in text
    assert "no difference" in text


def test_two_endpoints_and_nothing_compared():
    bare = replace(
        REPORT,
        sittings=(),
        recording_digest="",
        outcome="inconclusive",
        channels=tuple(replace(channel, n_probes=0) for channel in REPORT.channels),
        answers=(),
        missing=("the endpoint fails",),
    )
    text = read(bare).text
    assert "as another does?" in text
    assert "Missing for a verdict the endpoint fails" in text
    assert "Evidence" not in text


@pytest.mark.parametrize("words", ["<script>alert(1)</script>", "</script><b>", "\x1b[31m", "a\u202eb", "x" * 100_000])
def test_words_of_an_endpoint_stay_words(words: str):
    asked = replace(GREEDY, against=((words, 1),), answered=((f"{words}!", 1),))
    report = replace(
        REPORT, model=words, words=words, findings=(words,), missing=(words,), answers=(asked,), endpoint=words
    )
    page = render(report, version="1")
    assert len(page) < 10 * 100_000
    assert [tag for tag, _ in read(report).tags].count("script") == 1
    assert not {"\x1b", "\u202e"} & set(page)
    assert re.search(r'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'', page)
    assert not any("src" in attributes or "onclick" in attributes for _, attributes in read(report).tags)


def test_the_data_can_be_taken_out():
    page = render(replace(REPORT, model="</script>"), version="1")
    [data] = re.findall(rf'id="{DATA_ID}">([^<]*)<', page)
    assert json.loads(data)["audit"]["model"] == "</script>"
    assert json.loads(embedded(REPORT))["audit"]["answers"][0]["answered"] == [["On a shelf", 1]]
