"""Devices against an API, and what a provider keeps of its price."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from bitproof.evaluate.cost_catalogue import Accelerator, Api, Catalogue
from bitproof.evaluate.cost_money import HOURS_A_MONTH, api_usd, electricity, joined, kwh, monthly, rent, times
from bitproof.evaluate.cost_results import BreakEven, CostRow, Figure, Margin, Terms, Value
from bitproof.evaluate.cost_row import cost_row
from bitproof.evaluate.cost_rung import read_rung
from bitproof.types import NotMeasured

__all__ = ["break_even", "margin"]


def break_even(row: CostRow, device: Accelerator, api: Api, terms: Terms, catalogue: Catalogue) -> list[BreakEven]:
    """Owned and rented devices of a row against an API, in requests of the terms' lengths."""
    price = Figure(api_usd(api, terms), (api.basis,))
    busy_s, n = row.request_s.value, row.n_devices
    tokens = (terms.prompt_tokens + terms.answer_tokens) / 1e6
    power_usd = kwh(device, n, terms, busy_s) * electricity(catalogue, terms)
    found = []
    ways: tuple[Literal["owned", "rented"], ...] = ("owned", "rented")
    for how in ways:
        hours, variable = (HOURS_A_MONTH * terms.utilisation, power_usd) if how == "owned" else (HOURS_A_MONTH, 0.0)
        fixed = monthly(device, n, terms) if how == "owned" else times(rent(device, n), HOURS_A_MONTH, ())
        capacity = hours * 3600 / busy_s
        volume: Value
        if isinstance(fixed, NotMeasured):
            volume = fixed
        elif price.value <= variable:
            volume = NotMeasured(f"never: electricity alone costs more than the API ({api.name})")
        else:
            requests = fixed.value / (price.value - variable)
            basis = joined(row.request_s.basis if how == "owned" else (), fixed.basis, price.basis)
            volume = Figure(requests * tokens, basis)
            if requests > capacity:
                volume = NotMeasured(
                    f"never: it would take {volume.value:,.0f} million tokens a month, and this serves at most "
                    f"{capacity * tokens:,.0f}"
                )
        found.append(
            BreakEven(
                model=row.model,
                device=f"{n} x {device.name}" if n > 1 else device.name,
                api=api.name,
                how=how,
                api_usd_per_request=price,
                fixed_usd_per_month=fixed,
                variable_usd_per_request=Figure(variable, joined(row.request_s.basis, ("list price",))),
                million_tokens_per_month=volume,
                capacity_million_tokens=Figure(capacity * tokens, row.request_s.basis),
            )
        )
    return found


def margin(api: Api, device: Accelerator, claimed: str, detected: str, terms: Terms, catalogue: Catalogue) -> Margin:
    """A provider's margin at two precisions, on rented devices that are full for `terms.utilisation` of the time."""
    full = replace(terms, users=1 << 30)
    price = Figure(api_usd(api, terms), (api.basis,))
    spent: dict[str, Value] = {}
    for variant in (claimed, detected):
        row = cost_row(read_rung(f"{api.model}:{variant}", catalogue), device, full, catalogue)
        if isinstance(row, NotMeasured):
            spent[variant] = row
        else:
            hour = rent(device, row.n_devices)
            spent[variant] = times(hour, row.request_s.value / 3600 / terms.utilisation, row.request_s.basis)

    def kept(cost: Value) -> Value:
        return cost if isinstance(cost, NotMeasured) else Figure(1 - cost.value / price.value, cost.basis)

    return Margin(
        api=api.name,
        device=device.name,
        claimed=claimed,
        detected=detected,
        usd_per_request=price,
        cost_claimed_usd=spent[claimed],
        cost_detected_usd=spent[detected],
        margin_claimed=kept(spent[claimed]),
        margin_detected=kept(spent[detected]),
    )
