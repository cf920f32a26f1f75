"""Prices, rents, electricity and their sums; each value carries what it rests on."""

from __future__ import annotations

from dataclasses import replace

from bitproof.errors import UsageError
from bitproof.evaluate.cost_catalogue import Accelerator, Api, Catalogue
from bitproof.evaluate.cost_results import Basis, Figure, Terms, Value
from bitproof.types import NotMeasured

HOURS_A_MONTH, HOURS_A_YEAR = 730.0, 8760.0


def rent(device: Accelerator, n: int) -> Value:
    if device.rent is None:
        return NotMeasured(f"the catalogue has no rent for {device.name}")
    return Figure(device.rent.usd_per_hour * n, (device.rent.basis,))


def price_of(device: Accelerator, n: int, terms: Terms) -> Value:
    if terms.price_usd is not None:
        return Figure(terms.price_usd * n, ("given",))
    if device.purchase is None:
        return NotMeasured(f"the catalogue has no price to buy {device.name}")
    return Figure(device.purchase.usd * n, (device.purchase.basis,))


def monthly(device: Accelerator, n: int, terms: Terms) -> Value:
    return times(price_of(device, n, terms), 1 / (12 * terms.years), ())


def own_hour(device: Accelerator, n: int, terms: Terms, catalogue: Catalogue) -> Value:
    """An hour of use: the price spread over the hours of use, and electricity."""
    price = price_of(device, n, terms)
    if isinstance(price, NotMeasured):
        return price
    power = kwh(device, n, terms, 3600.0) * electricity(catalogue, terms)
    hour = price.value / (terms.years * HOURS_A_YEAR * terms.utilisation) + power
    return replace(price, value=hour, basis=joined(price.basis, ("list price",)))


def kwh(device: Accelerator, n: int, terms: Terms, seconds: float) -> float:
    return device.tdp_w * n * terms.pue * seconds / 3.6e6


def electricity(catalogue: Catalogue, terms: Terms) -> float:
    """Dollars a kWh. Raises UsageError where neither the options nor the catalogue say."""
    if terms.electricity_usd is not None:
        return terms.electricity_usd
    if catalogue.electricity is None:
        raise UsageError("the catalogue has no price of electricity", remedy="Give --electricity.")
    return catalogue.electricity.usd_per_kwh


def api_usd(api: Api, terms: Terms) -> float:
    """Dollars a request."""
    return (api.input_usd * terms.prompt_tokens + api.output_usd * terms.answer_tokens) / 1e6


def times(value: Value, factor: float, basis: tuple[Basis, ...]) -> Value:
    if isinstance(value, NotMeasured):
        return value
    return Figure(value.value * factor, joined(basis, value.basis))


def joined(*bases: tuple[Basis, ...]) -> tuple[Basis, ...]:
    return tuple(dict.fromkeys(each for basis in bases for each in basis))
