"""`bitproof cost`: what a model in some precision costs on some device, and against an API.

Every figure says what it rests on: "measured" (a run of `bitproof bench`, or given by the user), "roofline" (an upper
bound of speed, so a lower bound of cost), "list price" (of the catalogue, with its date), "unverified" (one of which
the catalogue says that not all was found at its source), "computed" (from the shape),
"files" (from headers), "given" (an option). A figure of several carries them all.

Formulas. Time of a request on the device: prefill + answer tokens x step / batch, the rest of the batch paying its
share of the step. Dollars: that time x price per hour. Energy: that time x TDP x PUE, an upper bound for the device
that leaves its host out. Own hardware: price / years / (8,760 h x utilisation) for an hour of use, and electricity.
Break-even with an API: the monthly volume at which what is paid per month anyway, spread over the requests, equals
what each of them saves; above what the device can serve there is none. A provider's margin: 1 - cost / price, at the
rent of the catalogue and a utilisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bitproof.errors import UsageError
from bitproof.evaluate.cost_catalogue import Accelerator, Api, Catalogue, Electricity, Purchase, Rent, find
from bitproof.evaluate.cost_compare import break_even, margin
from bitproof.evaluate.cost_results import CostReport, Figure, Terms
from bitproof.evaluate.cost_row import cost_row
from bitproof.evaluate.cost_rung import read_rung
from bitproof.types import NotMeasured

__all__ = ["costs"]


def costs(
    models: Sequence[str],
    devices: Sequence[str],
    catalogue: Catalogue,
    terms: Terms,
    *,
    kv: str | None = None,
    measured: Mapping[str, Figure] | None = None,
    apis: Sequence[str] = (),
    claimed: str | None = None,
    detected: str | None = None,
) -> CostReport:
    """Every model on every device; `measured` gives answer tokens/s by the model's name, in place of the roofline.

    Each of `apis` is compared with every row, and with `detected` its margin is worked out. Raises UsageError for a
    name that is not known.
    """
    rungs = [read_rung(model, catalogue, kv=kv) for model in models]
    machines = [find(catalogue.accelerators, name, "accelerator") for name in devices]
    prices = [find(catalogue.apis, name, "API") for name in apis]
    _require_known(measured or {}, [rung.name for rung in rungs])
    rows, refused, compared, margins = [], {}, [], []
    for rung in rungs:
        for device in machines:
            row = cost_row(rung, device, terms, catalogue, measured=(measured or {}).get(rung.name))
            if isinstance(row, NotMeasured):
                refused[f"{rung.name} on {device.name}"] = row.reason
                continue
            rows.append(row)
            compared += [pair for api in prices for pair in break_even(row, device, api, terms, catalogue)]
    if detected:
        margins = [
            margin(api, device, claimed or api.claimed or "bf16", detected, terms, catalogue)
            for api in prices
            for device in machines
        ]
    return CostReport(
        rows=tuple(rows),
        break_even=tuple(compared),
        margins=tuple(margins),
        terms=terms,
        sources=_sources(machines, prices, catalogue, terms),
        refused=refused,
    )


def _require_known(measured: Mapping[str, Figure], names: Sequence[str]) -> None:
    if measured and not set(measured) & set(names):
        raise UsageError(
            f"holds no speed of {', '.join(names)}",
            where="the measurements",
            remedy=f"It measured {', '.join(measured)}: name a model as it was named there.",
        )


def _sources(devices: Sequence[Accelerator], apis: Sequence[Api], catalogue: Catalogue, terms: Terms) -> dict[str, str]:
    found = {}
    for device in devices:
        found[device.name] = device.source + _unverified(device.unverified)
        if device.rent:
            found[f"{device.name}, rent"] = f"{device.rent.usd_per_hour:g} USD/h, {_seen(device.rent)}"
        if device.purchase and terms.price_usd is None:
            found[f"{device.name}, price"] = f"{device.purchase.usd:,.0f} USD, {_seen(device.purchase)}"
    for api in apis:
        found[api.name] = f"{api.input_usd:g} in, {api.output_usd:g} out, USD a million tokens, {_seen(api)}"
    if catalogue.electricity and terms.electricity_usd is None:
        power = catalogue.electricity
        found["electricity"] = f"{power.usd_per_kwh:g} USD/kWh, {_seen(power)}"
    return found


def _seen(price: Rent | Purchase | Electricity | Api) -> str:
    return f"{price.source}, {price.date}{_unverified(price.unverified)}"


def _unverified(what: str) -> str:
    return f"; NOT VERIFIED: {what}" if what else ""
