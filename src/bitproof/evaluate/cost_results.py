"""What a cost is and what it rests on, for reports: plain data, and the terms that everything is computed under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bitproof.errors import UsageError
from bitproof.types import NotMeasured

__all__ = ["Basis", "BreakEven", "CostReport", "CostRow", "Figure", "Margin", "Terms", "Value"]

Basis = Literal["measured", "roofline", "list price", "unverified", "computed", "files", "given"]


@dataclass(frozen=True)
class Figure:
    """A value and what it rests on; `low` and `high` where it was measured with an interval."""

    value: float
    basis: tuple[Basis, ...]
    low: float | None = None
    high: float | None = None


Value = Figure | NotMeasured


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is asked of the device, and the assumptions; each is an option of the command."""

    context: int = 4096  # tokens kept for each user, for memory
    users: int = 16  # at a time, at most: fewer where no more fit
    prompt_tokens: int = 1024
    answer_tokens: int = 256
    usable: float = 0.9  # share of the memory that weights and KV cache may fill (vLLM's default)
    efficiency: float = 1.0  # share of the roofline
    pue: float = 1.2  # power of the building over that of its machines
    years: float = 3.0
    utilisation: float = 0.5  # share of the hours in which an owned or a provider's device works
    price_usd: float | None = None  # of one device with its share of the machine, in place of the catalogue's
    electricity_usd: float | None = None  # a kWh, in place of the catalogue's

    def __post_init__(self) -> None:
        for name in ("usable", "efficiency", "utilisation"):
            if not 0 < getattr(self, name) <= 1:
                raise UsageError(f"is {getattr(self, name):g}", where=name, remedy="Give a share above 0, at most 1.")
        for name in ("context", "users", "prompt_tokens", "answer_tokens", "pue", "years"):
            if getattr(self, name) <= 0:
                raise UsageError(f"is {getattr(self, name):g}", where=name, remedy="Give more than 0.")
        if self.prompt_tokens + self.answer_tokens > self.context:
            raise UsageError(
                f"{self.prompt_tokens} prompt and {self.answer_tokens} answer tokens exceed the context of "
                f"{self.context}",
                remedy="Raise --context.",
            )


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One model on one kind of device. `n_devices` is the fewest that hold it with one user's cache."""

    model: str
    device: str
    n_devices: int
    batch: int  # users at a time that the speed is for
    weights_gib: Figure
    kv_gib_per_user: Figure
    users_that_fit: Figure
    tokens_per_s: Figure  # answer tokens of all users
    tokens_per_s_user: Figure
    first_token_s: Value  # prefill alone, without waiting
    request_s: Figure  # device time of one request
    kwh_per_million: Figure  # answer tokens, with the prompts they need
    usd_per_million: Value  # the same, rented
    usd_per_million_input: Value  # rented, priced as APIs do
    usd_per_million_output: Value
    own_usd_per_million: Value  # owned and amortised
    limit: str  # what bounds decoding: "memory", "compute", "measured"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """A device against an API: the volume from which it is cheaper, in million tokens a month, prompts included."""

    model: str
    device: str
    api: str
    how: Literal["owned", "rented"]
    api_usd_per_request: Figure
    fixed_usd_per_month: Value
    variable_usd_per_request: Figure
    million_tokens_per_month: Value
    capacity_million_tokens: Figure


@dataclass(frozen=True, kw_only=True)
class Margin:
    """What a provider keeps of its price if it serves at the claimed, and at the detected precision."""

    api: str
    device: str
    claimed: str
    detected: str
    usd_per_request: Figure  # its price
    cost_claimed_usd: Value
    cost_detected_usd: Value
    margin_claimed: Value  # share of the price
    margin_detected: Value


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """All rows, the models in the order given."""

    rows: tuple[CostRow, ...]
    break_even: tuple[BreakEven, ...]
    margins: tuple[Margin, ...]
    terms: Terms
    sources: dict[str, str]  # what is used of the catalogue -> source and date
    refused: dict[str, str]  # "model on device" -> why there is no row
