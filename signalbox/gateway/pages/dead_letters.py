"""Dead letters: what is open, by reason; one of them, raw and decoded, to be sent again as it is or mended, or put aside."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from signalbox.cli.dead_letters import Entry, Plan, entries_of, replay_of
from signalbox.contracts.dead_letter import DeadLetterReason
from signalbox.contracts.record import MAX_ID_CHARS
from signalbox.gateway.body import model_of
from signalbox.gateway.dead_letters import Place, letter_json, publish_mark, row_json, states_of
from signalbox.gateway.intake import object_in
from signalbox.gateway.pages.forms import read_form
from signalbox.gateway.pages.site import PREFIX, is_part, render, render_part
from signalbox.gateway.paging import Before, next_of, page_of
from signalbox.gateway.parts import parts_of
from signalbox.gateway.replays import entry_at, plan_of_all, plan_of_one, publish_all
from signalbox.gateway.routing import Decider, Reader
from signalbox.gateway.shapes import Discard, Replay, ReplayAll

router: Final = APIRouter(prefix=f"{PREFIX}/dead-letters", include_in_schema=False)
MAX_AT_ONCE: Final = 500
_ROWS: Final = 50


@router.get("")
def get_dead_letters(
    request: Request,
    caller: Reader,
    before: Before = None,
    reason: Annotated[DeadLetterReason | None, Query()] = None,
    conversation: Annotated[str | None, Query(max_length=MAX_ID_CHARS)] = None,
    dealt: Annotated[bool, Query(description="Also those replayed or discarded.")] = False,
) -> Response:
    """List dead letters, the newest first."""
    parts = parts_of(request)
    facts = parts.read_model.dead_letters(
        page_of(_ROWS, before), reason=reason, conversation=conversation, is_open=not dealt
    )
    entries = entries_of(facts)[::-1]
    states = states_of(parts, entries)
    last = entries[-1] if entries else None
    query = {"reason": reason, "conversation": conversation, "dealt": "1" if dealt else None}
    return render(
        request,
        "dead_letters_rows" if is_part(request) else "dead_letters",
        rows=[row_json(entry, states[entry.place]) for entry in entries],
        counts=parts.read_model.dead_letter_counts(is_open=not dealt),
        query=query,
        before=before,
        following=next_of(len(facts), _ROWS, last.at_ms, last.place) if last else None,
        at_once=MAX_AT_ONCE,
    )


@router.get("/{place}")
def get_dead_letter(request: Request, caller: Reader, place: Place) -> Response:
    """Show one; what became of it, as a part of the page."""
    parts = parts_of(request)
    letter = letter_json(parts, place)
    if is_part(request):
        return render(request, "dead_letter_state", letter=letter)
    editable = _editable(entry_at(parts, place), parts.now())
    return render(request, "dead_letter", letter=letter, editable=editable)


@router.post("/replay")
async def post_replay_all(request: Request, caller: Decider) -> Response:
    """Send all that are open of a reason once more, the oldest first."""
    parts = parts_of(request)
    fields = {**await read_form(request), "limit": MAX_AT_ONCE}
    plan = await asyncio.to_thread(plan_of_all, parts, model_of(ReplayAll, fields))
    await publish_all(parts, plan.messages)
    return _replayed(request, plan)


@router.post("/{place}/replay")
async def post_replay(request: Request, caller: Decider, place: Place) -> Response:
    """Send one once more: as it is, or with the attributes of the form."""
    parts = parts_of(request)
    text = (await read_form(request)).get("message")
    asked = Replay(message=None if text is None else object_in(text.encode()))
    plan = await asyncio.to_thread(plan_of_one, parts, place, asked)
    await publish_all(parts, plan.messages)
    return _replayed(request, plan)


@router.post("/{place}/discard")
async def post_discard(request: Request, caller: Decider, place: Place) -> Response:
    """Say that nobody will send it again."""
    asked = model_of(Discard, await read_form(request))
    await publish_mark(parts_of(request), place, asked, caller)
    return render_part(request, "dead_letter_discarded", "Dead letter")


def _replayed(request: Request, plan: Plan) -> Response:
    return render_part(request, "dead_letters_replayed", "Dead letters", **plan.as_json())


def _editable(entry: Entry, at: datetime) -> dict[str, Any]:
    """Return what a person may change of the message that a replay would send; of what is no message, what one must have."""
    replay = replay_of(entry.letter, (), at)
    if isinstance(replay, str):
        return {"type": "", "target": None, "data": {}}
    return {"type": replay.type, "target": replay.target, "data": replay.data}
