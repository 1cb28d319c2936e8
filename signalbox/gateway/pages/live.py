"""The live page: agents and topics as a picture in which messages move, and what is in flight, waiting and dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final, cast

import orjson
import structlog
from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from signalbox.gateway.pages.graph import graph_of
from signalbox.gateway.pages.hub import MAX_FACTS, Hub
from signalbox.gateway.pages.levels import KEPT_SECONDS, Levels
from signalbox.gateway.pages.moves import moves_of, types_of
from signalbox.gateway.pages.site import PREFIX, is_part, render
from signalbox.gateway.pages.stream import allowed, events, hub_of, still_reads
from signalbox.gateway.readmodel.queries import NotReadyError
from signalbox.gateway.routing import Reader

_log: Any = structlog.get_logger()
router: Final = APIRouter(prefix=f"{PREFIX}/live", include_in_schema=False)


def levels_of(request: Request) -> Levels:
    """Return the levels of the application that serves a request."""
    return cast("Levels", request.app.state.levels)


@router.get("")
def get_live(request: Request, caller: Reader) -> Response:
    """Show the picture; only itself where htmx asks for it anew, because agents came or went."""
    levels = levels_of(request).get()
    busy = {one["name"]: one["active"] + one["waiting"] for one in levels["agents"]}
    return render(
        request,
        "live_graph" if is_part(request) else "live",
        graph=graph_of(list(busy), busy),
        levels=levels,
        by_name={one["name"]: one for one in levels["agents"]},
    )


@router.get("/stream")
async def get_live_stream(request: Request, caller: Reader) -> EventSourceResponse:
    """Tell what moves as it moves (`moves`), and the levels every two seconds (`levels`)."""
    hub = hub_of(request)
    hub.require_room()
    return events(allowed(_told(hub, levels_of(request)), still_reads(request)))


async def _told(hub: Hub, levels: Levels) -> AsyncIterator[ServerSentEvent]:
    """Merge moves and levels: whichever comes first. Where one of them ends or fails it ends, and the browser comes again."""
    queue: asyncio.Queue[ServerSentEvent | None] = asyncio.Queue(maxsize=1)
    tasks = [asyncio.create_task(_pump(one, queue)) for one in (_moves(hub), _levels(levels))]
    try:
        while (event := await queue.get()) is not None:
            yield event
    finally:
        for task in tasks:
            task.cancel()


async def _pump(
    told: AsyncIterator[ServerSentEvent], queue: asyncio.Queue[ServerSentEvent | None]
) -> None:
    try:
        async for event in told:
            await queue.put(event)
    except Exception as error:
        _log.exception("live.ended", detail=repr(error))
    await queue.put(None)


async def _moves(hub: Hub) -> AsyncIterator[ServerSentEvent]:
    # A decision is often learnt a moment after its message.
    types: dict[str, str] = {}
    async for batches in hub.follow():
        facts = [fact for batch in batches for fact in batch.facts]
        types = {
            **dict(islice(types.items(), max(0, len(types) - MAX_FACTS), None)),
            **types_of(facts),
        }
        moves = moves_of(facts, types, sum(batch.left_out for batch in batches))
        yield _event("moves", moves.as_json())


async def _levels(levels: Levels) -> AsyncIterator[ServerSentEvent]:
    while True:
        # While the read model is made anew the page shows what it knew.
        with suppress(NotReadyError):
            yield _event("levels", await asyncio.to_thread(levels.get))
        await asyncio.sleep(KEPT_SECONDS)


def _event(name: str, value: Any) -> ServerSentEvent:
    return ServerSentEvent(event=name, data=orjson.dumps(value).decode())
