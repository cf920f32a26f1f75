"""Providers side by side as one self-contained page: no request, nothing that runs, one row an endpoint."""

from __future__ import annotations

from collections.abc import Mapping

from bitproof.audit.provider_results import ProvidersReport
from bitproof.report.page import environment
from bitproof.report.providers_words import NOT_WHY, details, headline, notes, provider_row

__all__ = ["render"]


def render(report: ProvidersReport, *, version: str, audits: Mapping[str, str] | None = None) -> str:
    """The page as text; `version` is bitproof's own, `audits` the addresses of whole audits by the endpoint's name.

    Everything that comes from outside is escaped.
    """
    return (
        environment()
        .get_template("providers.html")
        .render(
            report=report,
            headline=headline(report),
            rows=[provider_row(one) for one in report.providers],
            details=[(one, details(one), (audits or {}).get(one.name, "")) for one in report.providers],
            notes=notes(report),
            not_why=NOT_WHY if report.reference else "",
            version=version,
        )
    )
