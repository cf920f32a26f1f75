"""Plain connections against servers that keep, close, cut and drip, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from bitproof.engines.http_plain import PlainTransport
from bitproof.engines.http_response import Response

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def run(serve: Serve, work: Callable[[PlainTransport, httpx2.URL], Awaitable[Any]]) -> Any:
    """`work` with a transport to a server whose connections are served by `serve`, which is told their number."""

    async def job() -> Any:
        n, tasks = 0, set[asyncio.Task[None]]()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal n
            n += 1
            task = asyncio.create_task(one(reader, writer, n))
            tasks.add(task)

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            try:
                await serve(reader, writer, number)
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = httpx2.URL(f"http://127.0.0.1:{port}/v1/x?a=b")
        transport = PlainTransport(url, {"accept": "application/json", "x-key": "k"}, workers=2, connect_s=5)
        try:
            return await work(transport, url)
        finally:
            await transport.aclose()
            server.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(asyncio.wait_for(job(), 20))


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next request; empty at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b"", b""
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return head, await reader.readexactly(length)


def answering(*answers: bytes, seen: list[Any] | None = None) -> Serve:
    """Each connection gets these answers, one for each request, and is closed after the last."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for answer in answers:
            request = await request_of(reader)
            if not request[0]:
                return
            if seen is not None:
                seen.append((number, *request))
            writer.write(answer)
            await writer.drain()

    return serve


def posts(n: int, **options: Any) -> Callable[[PlainTransport, httpx2.URL], Awaitable[list[Response]]]:
    async def work(transport: PlainTransport, url: httpx2.URL) -> list[Response]:
        found = []
        for _ in range(n):
            found.append(await transport.exchange("POST", url, b'{"a":1}', **options))
            await asyncio.sleep(0.01)  # a server that closes has closed
        return found

    return work


def test_a_request_as_it_is_sent() -> None:
    seen: list[Any] = []
    (found,) = run(answering(OK, seen=seen), posts(1))
    _, head, body = seen[0]
    assert body == b'{"a":1}'
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /v1/x?a=b http/1.1"
    assert {b"x-key: k", b"content-length: 7", b"accept-encoding: identity"} <= set(lines)
    assert sum(line.startswith(b"host: 127.0.0.1:") for line in lines) == 1
    assert (found.status, found.text, found.headers["content-length"]) == (200, "ok", "2")


def test_connections_are_kept() -> None:
    seen: list[Any] = []
    assert [one.text for one in run(answering(OK, OK, OK, seen=seen), posts(3))] == ["ok"] * 3
    assert {number for number, *_ in seen} == {1}


def test_no_more_connections_than_workers() -> None:
    open_now, most = 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        while (await request_of(reader))[0]:
            await asyncio.sleep(0.005)
            writer.write(OK)
        open_now -= 1

    async def work(transport: PlainTransport, url: httpx2.URL) -> list[Response]:
        return await asyncio.gather(*(transport.exchange("POST", url, b"") for _ in range(9)))

    assert [one.text for one in run(serve, work)] == ["ok"] * 9
    assert most == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK,  # closed without a word, as llama.cpp does after streams
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",  # ends with the connection
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
)
def test_a_connection_that_the_server_closed_costs_nothing(answer: bytes) -> None:
    seen: list[Any] = []
    assert [one.text for one in run(answering(answer, seen=seen), posts(3))] == ["ok"] * 3
    assert [number for number, *_ in seen] == [1, 2, 3]


def test_a_request_that_met_the_end_of_its_connection_goes_out_again_once() -> None:
    """The server closes when the second request arrives, unseen: only then can nobody have known."""
    n_read = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        nonlocal n_read
        await request_of(reader)
        writer.write(OK)
        await request_of(reader)
        n_read += 1

    assert [one.text for one in run(serve, posts(3))] == ["ok"] * 3
    assert n_read == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", httpx2.RemoteProtocolError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 200_000, httpx2.RemoteProtocolError),
    ],
)
def test_half_an_answer_is_an_error(answer: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(answering(answer), posts(1))


def test_nobody_there() -> None:
    async def work(transport: PlainTransport, url: httpx2.URL) -> None:
        nobody = PlainTransport(httpx2.URL("http://127.0.0.1:1/"), {}, workers=1, connect_s=5)
        await nobody.exchange("GET", url)

    with pytest.raises(httpx2.ConnectError):
        run(answering(OK), work)


def test_a_stream_is_handed_over_as_it_comes() -> None:
    chunks: list[bytes] = []
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await request_of(reader)
        for part in (head, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)

    (found,) = run(serve, posts(1, on_chunk=chunks.append))
    assert (found.streamed, found.content) == (True, b"")
    assert chunks == [b"abc", b"de"]
    plain = b"HTTP/1.1 503 Busy\r\ncontent-type: text/event-stream\r\ncontent-length: 4\r\n\r\nbusy"
    (found,) = run(answering(plain), posts(1, on_chunk=chunks.append))
    assert (found.streamed, found.status, found.text) == (False, 503, "busy")


def test_what_is_raised_on_a_chunk_closes_the_connection() -> None:
    stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 2\r\n\r\nok"
    seen: list[Any] = []

    def refuse(chunk: bytes) -> None:
        raise ValueError(chunk)

    async def work(transport: PlainTransport, url: httpx2.URL) -> Response:
        with pytest.raises(ValueError, match="ok"):
            await transport.exchange("POST", url, b"", refuse)
        return await transport.exchange("POST", url, b"")

    assert run(answering(stream, OK, seen=seen), work).text == "ok"
    assert [number for number, *_ in seen] == [1, 2]


def test_an_attempt_that_is_cancelled_leaves_no_answer_to_the_next() -> None:
    seen: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await request_of(reader)
        seen.append(number)
        await asyncio.sleep(0.2 if number == 1 else 0)
        writer.write(OK if number > 1 else OK.replace(b"ok", b"no"))

    async def work(transport: PlainTransport, url: httpx2.URL) -> Response:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await transport.exchange("POST", url, b"")
        return await transport.exchange("POST", url, b"")

    assert run(serve, work).text == "ok"
    assert seen == [1, 2]


def test_interim_responses_are_passed_over() -> None:
    assert run(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), posts(1))[0].text == "ok"
