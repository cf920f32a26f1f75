"""What an audit found, for reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["AuditReport", "Outcome"]

Outcome = Literal["consistent", "inconsistent", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """One endpoint against one profile.

    `closest` are the names that hold 95 % of the posterior, likeliest first, empty where none of them fits;
    `probability` and `fit` are by name, see `naming.Naming`. `residuals` is the profile that was seen and `expected`
    those of every name at the same places: half logarithms of mean square differences, in the order of `names`.
    """

    endpoint: str
    model: str
    reference: str
    profile_digest: str
    outcome: Outcome
    words: str  # the verdict in a sentence
    closest: tuple[str, ...]
    probability: dict[str, float]
    fit: dict[str, float]
    names: tuple[str, ...]
    residuals: tuple[float, ...]
    expected: dict[str, tuple[float, ...]]
    n_probes: int
    n_places: int  # tokens that could be compared
    answer_tokens: int  # that the endpoint was asked for, all of them
    prompt_tokens: int
    top_logprobs: int
    alpha: float
    looks: tuple[int, ...]  # places after which it was looked at
    seed: int
    findings: tuple[str, ...] = ()  # of the preflight, one sentence each
    missing: tuple[str, ...] = ()  # what keeps a verdict from being given
    how: dict[str, str] = field(default_factory=dict)
    command: str = ""
