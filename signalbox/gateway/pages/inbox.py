"""The inbox: what waits for a person, each with what is to be decided and a form for the answer; answers as labelled rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from signalbox.cli.inbox import Item
from signalbox.cli.labels import choices_of, row_of
from signalbox.contracts.decision import NONE
from signalbox.contracts.record import to_epoch_ms
from signalbox.gateway.body import model_of
from signalbox.gateway.conversations import Identifier
from signalbox.gateway.intake import object_in
from signalbox.gateway.pages.forms import read_form
from signalbox.gateway.pages.site import PREFIX, is_part, pretty, render, render_part
from signalbox.gateway.parts import Parts, parts_of
from signalbox.gateway.problems import ConflictError
from signalbox.gateway.reviews import item_json, items_named, open_items, resolution
from signalbox.gateway.routing import Decider, Reader
from signalbox.gateway.shapes import Decided
from signalbox.topics import AGENT_MESSAGES

router: Final = APIRouter(prefix=f"{PREFIX}/inbox", include_in_schema=False)
MAX_EDITED_BYTES: Final = 64 * 1024
"""Larger data, written for a person, cannot be edited on the page: the form has it whether or not anybody did, and has limits."""
_ROWS: Final = 100


@router.get("")
def get_inbox(request: Request, caller: Reader) -> Response:
    """List what waits, the oldest first."""
    parts = parts_of(request)
    items = open_items(parts, _ROWS)
    return render(
        request,
        "inbox_rows" if is_part(request) else "inbox",
        items=[_shown(item, parts) for item in items],
        is_cut=len(items) == _ROWS,
    )


@router.get("/labels.jsonl")
def get_labels(request: Request, caller: Reader) -> Response:
    """Return what people chose so far as a file of rows that `signalbox eval --messages` takes."""
    parts = parts_of(request)
    return StreamingResponse(
        _labels(parts, parts.read_model.reviewed()),
        media_type="application/x-ndjson",
        headers={
            "content-disposition": 'attachment; filename="labels.jsonl"',
            "cache-control": "no-store",
        },
    )


@router.get("/items/{name:path}")
def get_item(request: Request, caller: Reader, name: Identifier) -> Response:
    """Show one question; whether it is still open, as a part of the page."""
    parts = parts_of(request)
    item = _item(parts, name)
    if is_part(request):
        return render(request, "inbox_state", item=_shown(item, parts))
    accepting = [one.agent for one in item.review.candidates if one.accepted]
    active = parts.definitions.view().state.active.agents
    return render(
        request,
        "inbox_item",
        item=_shown(item, parts),
        editable=_editable(item),
        accepting=[name for name in accepting if name in active],
        others=sorted(active.keys() - set(accepting)),
    )


@router.post("/items/{name:path}")
async def post_item(request: Request, caller: Decider, name: Identifier) -> Response:
    """Answer one question, and say so."""
    parts = parts_of(request)
    fields: dict[str, Any] = dict(await read_form(request))
    if "data" in fields:
        fields["data"] = await asyncio.to_thread(_edited, parts, name, fields["data"])
    # Of a message a person says who gets it, and nobody is a choice like any other.
    if fields.get("agent") == NONE:
        fields = {**fields, "decision": "reject"}
        del fields["agent"]
    decided = model_of(Decided, {"decision": "approve", **fields})
    message = await asyncio.to_thread(resolution, parts, name, decided, caller)
    await parts.publisher.publish(message.record(parts.topic(AGENT_MESSAGES)))
    return render_part(
        request,
        "inbox_answered",
        "Inbox",
        decided=decided,
        conversation_id=message.conversation_id,
    )


def _editable(item: Item) -> str | None:
    text = pretty(item.review.message.data)
    return text if len(text.encode()) <= MAX_EDITED_BYTES else None


def _edited(parts: Parts, name: str, text: str) -> dict[str, Any] | None:
    """Return what the form's data says; None where it says what was asked about."""
    data = object_in(text.encode())
    return None if data == _item(parts, name).review.message.data else data


def _item(parts: Parts, name: str) -> Item:
    found = items_named(parts, name)
    if len(found) > 1:
        msg = f"{len(found)} things wait, or waited, in {name!r:.100}"
        raise ConflictError(msg, "open one of them from the inbox")
    return found[0]


def _shown(item: Item, parts: Parts) -> dict[str, Any]:
    return {
        **item_json(item),
        "what": item.what,
        "type": item.review.message.type,
        "source": item.review.message.source,
        "due": item.due(to_epoch_ms(parts.now())),
        "closed": item.closed,
    }


def _labels(parts: Parts, conversations: tuple[str, ...]) -> Iterator[bytes]:
    for conversation in conversations:
        for choice in choices_of(parts.read_model.facts(conversation))[0]:
            yield orjson.dumps(row_of(choice)) + b"\n"
