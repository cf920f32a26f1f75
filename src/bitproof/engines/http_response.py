"""A response over HTTP, and what gets one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import httpx2

from bitproof.engines.http_failures import Failure

__all__ = ["MOST_BYTES", "Headers", "OnChunk", "Response", "Transport", "check_size", "is_stream"]

MOST_BYTES = 1 << 26  # of a body, unpacked: 32,000 tokens with 20 alternatives each

Headers = dict[str, str]
"""By lower-case name."""
OnChunk = Callable[[bytes], None]


@dataclass(frozen=True)
class Response:
    """`content` is the whole body, or empty where it was `streamed`: handed over in chunks as they came."""

    status: int
    headers: Headers
    content: bytes
    streamed: bool = False

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


class Transport(Protocol):
    """Connections to one server."""

    async def exchange(
        self, method: str, url: httpx2.URL, content: bytes | None = None, on_chunk: OnChunk | None = None
    ) -> Response:
        """Send a request and read its response; `on_chunk` is handed the body of a stream of events as it comes.

        Raises httpx2.HTTPError, Failure for more than `MOST_BYTES`, and whatever `on_chunk` raises. The connection is
        closed where it was not read to its end.
        """

    async def aclose(self) -> None:
        """Close every connection."""


def is_stream(status: int, headers: Headers) -> bool:
    """Whether a response is a stream of events."""
    return status == 200 and "event-stream" in headers.get("content-type", "")


def check_size(n_bytes: int) -> None:
    """Raise Failure where a body has become longer than any answer is."""
    if n_bytes > MOST_BYTES:
        raise Failure(f"its answer is longer than {MOST_BYTES >> 20} MiB, and was not read to its end", again=False)
