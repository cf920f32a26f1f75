"""HTTP/1.1 without TLS or proxies, over asyncio and h11: what a server on this machine or in this network speaks.

A general client spends four times as much CPU time on a request as this one, which is more than all that is done with
the answer. Everything else goes through httpx, see `http_transport`.

A kept connection that the server has closed meanwhile has not seen the request, which goes out again at once on another
one (RFC 9112, section 9.3.1). llama.cpp's server closes after every stream and does not say so.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

import h11
import httpx2

from bitproof.engines.http_response import Headers, OnChunk, Response, check_size, is_stream

__all__ = ["PlainTransport"]

READ_BYTES = 1 << 16
# Common servers close an idle connection after 5 s.
KEEP_IDLE_S = 3.0


class PlainTransport:
    """Connections to the host of `url`, at most `workers` at a time, opened as they are needed and then kept."""

    def __init__(self, url: httpx2.URL, headers: Headers, *, workers: int, connect_s: float) -> None:
        self._host, self._port, self._connect_s = url.host, url.port or 80, connect_s
        self._headers = [(b"host", url.netloc), (b"accept-encoding", b"identity")]
        self._headers += [(name.encode(), value.encode()) for name, value in headers.items()]
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(workers)

    async def exchange(
        self, method: str, url: httpx2.URL, content: bytes | None = None, on_chunk: OnChunk | None = None
    ) -> Response:
        """Send a request and read its response; see `http_response.Transport`."""
        length = [] if content is None else [(b"content-length", b"%d" % len(content))]
        request = h11.Request(method=method, target=url.raw_path, headers=self._headers + length)
        async with self._free:
            while True:
                kept = self._kept()
                connection = kept or await self._connect()
                try:
                    response = await connection.exchange(request, content or b"", on_chunk)
                except _NothingCameError as error:
                    connection.close()
                    if kept is None:
                        raise httpx2.RemoteProtocolError("it closed without an answer") from error
                except BaseException:
                    connection.close()
                    raise
                else:
                    if connection.keep():
                        self._idle.append(connection)
                    return response

    async def aclose(self) -> None:
        """Close every connection."""
        while self._idle:
            await self._idle.pop().aclose()

    def _kept(self) -> _Connection | None:
        """A connection that is still open, as far as can be seen from here."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                return _Connection(*await asyncio.open_connection(self._host, self._port))
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(f"no connection within {self._connect_s:g} s") from error
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error


class _NothingCameError(Exception):
    """The server closed the connection before the first byte of a response."""


class _Connection:
    """One connection, used for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._state = h11.Connection(h11.CLIENT)
        self._since = 0.0

    def usable(self) -> bool:
        return not self._reader.at_eof() and monotonic() - self._since < KEEP_IDLE_S

    def keep(self) -> bool:
        """Make it ready for the next request; closes it and returns False where the server takes none on it."""
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
            self._since = monotonic()
            return True
        self.close()
        return False

    def close(self) -> None:
        self._writer.close()

    async def aclose(self) -> None:
        self._writer.close()
        with suppress(OSError):  # the server was faster
            await self._writer.wait_closed()

    async def exchange(self, request: h11.Request, content: bytes, on_chunk: OnChunk | None) -> Response:
        state = self._state
        sent = (state.send(request), state.send(h11.Data(data=content)), state.send(h11.EndOfMessage()))
        self._writer.write(b"".join(part for part in sent if part))
        begun, status, headers, size = False, 0, Headers(), 0
        parts: list[bytes] = []
        take: OnChunk = parts.append
        try:
            while True:
                event = state.next_event()
                if event is h11.NEED_DATA:
                    data = await self._read(begun)
                    begun = True
                    state.receive_data(data)
                elif isinstance(event, h11.Data):
                    size += len(event.data)
                    check_size(size)
                    take(bytes(event.data))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
                    if on_chunk is not None and is_stream(status, headers):
                        take = on_chunk
                elif isinstance(event, h11.EndOfMessage):
                    return Response(status, headers, b"".join(parts), streamed=take is on_chunk)
        except h11.RemoteProtocolError as error:
            raise httpx2.RemoteProtocolError(str(error)) from error

    async def _read(self, begun: bool) -> bytes:
        """What came; no bytes at the end of a response that has begun."""
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as error:
            raise (httpx2.ReadError(str(error)) if begun else _NothingCameError(str(error))) from error
        if not data and not begun:
            raise _NothingCameError
        return data
