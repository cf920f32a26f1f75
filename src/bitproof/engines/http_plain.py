"""HTTP/1.1 without TLS or proxies: what a server on this machine or in this network speaks (RFC 9112).

A general client spends six times as much CPU time on a request as this one, more than is spent on all else that is done
with an answer. What needs more than this goes through httpx, see `http_transport`.

A kept connection that the server has closed meanwhile has not seen the request, which goes out again at once on another
one (RFC 9112, section 9.3.1). llama.cpp's server closes after every stream and does not say so.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

import httpx2

from bitproof.engines.http_response import Headers, OnChunk, Response, is_stream
from bitproof.errors import UsageError

__all__ = ["PlainTransport"]

READ_BYTES = 1 << 16
# Common servers close an idle connection after 5 s.
KEEP_IDLE_S = 3.0


class PlainTransport:
    """Connections to the host of `url`, at most `workers` at a time, opened as they are needed and then kept."""

    def __init__(self, url: httpx2.URL, headers: Headers, *, workers: int, connect_s: float) -> None:
        self._host, self._port, self._connect_s = url.host, url.port or 80, connect_s
        lines = {"host": url.netloc.decode(), "accept-encoding": "identity", **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
        if self._headers.count(b"\n") != len(lines):
            raise UsageError("holds the end of a line", where="a header of the endpoint")
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(workers)

    async def exchange(
        self, method: str, url: httpx2.URL, content: bytes | None = None, on_chunk: OnChunk | None = None
    ) -> Response:
        """Send a request and read its response; see `http_response.Transport`."""
        length = b"" if content is None else b"content-length: %d\r\n" % len(content)
        start = b"%s %s HTTP/1.1\r\n" % (method.encode(), url.raw_path)
        request = b"".join((start, self._headers, length, b"\r\n", content or b""))
        async with self._free:
            while True:
                kept = self._kept()
                connection = kept or await self._connect()
                try:
                    response = await connection.exchange(request, on_chunk)
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


class _MalformedError(Exception):
    """What came is not HTTP."""


class _Connection:
    """One connection, used for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._kept, self._since = False, 0.0

    def usable(self) -> bool:
        return not self._reader.at_eof() and monotonic() - self._since < KEEP_IDLE_S

    def keep(self) -> bool:
        """Make it ready for the next request; closes it and returns False where the server takes none on it."""
        if not self._kept:
            self.close()
        self._since = monotonic()
        return self._kept

    def close(self) -> None:
        self._writer.close()

    async def aclose(self) -> None:
        self._writer.close()
        with suppress(OSError):  # the server was faster
            await self._writer.wait_closed()

    async def exchange(self, request: bytes, on_chunk: OnChunk | None) -> Response:
        self._writer.write(request)
        try:
            version, status, headers = await self._head(first=True)
            while 100 <= status < 200:
                version, status, headers = await self._head()
            parts: list[bytes] = []
            take = on_chunk if on_chunk is not None and is_stream(status, headers) else parts.append
            ended = await self._body(status, headers, take)
        except asyncio.IncompleteReadError as error:
            raise httpx2.RemoteProtocolError("it closed in the middle of an answer") from error
        except (_MalformedError, asyncio.LimitOverrunError) as error:
            raise httpx2.RemoteProtocolError(f"its answer is not HTTP ({error})") from error
        except OSError as error:
            raise httpx2.ReadError(str(error)) from error
        said = headers.get("connection", "").lower()
        self._kept = ended and "close" not in said and (version == b"HTTP/1.1" or "keep-alive" in said)
        return Response(status, headers, b"".join(parts), streamed=take is on_chunk)

    async def _head(self, *, first: bool = False) -> tuple[bytes, int, Headers]:
        """Version, status and headers; those that come several times are joined."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError) as error:
            if first and not getattr(error, "partial", b""):
                raise _NothingCameError from error
            raise
        line, *fields = head[:-4].split(b"\r\n")
        version, _, rest = line.partition(b" ")
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit():
            raise _MalformedError(f"it begins with {line[:20]!r}")
        headers: Headers = {}
        for field in fields:
            name, colon, value = field.partition(b":")
            if not colon or not name.strip():
                raise _MalformedError(f"a header is {field[:20]!r}")
            key, text = name.strip().lower().decode("latin-1"), value.strip().decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return version, int(rest[:3]), headers

    async def _body(self, status: int, headers: Headers, take: OnChunk) -> bool:
        """Hand the body over; returns whether it said where it ends (RFC 9112, section 6.3)."""
        if status in (204, 304):
            return True
        if "transfer-encoding" in headers:
            if headers["transfer-encoding"].lower() != "chunked":
                raise _MalformedError(f"its body is {headers['transfer-encoding'][:20]}")
            await self._chunks(take)
            return True
        if "content-length" not in headers:
            while data := await self._reader.read(READ_BYTES):
                take(data)
            return False
        left = _length(headers["content-length"], 10)
        while left:
            data = await self._reader.read(min(left, READ_BYTES))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            take(data)
        return True

    async def _chunks(self, take: OnChunk) -> None:
        while length := _length((await self._reader.readuntil(b"\r\n")).partition(b";")[0].decode("latin-1"), 16):
            take(await self._reader.readexactly(length))
            if await self._reader.readexactly(2) != b"\r\n":
                raise _MalformedError("a chunk is longer than it says")
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers


def _length(text: str, base: int) -> int:
    """A length as it stands in a header or before a chunk: digits and nothing else."""
    digits = text.strip()
    if not digits or len(digits) > 15 or set(digits.lower()) - set("0123456789abcdef"[:base]):
        raise _MalformedError(f"a length is {text[:20]!r}")
    return int(digits, base)
