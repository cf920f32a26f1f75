"""What a comparison without a reference found, for reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bitproof.stats.estimate import Estimate
from bitproof.types import NotMeasured

__all__ = ["UNKNOWABLE", "WHAT", "Asked", "Channel", "ChannelName", "ClosedOutcome", "ClosedReport", "RecordReport"]

ChannelName = Literal["logprobs", "greedy", "sampled"]
ClosedOutcome = Literal["consistent", "different", "inconclusive"]

WHAT: dict[ChannelName, str] = {
    "logprobs": "logprobs",
    "greedy": "answers at temperature 0",
    "sampled": "sampled answers",
}
UNKNOWABLE = (
    "Without the reference's weights nobody can say which precision an endpoint serves, nor whether it ever served the"
    " model that it names: only whether it answers as it did, or as another one does.",
    "What makes a difference cannot be told either: other weights, a precision, an engine or its kernels, the machine,"
    " a hidden prompt, a template or a sampler.",
    "Seen are these questions at these times. What is rare, smaller than said here, or served to others, is not.",
)


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One kind of evidence: of the two sides, and of each with itself.

    Distances are, of logprobs, their mean absolute difference in nats a token; of answers, the share of pairs that do
    not begin alike. `smallest` is the least difference that 95 % of comparisons like this one would have found, in the
    words of `unit`.
    """

    name: ChannelName
    n_probes: int  # compared
    own: Estimate | NotMeasured
    between: Estimate | NotMeasured
    p_value: float
    found: bool
    smallest: float | NotMeasured
    unit: str
    sittings_p_value: float | NotMeasured  # of the recording's own sittings, against each other
    spoiled: str = ""  # why this kind is not to be relied on


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question and the texts that each side answered it with, each with how often it came, commonest first."""

    question: str
    sampled: bool
    against: tuple[tuple[str, int], ...]  # the recording, or the first endpoint
    answered: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class ClosedReport:
    """One endpoint against its recording, or against another endpoint; tokens are of both, where two were asked."""

    endpoint: str
    model: str
    against: str
    recording_digest: str  # empty where two endpoints were asked
    sittings: tuple[str, ...]  # when the recording was made
    outcome: ClosedOutcome
    words: str
    channels: tuple[Channel, ...]
    n_requests: int
    answer_tokens: int
    prompt_tokens: int
    alpha: float
    least_nats: float
    seed: int
    findings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    answers: tuple[Asked, ...] = ()
    cost_usd: float | None = None
    unknowable: tuple[str, ...] = UNKNOWABLE
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class RecordReport:
    """One recording that was made, or added to; tokens and dollars are what was spent on it now."""

    file: str
    digest: str
    endpoint: str
    model: str
    sittings: tuple[str, ...]  # when each was
    n_questions: int
    top_logprobs: int
    n_requests: int
    answer_tokens: int
    prompt_tokens: int
    cost_usd: float | None
    findings: tuple[str, ...]
    unknowable: tuple[str, ...] = UNKNOWABLE
    command: str = ""
