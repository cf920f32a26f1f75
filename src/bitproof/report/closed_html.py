"""A comparison without a reference as one self-contained page: no request, nothing that runs, light and dark.

The answers come from servers that may be hostile: they are escaped, made visible and cut where they are long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from bitproof.audit.closed_results import WHAT, Asked, ClosedReport
from bitproof.report import closed_words as words
from bitproof.report.evaluation_html import DATA_ID, EXTRACT
from bitproof.report.json_ import script_json
from bitproof.report.page import environment
from bitproof.report.safe import first_difference, one_line, visible

__all__ = ["embedded", "render"]

ROWS, TEXTS = 60, 8  # questions in a table, and different answers to one: the others are in the data
QUESTION, TEXT, SENTENCE, NAME = 240, 300, 1000, 120  # characters shown
KEPT = 1_000  # characters of an answer in the data
MARKS = {"consistent": "✓", "different": "✗", "inconclusive": "?"}
TONES = {"consistent": "pass", "different": "fail", "inconclusive": "inconclusive"}

Shown = tuple[str, str, int]  # as far as it is like the other side's, from there on, and how often it came


@dataclass(frozen=True, kw_only=True)
class AskedRow:
    """One question and the answers of both sides; `others` are further ones, of each side."""

    question: str
    against: tuple[Shown, ...]
    answered: tuple[Shown, ...]
    others: tuple[int, int]


def render(report: ClosedReport, *, version: str) -> str:
    """The page as text; `version` is bitproof's own. Everything that comes from outside is escaped."""
    greedy, sampled = (sorted((one for one in report.answers if one.sampled == kind), key=_alike) for kind in (0, 1))
    return (
        environment()
        .get_template("closed.html")
        .render(
            report=report,
            model=one_line(report.model, NAME),
            against=one_line(report.against, NAME),
            verdict=one_line(report.words, SENTENCE),
            mark=MARKS[report.outcome],
            tone=TONES[report.outcome],
            cost=words.cost(report),
            rows=words.channel_rows(report) if any(one.n_probes for one in report.channels) else [],
            units=words.units_words(report),
            smallest=words.smallest_words(report),
            error_rate=words.error_rate(report),
            sittings=words.sittings_words(report),
            kinds=[WHAT[one.name] for one in report.channels],
            findings=[one_line(text, SENTENCE) for text in report.findings],
            missing=[one_line(text, SENTENCE) for text in report.missing],
            greedy=[_row(one) for one in greedy[:ROWS]],
            sampled=[_row(one) for one in sampled[:ROWS]],
            n_greedy=len(greedy),
            n_sampled=len(sampled),
            n_alike=sum(map(_alike, greedy)),
            data=Markup(embedded(report)),  # escaped by embedded()
            data_id=DATA_ID,
            extract=EXTRACT,
            version=version,
        )
    )


def embedded(report: ClosedReport) -> str:
    """The data for a script element, see `script_json`."""
    return script_json({"audit": replace(report, answers=tuple(map(_cut, report.answers)))})


def _cut(asked: Asked) -> Asked:
    def cut(side: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
        return tuple((text if len(text) <= KEPT else f"{text[:KEPT]}…", n) for text, n in side)

    return replace(asked, against=cut(asked.against), answered=cut(asked.answered))


def _alike(asked: Asked) -> bool:
    return {text for text, _ in asked.answered} <= {text for text, _ in asked.against}


def _row(asked: Asked) -> AskedRow:
    sides = [[(_shown(text), n) for text, n in side] for side in (asked.against, asked.answered)]
    return AskedRow(
        question=one_line(asked.question, QUESTION),
        against=tuple((text, "", n) for text, n in sides[0][:TEXTS]),
        answered=tuple(_parted(text, n, [other for other, _ in sides[0]]) for text, n in sides[1][:TEXTS]),
        others=(max(0, len(sides[0]) - TEXTS), max(0, len(sides[1]) - TEXTS)),
    )


def _parted(text: str, n: int, others: Sequence[str]) -> Shown:
    """Where a text leaves the one of the other side that it follows longest."""
    places = [first_difference(text, other) for other in others]
    if None in places:
        return text, "", n
    place = max((place for place in places if place is not None), default=0)
    return text[:place], text[place:] or "(ends here)", n


def _shown(text: str) -> str:
    """The beginning of `text`, on one line: what cannot be seen is named, what breaks lines or moves text is a sign."""
    shown = visible(text[: TEXT + 1]).replace("\n", "↵").replace("\t", "⇥")
    return (shown if len(shown) <= TEXT else f"{shown[: TEXT - 1]}…") or "(nothing)"
