"""`/ui/stream`: tells a page that what it shows has changed, as server-sent events; the page then asks for what is new."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from signalbox.cli.facts import Fact
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.record import MAX_ID_CHARS
from signalbox.contracts.review import Review
from signalbox.gateway.pages.hub import Hub
from signalbox.gateway.routing import Reader
from signalbox.topics import AGENT_MESSAGES

router: Final = APIRouter(include_in_schema=False)
PING_SECONDS: Final = 15
SEND_SECONDS: Final = 10.0
"""Whoever does not read for so long is left."""

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
    concerns = _of_conversation(conversation) if conversation else _OF_TOPIC[topic]
    return events(_changes(hub, concerns))


async def _changes(hub: Hub, concerns: Callable[[Fact], bool]) -> AsyncIterator[ServerSentEvent]:
    # What came between the page and its stream is missed by nobody.
    yield ServerSentEvent(event="changed", data="0")
    async for batches in hub.follow():
        if any(batch.left_out or any(map(concerns, batch.facts)) for batch in batches):
            yield ServerSentEvent(event="changed", data=str(batches[-1].number))


def _of_conversation(conversation: str) -> Callable[[Fact], bool]:
    return lambda fact: fact.conversation_id == conversation


_OF_TOPIC: Final[dict[Topic, Callable[[Fact], bool]]] = {
    # An answer to a review is a message, and so is a replay of a dead letter.
    "reviews": lambda fact: isinstance(fact.body, Review) or fact.topic == AGENT_MESSAGES,
    "dead_letters": lambda fact: isinstance(fact.body, DeadLetter) or fact.topic == AGENT_MESSAGES,
    "conversations": lambda fact: True,
}
