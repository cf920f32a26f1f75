"""Summaries: a short report with keyed facts, to be told in few words without losing or inventing a figure.

Thirteen events in four kinds of text. Level is the number of facts; between them stand sentences that say nothing. The
length allowed leaves room for all facts but not for the report.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from random import Random

from bitproof.evaluate.suite.grounded_facts import Kind, Value, draw_value
from bitproof.evaluate.suite.slice import Slice
from bitproof.types import Item, Message

__all__ = ["FRAMES", "SLICE", "events", "make"]

# Kinds of text: an opening, two facts of its own, sentences that say nothing.
FRAMES: dict[str, tuple[str, tuple[Kind, Kind], tuple[str, ...]]] = {
    "news": (
        "From our correspondent.",
        (
            Kind("name", "The news was confirmed by the spokesperson {v}", ""),
            Kind("date", "This was reported on {v}", ""),
        ),
        (
            "People in the streets had long been talking about little else.",
            "Many had followed what happened with great interest.",
            "Some had expected it, others were taken by surprise.",
            "It will be a topic of conversation for a while.",
        ),
    ),
    "memo": (
        "Memo to all departments. Please read before the next meeting.",
        (Kind("name", "Questions go to {v}", ""), Kind("clock", "The next meeting begins at {v}", "")),
        (
            "As always, we thank everyone for their patience.",
            "We are aware that not everybody will be affected.",
            "Please do not pass on rumours before then.",
            "We will keep you informed in the usual way.",
        ),
    ),
    "letter": (
        "Dear friends, you asked me to tell you what is new here.",
        (Kind("city", "I heard it from a cousin in {v}", ""), Kind("few", "I will visit you in {v} weeks", "")),
        (
            "You can imagine how excited the whole family was.",
            "The weather, by the way, has been lovely since.",
            "I still find it hard to believe.",
            "My neighbour says she knew it all along.",
        ),
    ),
    "minutes": (
        "Minutes of the committee. The first item was a report on recent events.",
        (Kind("name", "The report was given by {v}", ""), Kind("some", "It was approved with {v} votes", "")),
        (
            "The chair thanked the speaker for the clear account.",
            "There was a short discussion without a vote.",
            "Nobody raised an objection to this point.",
            "The committee took note of it.",
        ),
    ),
}


@cache
def events() -> dict[str, tuple[str, tuple[Kind, ...]]]:
    """Event -> its lead sentence and the facts that can be reported of it."""
    tables = tomllib.loads((files("bitproof") / "data" / "reports.toml").read_text("utf-8"))
    return {
        name: (table["lead"], tuple(Kind(value, statement, "") for value, statement in table["facts"]))
        for name, table in tables.items()
    }


def make(random: Random, cluster: str, level: float) -> Item:
    """A report with `level` facts, to be summarized in 12 words and 6 a fact."""
    event, frame = cluster.split("/")
    opening, own, idle = FRAMES[frame]
    lead, kinds = events()[event]
    chosen = _facts(random, kinds, own, int(level))
    values: list[Value] = []
    others: list[Value] = []
    for drawn in (values, others):
        for kind in chosen:
            drawn.append(draw_value(random, kind, [*values, *others]))
    sentences = [kind.statement.format(v=value.shown) + "." for kind, value in zip(chosen, values, strict=True)]
    for sentence in random.sample(idle, min(len(idle), 1 + int(level) // 2)):
        sentences.insert(random.randint(0, len(sentences)), sentence)
    report = " ".join([opening, lead, *sentences])
    words = 12 + 6 * int(level)
    return Item(
        id="",
        slices=(),
        cluster=cluster,
        messages=(
            Message(
                role="user",
                content=f"Summarize this text in one or two sentences, in at most {words} words. Keep every number, "
                f"date and name that it gives.\n\n{report}",
            ),
        ),
        grader="keyed_facts",
        gold={"facts": [list(value.words) for value in values], "text": report, "words": words},
        right=_summary(lead, values),
        wrong=_summary(lead, others),
        max_tokens=40 + 2 * words,
    )


def _facts(random: Random, kinds: tuple[Kind, ...], own: tuple[Kind, Kind], n: int) -> list[Kind]:
    """`n` facts: of the event in order, then of the text."""
    of_event = random.sample(range(len(kinds)), min(n, len(kinds)))
    return [*(kinds[number] for number in sorted(of_event)), *own[: n - len(of_event)]]


def _summary(lead: str, values: list[Value]) -> str:
    return f"{lead} Key facts: {', '.join(value.shown for value in values)}."


SLICE = Slice(
    name="summarization",
    title="Summaries with keyed facts",
    what="Tell a report in few words with every number, date and name of it, and none that it does not give.",
    clusters=tuple(f"{event}/{frame}" for frame in FRAMES for event in events()),
    levels=(2.0, 4.0, 6.0, 8.0),
    unit="facts",
    make=make,
    context_tokens=lambda facts: 180 + 32 * facts,
)
