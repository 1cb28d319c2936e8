"""`/ui/stream`: tells a page that what it shows has changed, as server-sent events; the page then asks for what is new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from signalbox.cli.facts import Fact
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.record import MAX_ID_CHARS
from signalbox.contracts.review import Review
from signalbox.gateway.access import still
from signalbox.gateway.pages.hub import Hub
from signalbox.gateway.parts import parts_of
from signalbox.gateway.routing import Reader
from signalbox.topics import AGENT_MESSAGES

router: Final = APIRouter(include_in_schema=False)
PING_SECONDS: Final = 15
SEND_SECONDS: Final = 10.0
"""Whoever does not read for so long is left."""
CONVERSATION_SECONDS: Final = 0.2
LIST_SECONDS: Final = 1.0
"""How long a page that was told of a change is left alone: it asks for a part of itself each time."""

LOOK_SECONDS: Final = 1.0
"""How often a stream looks whether its reader may still have it."""

Topic = Literal["reviews", "dead_letters", "conversations"]


def hub_of(request: Request) -> Hub:
    """Return the hub of the application that serves a request."""
    return cast("Hub", request.app.state.hub)


def events(told: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """Return an answer that goes on as long as somebody reads it."""
    return EventSourceResponse(
        told,
        ping=PING_SECONDS,
        send_timeout=SEND_SECONDS,
        headers={"x-accel-buffering": "no"},
    )


def still_reads(request: Request) -> Callable[[], bool]:
    """Return what says whether a request's caller may still read."""
    access = parts_of(request).access
    return lambda: still("read", request, access)


async def allowed(
    told: AsyncIterator[ServerSentEvent], may: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    """Pass on what is told while `may` says so, asked at each event and every second: a key that is revoked ends a stream."""
    upcoming = _upcoming(told)
    try:
        while may():
            done, _ = await asyncio.wait({upcoming}, timeout=LOOK_SECONDS)
            if not done:
                continue
            event = upcoming.result()
            if event is None or not may():
                return
            yield event
            upcoming = _upcoming(told)
    finally:
        upcoming.cancel()


def _upcoming(told: AsyncIterator[ServerSentEvent]) -> asyncio.Task[ServerSentEvent | None]:
    async def take() -> ServerSentEvent | None:
        return await anext(told, None)

    return asyncio.create_task(take())


@router.get("/ui/stream")
async def get_stream(
    request: Request,
    caller: Reader,
    conversation: Annotated[str | None, Query(max_length=MAX_ID_CHARS)] = None,
    topic: Topic = "conversations",
) -> EventSourceResponse:
    """Say `changed` when there is something new of a conversation, or of a topic."""
    hub = hub_of(request)
    hub.require_room()
    if conversation:
        told = _changes(hub, _of_conversation(conversation), CONVERSATION_SECONDS)
    else:
        told = _changes(hub, _OF_TOPIC[topic], LIST_SECONDS)
    return events(allowed(told, still_reads(request)))


async def _changes(
    hub: Hub, concerns: Callable[[Fact], bool], pause_seconds: float
) -> AsyncIterator[ServerSentEvent]:
    async for batches in hub.follow(tells_begin=True):
        if not batches:
            # What came between the page and its stream is missed by nobody.
            yield ServerSentEvent(event="changed", data="0")
        elif any(batch.left_out or any(map(concerns, batch.facts)) for batch in batches):
            yield ServerSentEvent(event="changed", data=str(batches[-1].number))
            # What comes meanwhile is told then. A page that let events pass would miss the last one.
            await asyncio.sleep(pause_seconds)


def _of_conversation(conversation: str) -> Callable[[Fact], bool]:
    return lambda fact: fact.conversation_id == conversation


_OF_TOPIC: Final[dict[Topic, Callable[[Fact], bool]]] = {
    # An answer to a review is a message, and so is a replay of a dead letter.
    "reviews": lambda fact: isinstance(fact.body, Review) or fact.topic == AGENT_MESSAGES,
    "dead_letters": lambda fact: isinstance(fact.body, DeadLetter) or fact.topic == AGENT_MESSAGES,
    "conversations": lambda fact: True,
}
