"""An audit as one self-contained page: no request, nothing that runs, light and dark, on screen and on paper.

The answers come from a server that may be hostile: they are escaped, made visible and cut where they are long.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from bitproof.audit.plan import DRAWN
from bitproof.audit.results import Answer, AuditReport
from bitproof.report import audit_charts as charts
from bitproof.report import audit_words as words
from bitproof.report.answers import Piece
from bitproof.report.evaluation_html import DATA_ID, EXTRACT
from bitproof.report.json_ import script_json
from bitproof.report.page import environment
from bitproof.report.safe import around, first_difference, one_line, visible

__all__ = ["embedded", "render"]

ROWS = 60  # answers in the table; the others are in the data
TOKENS = 12  # different first tokens of one question, where text is drawn over and over
BEFORE, AFTER = 120, 200  # characters of an answer about where it leaves the reference's
QUESTION, ERROR, TOKEN, SENTENCE, NAME = 240, 160, 40, 600, 120
KEPT = 10_000  # characters of an answer that are looked at, and that are in the data
CHARACTER = re.compile(r"⟨U\+[0-9A-F]{4,6}⟩|.")  # one as it is shown: those that cannot be seen are named
MARKS = {"consistent": "✓", "inconsistent": "✗", "inconclusive": "?"}
TONES = {"consistent": "pass", "inconsistent": "fail", "inconclusive": "inconclusive"}


def render(report: AuditReport, *, version: str) -> str:
    """The page as text; `version` is bitproof's own. Everything that comes from outside is escaped."""
    drawn = _by_question(report.answers) if report.test in DRAWN else []
    rows = [_drawn(group) for group in drawn[:ROWS]] or _compared(report.answers)
    return (
        environment()
        .get_template("audit.html")
        .render(
            report=report,
            model=one_line(report.model, NAME),
            verdict=one_line(report.words, SENTENCE),
            mark=MARKS[report.outcome],
            tone=TONES[report.outcome],
            test=words.TESTS.get(report.test, "No test could be made"),
            cost=words.cost(report),
            spending=words.spending(report),
            rates=report.how.get("rates", ""),
            how={what: text for what, text in report.how.items() if what != "rates"},
            meter_words=words.meter_words(report),
            apart=words.APART,
            models=words.model_rows(report),
            named=charts.closest_variant(report),
            findings=[one_line(text, SENTENCE) for text in report.findings],
            missing=[one_line(text, SENTENCE) for text in report.missing],
            causes=words.OTHER_CAUSES,
            profile=Markup(charts.residual_profile(report)),  # drawn here, as are the others; text escaped there
            meter=Markup(charts.meter(report)),
            posterior=Markup(charts.posterior(report)),
            rows=rows,
            n_rows=len(drawn) or len(report.answers),
            n_same=sum(map(_same, report.answers)),
            data=Markup(embedded(report)),  # escaped by embedded()
            data_id=DATA_ID,
            extract=EXTRACT,
            version=version,
        )
    )


def embedded(report: AuditReport) -> str:
    """The data for a script element, see `script_json`."""
    return script_json({"audit": replace(report, answers=tuple(map(_cut, report.answers)))})


def _cut(answer: Answer) -> Answer:
    left = len(answer.text) - KEPT
    text = f"{answer.text[:KEPT]}… {left:,} characters left out …" if left > 0 else answer.text
    return replace(answer, text=text, error=answer.error[:KEPT])


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """One question with the reference's answer and the endpoint's; `drawn` are first tokens and how often they came."""

    question: str
    reference: tuple[Piece, ...] = ()
    served: tuple[Piece, ...] = ()
    drawn: tuple[tuple[str, int], ...] = ()
    others: int = 0  # further first tokens
    error: str = ""
    n_read: int = 0


def _same(answer: Answer) -> bool:
    return not answer.error and answer.text == answer.reference


def _compared(answers: Sequence[Answer]) -> list[AnswerRow]:
    """One row an answer, those that leave the reference's first."""
    return [_row(answer) for answer in sorted(answers, key=_same)[:ROWS]]


def _row(answer: Answer) -> AnswerRow:
    place = None if answer.error else first_difference(_shown(answer.reference), _shown(answer.text))
    return AnswerRow(
        question=one_line(answer.question, QUESTION),
        reference=_pieces(answer.reference, place),
        served=() if answer.error else _pieces(answer.text, place),
        error=one_line(answer.error, ERROR),
        n_read=answer.n_read,
    )


def _by_question(answers: Sequence[Answer]) -> list[list[Answer]]:
    asked: dict[str, list[Answer]] = {}
    for answer in answers:
        asked.setdefault(answer.question, []).append(answer)
    return list(asked.values())


def _drawn(group: Sequence[Answer]) -> AnswerRow:
    """The first tokens that were drawn for one question, most frequent first."""
    found = Counter(_token(one.text) for one in group if not one.error).most_common()
    failed = [one.error for one in group if one.error]
    return AnswerRow(
        question=one_line(group[0].question, QUESTION),
        reference=_pieces(group[0].reference, None),
        drawn=tuple(found[:TOKENS]),
        others=len(found) - len(found[:TOKENS]),
        error=one_line(f"{len(failed)} times: {failed[0]}", ERROR) if failed else "",
        n_read=sum(one.n_read for one in group),
    )


def _pieces(said: str, place: int | None) -> tuple[Piece, ...]:
    """What was said around the first character that differs as it is shown, which is marked; None where none does."""
    text = _shown(said)
    if not text:
        return (Piece("gap" if place is None else "end", "nothing"),)
    start, end = around(text, place or 0, before=BEFORE, after=AFTER)
    found = [_gap(start)] if start else []
    if place is None:
        found.append(Piece("", text[start:end]))
    else:
        found.append(Piece("", text[start:place]))
        marked = CHARACTER.match(text, place)
        found.append(Piece("part", marked[0]) if marked else Piece("end", "ends here"))
        found.append(Piece("", text[marked.end() if marked else place : end]))
    if left := len(text) - end + max(0, len(said) - KEPT):
        found.append(_gap(left))
    return tuple(piece for piece in found if piece.text)


def _token(text: str) -> str:
    shown = _shown(text)
    return shown if len(shown) <= TOKEN else f"{shown[: TOKEN - 1]}…"


def _gap(n: int) -> Piece:
    return Piece("gap", f"… {n:,} characters left out …")


def _shown(text: str) -> str:
    """The beginning of `text`, on one line: what cannot be seen is named, what breaks lines or moves text is a sign."""
    return visible(text[:KEPT]).replace("\n", "↵").replace("\t", "⇥")
