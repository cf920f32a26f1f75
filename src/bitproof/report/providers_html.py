"""Providers side by side as one self-contained page: no request, nothing that runs, one row an endpoint."""

from __future__ import annotations

from bitproof.audit.provider_results import ProvidersReport
from bitproof.report.page import environment
from bitproof.report.providers_words import NOT_WHY, details, headline, notes, provider_row
from bitproof.report.safe import one_line

__all__ = ["render"]

ANSWERS = 12  # of each audit that are shown; all are in the data
LONGEST = 300  # characters of an answer


def render(report: ProvidersReport, *, version: str) -> str:
    """The page as text; `version` is bitproof's own. Everything that comes from outside is escaped."""
    return (
        environment()
        .get_template("providers.html")
        .render(
            report=report,
            headline=headline(report),
            rows=[(provider_row(one), one) for one in report.providers],
            details=[(one, details(one)[1 if one.audit else 0 :], _answers(one)) for one in report.providers],
            notes=notes(report),
            not_why=NOT_WHY if report.reference else "",
            version=version,
        )
    )


def _answers(found: object) -> list[tuple[str, str, str]]:
    """Questions, the endpoint's answers and the reference's own, of the first probes."""
    audit = getattr(found, "audit", None)
    if audit is None:
        return []
    return [
        (one_line(one.question, LONGEST), one_line(one.error or one.text, LONGEST), one_line(one.reference, LONGEST))
        for one in audit.answers[:ANSWERS]
    ]
