"""A browser that opens a stream and never reads it: it is left, and those who read miss nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from sse_starlette import ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from signalbox.cli.facts import Fact
from signalbox.gateway.head import BoundedHeadProtocol
from signalbox.gateway.pages import stream
from signalbox.gateway.pages.hub import Hub
from signalbox.gateway.readmodel.queries import Cursor, Tail
from tests.support.fleets import message

pytestmark = pytest.mark.anyio
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE_SECONDS = 60.0
BIG = "x" * 200_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def serving(hub: Hub) -> AsyncIterator[int]:
    """A real server whose stream tells something big as often as the hub has news."""

    async def told() -> AsyncIterator[ServerSentEvent]:
        async for batches in hub.follow():
            yield ServerSentEvent(event="moves", data=f"{batches[-1].number} {BIG}")

    async def get(request: Request) -> Response:
        return stream.events(told())

    app = Starlette(routes=[Route("/", get)])
    config = uvicorn.Config(
        app, port=0, http=BoundedHeadProtocol, lifespan="off", log_config=None, ws="none"
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    await until(lambda: running.started)
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = True
    await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


async def test_who_never_reads_is_left_and_who_reads_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stream of the one ends by itself; the other still hears."""
    monkeypatch.setattr(stream, "SEND_SECONDS", 0.5)
    news = Fact("agent_messages", 0, 0, 0, "c-1", message("m-1", {"z": 1}))
    hub = Hub(lambda after, limit: Tail(Cursor("f", 0), (news,)), poll_seconds=0.001)
    async with serving(hub) as port:
        _, silent = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        silent.write(HEAD)
        await until(lambda: hub.lookers == 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        await until(lambda: hub.lookers == 2)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while hub.lookers == 2:
                await reader.read(65536)
            heard = await reader.read(65536)
        silent.close()
        writer.close()

    assert hub.lookers <= 1
    assert heard
