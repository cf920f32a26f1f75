"""A profile for a terminal: what it holds, and how well its models are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitproof.audit.profile import Profile
from bitproof.audit.separation import Separation
from bitproof.report.terminal import Column, table

__all__ = ["profile_parts"]

EXPLAINED = (
    "Distance: root mean square difference of the logprobs of the reference's own tokens. Tokens: of greedy text, on"
    " average, at 1 %; to rule the model out where the reference is served, and to rule the reference out where the"
    " model is. Nearest: the model it takes most tokens to tell it from."
)


def profile_parts(profile: Profile, separations: Sequence[Separation], equals: Sequence[str], path: str) -> list[Any]:
    """The parts to print, in their order; `equals` are the names that no engine tells from the reference."""
    columns = [
        Column("model", figures=False),
        Column("distance, nats"),
        Column("tokens to rule it out"),
        Column("tokens to be found"),
        Column("nearest", figures=False),
    ]
    rows = [
        [
            one.name,
            f"{one.distance_nats:.3f}",
            _tokens(one.tokens_to_rule_out),
            _tokens(one.tokens_to_find),
            f"{one.nearest} ({_tokens(one.tokens_from_nearest)})",
        ]
        for one in separations
    ]
    parts: list[Any] = [table(columns, rows), "", EXPLAINED]
    if equals:
        parts.append(
            f"{' and '.join(equals)} lie as near to the reference as engines to each other: one class with it."
        )
    parts.append(
        f"{path}: {len(profile.names)} models in {len(profile.models) // len(profile.names)} arithmetics,"
        f" {len(profile.probes)} questions, {len(profile.places):,} tokens,"
        f" slack {profile.calibration.slack_of(20):.2g}, sha256 {profile.digest[:16]}"
    )
    return parts


def _tokens(value: float | None) -> str:
    return "never" if value is None or value > 1e5 else f"{value:,.0f}"
