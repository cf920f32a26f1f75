"""What a comparison of providers found, for reports: one record for each endpoint, everything computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bitproof.audit.provider_disclosed import Disclosure
from bitproof.audit.results import AuditReport
from bitproof.evaluate.cost_results import Terms, Value
from bitproof.types import Estimate, NotMeasured

__all__ = ["NO_SUITE", "Money", "ProviderOutcome", "ProviderResult", "ProvidersReport", "Quality", "Share"]

ProviderOutcome = Literal["consistent", "inconsistent", "inconclusive", "not audited", "unreachable"]
Share = Estimate | NotMeasured
NO_SUITE = NotMeasured("no suite was asked")


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One endpoint's answers to a suite; shares are in [0, 1], their intervals over the items' clusters.

    `retained` is its score over the reference's on the same items. `completed` are the items it answered to the end:
    neither failed nor cut at their limit. `tool_calls` are the answers that call something, and call a function that
    was offered with arguments that its schema allows; `schema` those, where JSON was asked for, that fit the schema.
    """

    score: Share
    difference: Share  # to the reference's, paired
    retained: Share
    completed: Share
    tool_calls: Share
    schema: Share
    n_items: int
    n_failed: int = 0
    n_cut: int = 0
    slices: dict[str, Share] = field(default_factory=dict)  # scores
    stopped: str = ""  # why not every item was asked


@dataclass(frozen=True, kw_only=True)
class Money:
    """Prices in US dollars. `per_thousand` is that of a thousand requests of the terms' lengths, `per_retained` that
    over the share of the reference's quality. Margins are shares of the price, at rented devices.
    """

    usd_per_million: tuple[float, float] | NotMeasured  # prompt tokens, answer tokens
    source: str
    per_thousand: float | NotMeasured
    per_retained: Share
    claimed: str  # the variants that the margins are worked out for, empty where there is none
    measured: str
    margin_claimed: Value
    margin_measured: Value


@dataclass(frozen=True, kw_only=True)
class ProviderResult:
    """One endpoint. `level` is the error rate that its verdict was given at, see `providers.audited`."""

    name: str
    url: str
    model: str
    preset: str
    reference: bool
    outcome: ProviderOutcome
    words: str
    level: float | None
    audit: AuditReport | None
    agreement: Share  # probes answered as the reference answers them, as far as both go
    disclosure: Disclosure
    quality: Quality | NotMeasured
    latency_p50_s: Share  # of a whole answer
    latency_p95_s: Share
    latency_of: str
    money: Money
    n_requests: int
    prompt_tokens: int
    answer_tokens: int
    spent_usd: float | NotMeasured


@dataclass(frozen=True, kw_only=True)
class ProvidersReport:
    """Endpoints in the order of their file."""

    providers: tuple[ProviderResult, ...]
    reference: str  # of the profile, empty without one
    profile_digest: str
    alpha: float
    seed: int
    suite: str = ""
    suite_digest: str = ""
    scored_against: str = ""  # what the quality is measured against
    reference_score: Share = NO_SUITE
    device: str = ""
    terms: Terms = field(default_factory=Terms)
    left_out: dict[str, str] = field(default_factory=dict)  # slice -> why it is not in the suite
    command: str = ""
