"""What an endpoint costs, what its quality costs, and what its seller keeps at the precision claimed and measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date

from bitproof.audit.provider_claims import Precision
from bitproof.audit.provider_disclosed import Disclosure
from bitproof.audit.provider_results import Money, Share
from bitproof.audit.results import AuditReport
from bitproof.audit.standing import MIXED, NOISE
from bitproof.errors import BitproofError
from bitproof.evaluate.cost_catalogue import Accelerator, Api, Catalogue
from bitproof.evaluate.cost_compare import margin
from bitproof.evaluate.cost_results import Terms, Value
from bitproof.types import NotMeasured

__all__ = ["Costing", "money_of"]

# The cheapest form to serve that each label can mean, so that a margin at a claim is not overstated by the measured.
VARIANTS: dict[Precision, str] = {
    "int4": "w4a16",
    "int8": "w8a8",
    "fp4": "nvfp4",
    "fp8": "fp8",
    "fp16": "bf16",
    "bf16": "bf16",
}


@dataclass(frozen=True, kw_only=True)
class Costing:
    """What margins are worked out with: the model's name in the catalogue (empty: none), a device, and the terms."""

    shape: str
    device: Accelerator
    catalogue: Catalogue
    terms: Terms


def money_of(
    name: str,
    price: tuple[float, float] | None,
    source: str,
    costing: Costing,
    disclosure: Disclosure,
    report: AuditReport | None,
    retained: Share,
) -> Money:
    """Prices and margins of one endpoint."""
    terms = costing.terms
    claimed, measured = VARIANTS.get(disclosure.disclosed, ""), _measured(report)
    per_thousand: float | NotMeasured = NotMeasured("no price was given, and none is listed")
    if price is not None:
        per_thousand = (price[0] * terms.prompt_tokens + price[1] * terms.answer_tokens) / 1000
    no_claim = "undisclosed" if disclosure.disclosed == "unknown" else f"{disclosure.disclosed} cannot be costed"
    return Money(
        usd_per_million=NotMeasured("no price was given, and none is listed") if price is None else price,
        source=source,
        per_thousand=per_thousand,
        per_retained=_per_retained(per_thousand, retained),
        claimed=claimed,
        measured=measured,
        margin_claimed=_margin(name, price, claimed, costing, no_claim),
        margin_measured=_margin(name, price, measured, costing, "no precision was measured"),
    )


def _measured(report: AuditReport | None) -> str:
    """The variant that was found; empty where none was."""
    if report is None or report.outcome == "inconclusive":
        return ""
    if report.outcome == "consistent":
        return "bf16"
    named = [name for name in report.closest[:1] if name not in (MIXED, NOISE)]
    return named[0] if named else ""


def _per_retained(usd: float | NotMeasured, retained: Share) -> Share:
    """Dollars over a share, with the interval turned over."""
    if isinstance(usd, NotMeasured):
        return usd
    if isinstance(retained, NotMeasured):
        return retained
    if retained.value <= 0:
        return NotMeasured("nothing of the reference's quality is retained")
    high = usd / retained.low if retained.low > 0 else math.nan if math.isnan(retained.low) else math.inf
    return replace(retained, value=usd / retained.value, low=usd / retained.high, high=high)


def _margin(name: str, price: tuple[float, float] | None, variant: str, costing: Costing, otherwise: str) -> Value:
    if not variant:
        return NotMeasured(otherwise)
    if price is None or price[1] <= 0:
        return NotMeasured("no price was given, and none is listed" if price is None else "its answers are free")
    if not costing.shape:
        return NotMeasured("the endpoints file names no `shape`")
    api = Api(
        name=name,
        model=costing.shape,
        provider=name,
        input_usd=price[0],
        output_usd=price[1],
        date=date.today().isoformat(),
        source="given",
    )
    try:
        found = margin(api, costing.device, variant, variant, costing.terms, costing.catalogue)
    except BitproofError as error:
        return NotMeasured(f"{variant} cannot be costed ({error.what.rstrip('.')})")
    return found.margin_claimed
