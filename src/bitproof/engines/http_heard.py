"""What an endpoint says of itself beside its answers: recorded, never relied on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bitproof.engines.http_failures import printable

__all__ = ["Heard"]

MOST_NAMES = 20


@dataclass
class Heard:
    """The models' names and `system_fingerprint`s that answers came with, in the order in which they first came.

    `cached` counts answers whose headers say that they come from a cache, `cached_prompt_tokens` the prompt tokens that
    the endpoint says it had computed before.
    """

    models: dict[str, int] = field(default_factory=dict)
    fingerprints: dict[str, int] = field(default_factory=dict)
    answers: int = 0
    cached: int = 0
    cached_prompt_tokens: int = 0

    def note(self, record: Any, headers: Mapping[str, str]) -> None:
        """Take what one answer brought; anything of another form is passed over."""
        if not isinstance(record, dict) or "choices" not in record:
            return
        self.answers += 1
        _count(self.models, record.get("model"))
        _count(self.fingerprints, record.get("system_fingerprint"))
        self.cached += any("cache" in name and value.lower().startswith("hit") for name, value in headers.items())
        details = record["usage"].get("prompt_tokens_details") if isinstance(record.get("usage"), dict) else None
        tokens = details.get("cached_tokens") if isinstance(details, dict) else None
        self.cached_prompt_tokens += tokens if isinstance(tokens, int) and tokens > 0 else 0


def _count(names: dict[str, int], name: Any) -> None:
    if isinstance(name, str) and name:
        shown = printable(name)
        if shown in names or len(names) < MOST_NAMES:
            names[shown] = names.get(shown, 0) + 1
