"""`POST /events` and `POST /leads`: answered once the broker has acknowledged the message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from signalbox.gateway.access import headers_of, needs
from signalbox.gateway.body import read_body
from signalbox.gateway.intake import DECISIVE_TYPES, Given, Message, event_of, lead_of
from signalbox.gateway.parts import parts_of
from signalbox.gateway.shapes import Published
from signalbox.topics import AGENT_MESSAGES, MAX_ADMITTED_BYTES

router: Final = APIRouter(tags=["messages"])
_Read = Callable[[bytes, Mapping[str, str], Given], Message]


@router.post("/events", status_code=202, responses={202: {"model": Published}})
async def post_event(request: Request) -> Response:
    """Send one message: a CloudEvents envelope, or a bare payload whose attributes are `ce-*` headers."""
    return await _taken(request, event_of)


@router.post("/leads", status_code=202, responses={202: {"model": Published}})
async def post_lead(request: Request) -> Response:
    """Send one lead as `lead.submitted`."""
    return await _taken(request, lead_of)


async def _taken(request: Request, read: _Read) -> Response:
    needs("send", request)
    parts = parts_of(request)
    body = await read_body(request, MAX_ADMITTED_BYTES)
    message = read(body, headers_of(request), parts.given())
    if message.type in DECISIVE_TYPES:
        needs("decide", request)
    await parts.publisher.publish(message.record(parts.topic(AGENT_MESSAGES)))
    return published(message)


def published(message: Message, **more: Any) -> Response:
    """Return the answer for a message that the broker has."""
    said = {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "status": "published",
        **more,
    }
    place = f"/conversations/{quote(message.conversation_id, safe='')}"
    return Response(orjson.dumps(said), 202, {"location": place}, "application/json")
