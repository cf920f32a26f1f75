"""The way to a server: plain connections where they do, and httpx where TLS or a proxy is needed."""

from __future__ import annotations

import logging
import urllib.request

import httpx2

from bitproof.engines.http_address import LOOPBACK
from bitproof.engines.http_plain import KEEP_IDLE_S, PlainTransport
from bitproof.engines.http_response import Headers, OnChunk, Response, Transport, check_size, is_stream

__all__ = ["transport_to"]


def transport_to(url: httpx2.URL, headers: Headers, *, workers: int, connect_s: float, timeout_s: float) -> Transport:
    """Connections to the host of `url`, at most `workers` at a time, which send `headers` with every request.

    TLS is verified. Proxies of the environment are used, except for a server on this machine.
    """
    if url.scheme == "http" and (url.host in LOOPBACK or not urllib.request.getproxies()):
        return PlainTransport(url, headers, workers=workers, connect_s=connect_s)
    return GeneralTransport(url, headers, workers=workers, connect_s=connect_s, timeout_s=timeout_s)


class GeneralTransport:
    """httpx: TLS, proxies, compressed answers."""

    def __init__(self, url: httpx2.URL, headers: Headers, *, workers: int, connect_s: float, timeout_s: float) -> None:
        self._headers = httpx2.Headers({"accept-encoding": "gzip, deflate", **headers})
        self._pool = httpx2.AsyncClient(
            limits=httpx2.Limits(
                max_connections=workers, max_keepalive_connections=workers, keepalive_expiry=KEEP_IDLE_S
            ),
            timeout=httpx2.Timeout(timeout_s, connect=connect_s, pool=None),
            trust_env=url.host not in LOOPBACK,
        )
        self._unlogged = _WithoutQuery(url.host)
        logging.getLogger("httpx2").addFilter(self._unlogged)

    async def exchange(
        self, method: str, url: httpx2.URL, content: bytes | None = None, on_chunk: OnChunk | None = None
    ) -> Response:
        """Send a request and read its response; see `http_response.Transport`."""
        request = httpx2.Request(method, url, headers=self._headers, content=content)
        response = await self._pool.send(request, stream=True)
        try:
            headers, size = dict(response.headers), 0
            parts: list[bytes] = []
            streamed = on_chunk is not None and is_stream(response.status_code, headers)
            take = on_chunk if on_chunk is not None and streamed else parts.append
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                check_size(size)
                take(chunk)
            return Response(response.status_code, headers, b"".join(parts), streamed=streamed)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
        logging.getLogger("httpx2").removeFilter(self._unlogged)


class _WithoutQuery(logging.Filter):
    """httpx logs the address of every request: that of this host without its query, which may hold a key."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                one.copy_with(query=None) if isinstance(one, httpx2.URL) and one.host == self._host else one
                for one in record.args
            )
        return True
