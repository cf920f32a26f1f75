"""Server-sent events, as far as they carry JSON: lines that begin with "data:", an empty line after each event."""

from __future__ import annotations

import json
from time import perf_counter
from typing import Any, Protocol

from bitproof.engines.generation import Completion
from bitproof.engines.http_failures import Failure

__all__ = ["Events", "Reader"]

END = b"[DONE]"


class Reader(Protocol):
    """Makes a completion out of the records of one answer: of its only one, or of those of a stream."""

    def take(self, record: Any) -> bool:
        """Take a record; returns whether it brought a token. Raises Failure, or KeyError and the like if malformed."""

    def completion(self, first_token_s: float | None, total_s: float) -> Completion:
        """The completion, with its times; raises Failure if the answer is not whole."""


class Events:
    """Takes a stream in chunks and feeds its records to a reader; `first` is the clock's time of the first token.

    Lines end as the standard says, by CR LF, LF or CR; the data of one event may stand on several.
    """

    def __init__(self, reader: Reader) -> None:
        self.first: float | None = None
        self._reader = reader
        self._rest = b""
        self._data: list[bytes] = []

    def __call__(self, chunk: bytes) -> None:
        """The next bytes. Raises Failure for an event that is not JSON, and what the reader raises."""
        text = self._rest + chunk
        keep = text.endswith(b"\r")  # half a line's end, perhaps
        *lines, self._rest = (text[:-1] if keep else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if keep:
            self._rest += b"\r"
        for line in lines:
            if not line:
                self._dispatch()
            elif line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))

    def _dispatch(self) -> None:
        data, self._data = b"\n".join(self._data), []
        if not data or data == END:
            return
        if self._reader.take(_record(data)) and self.first is None:
            self.first = perf_counter()


def _record(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Failure(f"its stream holds what is not JSON ({data[:60].decode(errors='replace')!r})") from error
