"""What a speed measurement found, for reports: every figure an estimate with its interval, or why there is none.

Times are in seconds. In an open load (Poisson arrivals) a request's clock starts when it was due, not when it was
sent: a server that stalls is then charged with everybody who would have come meanwhile ("coordinated omission", Tene,
How NOT to Measure Latency, 2013).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bitproof.types import Estimate, NotMeasured

__all__ = ["Figure", "GuidedEffect", "Load", "LoadSpeed", "Percentiles", "SpeedReport", "Stage", "TargetSpeed"]

Figure = Estimate | NotMeasured
NO_SCHEMA, NO_DRAFT = NotMeasured("no schema was given"), NotMeasured("no draft model")


@dataclass(frozen=True, kw_only=True)
class Load:
    """How requests come: at a mean `rate_per_s` whatever the server does, or `concurrency` users who wait."""

    n_requests: int
    rate_per_s: float | None = None
    concurrency: int | None = None

    @property
    def name(self) -> str:
        return f"{self.rate_per_s:g}/s" if self.rate_per_s is not None else f"{self.concurrency} at once"


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Of requests. Each bound holds at 95 %, so an interval does at 90 %."""

    p50: Figure
    p95: Figure
    p99: Figure


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Mean seconds that a request spends in one stage, and who measured it."""

    name: str
    seconds: Figure
    by: Literal["engine", "client", "difference"]


@dataclass(frozen=True, kw_only=True)
class LoadSpeed:
    """One target under one load.

    `between_tokens_s` is each request's mean time per token after its first; `gap_p95_s` the 95th percentile of all
    waits between two pieces of a stream, over requests. `in_flight` is the mean number of requests in the system
    (Little's law). `client_late_s` is how late the worst request was sent: time that is the client's own fault.
    """

    load: Load
    n_answered: int
    n_failed: int
    duration_s: float
    in_flight: float
    first_token_s: Percentiles
    between_tokens_s: Percentiles
    whole_s: Percentiles
    gap_p95_s: Figure
    tokens_per_s: Figure  # answer tokens, of all requests together
    requests_per_s: Figure
    stages: tuple[Stage, ...]
    client_late_s: float
    failures: dict[str, int] = field(default_factory=dict)  # why -> how many
    invalid: int | NotMeasured = NO_SCHEMA  # answers that do not satisfy the schema


@dataclass(frozen=True, kw_only=True)
class TargetSpeed:
    """One target under every load. `peak_memory_bytes` is host memory of the server, NotMeasured where it is remote."""

    name: str
    engine: str
    version: str
    settings: dict[str, str | int]
    loads: tuple[LoadSpeed, ...]
    peak_memory_bytes: int | NotMeasured
    draft_acceptance: Figure = NO_DRAFT  # share of the tokens a draft proposed that were taken
    answers_changed: Figure = NO_DRAFT  # share of requests answered otherwise than without it
    draft_speedup: Figure = NO_DRAFT  # engine time of the same requests without it, over that with it
    stopped: str = ""  # why not every request was sent


@dataclass(frozen=True, kw_only=True)
class GuidedEffect:
    """Guided minus free decoding on the items of a slice that both answered; intervals are over clusters.

    `repaired` are items whose free answer scored less than half and whose guided one did not, `broken` the reverse.
    """

    target: str
    slice: str
    n_items: int
    n_clusters: int
    valid_free: Figure  # share of answers that hold JSON which satisfies the schema
    valid_guided: Figure
    score_free: Figure  # share that is right, values included
    score_guided: Figure
    score_difference: Figure
    repaired: int
    broken: int
    time_ratio: Figure  # of whole answers, guided over free
    token_ratio: Figure  # of answer tokens
    token_time_ratio: Figure  # of the time per token after the first: the cost of masking itself
    cut_free: int  # answers that ended at their limit of tokens
    cut_guided: int
    failed: int  # items that one of the two did not answer or grade
    failures: dict[str, int] = field(default_factory=dict)  # why -> how many


@dataclass(frozen=True, kw_only=True)
class SpeedReport:
    """Targets under the same schedule and prompts. `seed` draws the prompts and when they are due."""

    targets: tuple[TargetSpeed, ...]
    seed: int
    prompts_digest: str
    prompt_tokens: int  # asked for on average
    answer_tokens: int
    guided: tuple[GuidedEffect, ...] = ()  # of each target and slice, where it was asked for
    how: dict[str, str] = field(default_factory=dict)
    command: str = ""
