"""What an audit found, for reports."""

from __future__ import annotations

from dataclasses import dataclass, field

from bitproof.audit.meter import MeterReading
from bitproof.audit.standing import Outcome

__all__ = ["Answer", "AuditReport", "Outcome"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question and what came back, of which `n_read` tokens could be read; `error` where nothing came."""

    question: str
    text: str
    reference: str  # the reference's own answer, as far as it was asked for
    n_read: int
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """One endpoint against one profile.

    `closest` are the names that hold 95 % of the posterior, likeliest first, empty where none of them fits; `excluded`
    those that the test rules out; `equals` those that no engine tells from the reference. `fit` is by name, see
    `naming.Naming`; `residuals` is the profile that was seen and `expected` those of every name at the same places:
    half logarithms of mean square differences, in the order of `names`, for tests of logprobs only.
    """

    endpoint: str
    model: str
    reference: str
    profile_digest: str
    test: str  # "prompt-logprobs", "top-logprobs", "logprob", "text", "seeded" or "sampled"
    outcome: Outcome
    words: str  # the verdict in a sentence
    closest: tuple[str, ...]
    excluded: tuple[str, ...]
    equals: tuple[str, ...]
    probability: dict[str, float]
    fit: dict[str, float]
    names: tuple[str, ...]
    residuals: tuple[float, ...]
    expected: dict[str, tuple[float, ...]]
    meter: MeterReading | None
    scale: dict[int, float]  # the meter's noise in nats at each number of bits
    sampler: str  # how tokens were drawn, where not as asked for
    n_probes: int
    n_places: int  # tokens that could be read
    answer_tokens: int  # that the endpoint was asked for, all of them
    prompt_tokens: int
    top_logprobs: int
    alpha: float
    looks: tuple[int, ...]  # places after which logprobs were looked at; empty for tests that look at every token
    seed: int
    answers: tuple[Answer, ...] = ()
    findings: tuple[str, ...] = ()  # of the preflight, one sentence each
    missing: tuple[str, ...] = ()  # what keeps a verdict from being given
    cost_usd: float | None = None
    how: dict[str, str] = field(default_factory=dict)
    command: str = ""
