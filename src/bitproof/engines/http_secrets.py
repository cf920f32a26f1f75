"""What must never be shown: keys, hidden in everything that a server sends back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx2

from bitproof.engines.generation import Completion
from bitproof.types import ToolCall

__all__ = ["Secrets"]

SHOWN = "***"
SHORTEST = 4  # what is shorter is part of ordinary words
SECRET_NAMES = re.compile(r"key|token|secret|sig|pass|auth", re.IGNORECASE)


class Secrets:
    """Hides `values`, and those parameters of `url` that are named like a key; servers repeat them in errors."""

    def __init__(self, values: Iterable[str], url: httpx2.URL) -> None:
        named = (value for name, value in url.params.multi_items() if SECRET_NAMES.search(name))
        found = {value for value in (*values, *named) if len(value) >= SHORTEST}
        found |= {quote(value, safe="") for value in found}
        self._values = tuple(sorted(found, key=len, reverse=True))

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)})"

    def __bool__(self) -> bool:
        return bool(self._values)

    def hide(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, SHOWN)
        return text

    def hide_in(self, record: Any) -> Any:
        """JSON with every string hidden, names too. Raises RecursionError where it is nested too deep."""
        if not self._values:
            return record
        if isinstance(record, str):
            return self.hide(record)
        if isinstance(record, list):
            return [self.hide_in(one) for one in record]
        if isinstance(record, dict):
            return {self.hide(name): self.hide_in(one) for name, one in record.items()}
        return record

    def hide_in_completion(self, completion: Completion) -> Completion:
        """A completion that was put together from pieces, each hidden by itself."""
        if not self._values:
            return completion
        calls = tuple(
            ToolCall(name=call.name, arguments=self.hide_in(call.arguments)) for call in completion.tool_calls
        )
        return replace(completion, text=self.hide(completion.text), error=self.hide(completion.error), tool_calls=calls)
