"""Heads without an end: the connection is answered and closed before they fill the memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn

from signalbox.gateway import server
from signalbox.gateway.head import MAX_HEAD_BYTES, BoundedHeadProtocol
from signalbox.settings import Settings

pytestmark = pytest.mark.anyio
BEGIN = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
MANY = 400 * MAX_HEAD_BYTES


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def taken(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A server of uvicorn with the protocol on a free port."""
    config = uvicorn.Config(
        taken, port=0, http=BoundedHeadProtocol, lifespan="off", log_config=None, ws="none"
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = True
    await task


async def answered(begin: bytes, part: bytes) -> tuple[bytes, int]:
    """Send `begin` and then `part` again and again until the server answers; return its first line, and the bytes sent."""
    sent = 0
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        line = asyncio.create_task(reader.readline())
        writer.write(begin)
        with suppress(ConnectionError):
            while not line.done() and sent < MANY:
                writer.write(part)
                sent += len(part)
                await writer.drain()
                await asyncio.sleep(0)
        with suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(line, 5)
        writer.close()
        return (b"" if line.cancelled() or line.exception() else line.result()), sent


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        pytest.param(BEGIN, b"x-a: " + b"a" * 4000 + b"\r\n", id="headers"),
        pytest.param(BEGIN + b"x-a: ", b"a" * 4000, id="one-header"),
        pytest.param(
            BEGIN + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
            b"x-a: " + b"a" * 4000 + b"\r\n",
            id="trailers",
        ),
    ],
)
async def test_a_head_without_an_end_is_cut_off(begin: bytes, part: bytes) -> None:
    """Many headers, one that never ends, and those behind a chunked body."""
    _, sent = await answered(begin, part)

    assert sent < MANY


async def test_an_ordinary_request_is_served_and_so_is_the_next() -> None:
    """On one connection; a body longer than the limit of the head is no head."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(BEGIN + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000)
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 2)
        writer.close()


def test_the_gateway_serves_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Whatever else its server is told."""
    told: dict[str, Any] = {}
    monkeypatch.setattr(server.sys, "setswitchinterval", lambda _: None)
    monkeypatch.setattr(server.uvicorn, "run", lambda _, **more: told.update(more))

    server.serve(Settings(_env_file=None, home=tmp_path))  # type: ignore[call-arg]

    assert told["http"] is BoundedHeadProtocol
