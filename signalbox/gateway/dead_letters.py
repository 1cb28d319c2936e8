"""Dead letters over HTTP: list them, look at one, send it again as it is or mended, or say that it is done with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from connectors.broker import OutgoingRecord
from signalbox.cli.dead_letters import (
    Entry,
    entries_of,
    first_replay,
    raw_value,
    state_of,
)
from signalbox.contracts.dead_letter import DeadLetter, DeadLetterReason
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.contracts.record import MAX_ID_CHARS
from signalbox.gateway.access import Caller
from signalbox.gateway.body import read_model, takes
from signalbox.gateway.paging import Before, Limit, next_of, page_of
from signalbox.gateway.parts import Parts, parts_of
from signalbox.gateway.replays import entry_at, plan_of_all, plan_of_one, publish_all
from signalbox.gateway.reviews import named_by
from signalbox.gateway.routing import Decider, Reader, answer
from signalbox.gateway.shapes import (
    DeadLetterList,
    DeadLetterView,
    Discard,
    Published,
    Replay,
    ReplayAll,
    Replayed,
)
from signalbox.routing.admit import MAX_DEPTH, is_deeper_than
from signalbox.topics import DEAD_LETTER_MARKS

router: Final = APIRouter(prefix="/dead-letters", tags=["dead letters"])
Place = Annotated[
    str, Path(pattern=r"^\d{1,9}:\d{1,18}$", description="`partition:offset` of its topic.")
]


@router.get("", responses={200: {"model": DeadLetterList}})
def list_dead_letters(
    request: Request,
    caller: Reader,
    limit: Limit = 50,
    before: Before = None,
    reason: DeadLetterReason | None = None,
    conversation: Annotated[str | None, Query(max_length=MAX_ID_CHARS)] = None,
) -> Response:
    """List dead letters, the newest first, without their values; and how many there are of each reason."""
    model = parts_of(request).read_model
    facts = model.dead_letters(page_of(limit, before), reason=reason, conversation=conversation)
    entries = entries_of(facts)[::-1]
    states = states_of(parts_of(request), entries)
    last = entries[-1] if entries else None
    return answer(
        {
            "dead_letters": [row_json(entry, states[entry.place]) for entry in entries],
            "by_reason": model.dead_letter_counts(),
            "next": next_of(len(facts), limit, last.at_ms, last.place) if last else None,
        }
    )


@router.get("/{place}", responses={200: {"model": DeadLetterView}})
def get_dead_letter(request: Request, caller: Reader, place: Place) -> Response:
    """Return one dead letter with its value, raw and decoded."""
    return answer(letter_json(parts_of(request), place))


@router.post(
    "/replay", status_code=202, responses={202: {"model": Replayed}}, openapi_extra=takes(ReplayAll)
)
async def replay_all(request: Request, caller: Decider) -> Response:
    """Send all of a reason once more that were not replayed or discarded, the oldest first."""
    parts = parts_of(request)
    asked = await read_model(request, ReplayAll)
    plan = await asyncio.to_thread(plan_of_all, parts, asked)
    await publish_all(parts, plan.messages)
    return answer(plan.as_json(), 202)


@router.post(
    "/{place}/replay",
    status_code=202,
    responses={202: {"model": Replayed}},
    openapi_extra=takes(Replay),
)
async def replay_one(request: Request, caller: Decider, place: Place) -> Response:
    """Send one once more: a new id, its cause the original's. With `message`, mended; the dead letter keeps the original."""
    parts = parts_of(request)
    asked = await read_model(request, Replay)
    plan = await asyncio.to_thread(plan_of_one, parts, place, asked)
    await publish_all(parts, plan.messages)
    return answer(plan.as_json(), 202)


@router.post(
    "/{place}/discard",
    status_code=202,
    responses={202: {"model": Published}},
    openapi_extra=takes(Discard),
)
async def discard(request: Request, caller: Decider, place: Place) -> Response:
    """Say that nobody will send it again. It stays on its topic, and can still be replayed by its place."""
    parts = parts_of(request)
    asked = await read_model(request, Discard)
    entry = await publish_mark(parts, place, asked, caller)
    conversation = entry.letter.conversation_id or entry.letter.key or ""
    return answer({"id": entry.place, "conversation_id": conversation, "status": "published"}, 202)


async def publish_mark(parts: Parts, place: str, asked: Discard, caller: Caller) -> Entry:
    """Write that a dead letter is done with, and return it.

    Raises:
        NotFoundError: there is none at the place; and what the publisher raises.
    """
    entry = await asyncio.to_thread(entry_at, parts, place)
    mark = DeadLetterMark(
        # Not as the path has it: `00:7` is `0:7`.
        place=entry.place,
        status="discarded",
        note=asked.note,
        by=named_by(asked.discarded_by, caller),
        at=parts.now(),
    )
    topic = parts.topic(DEAD_LETTER_MARKS)
    await parts.publisher.publish(OutgoingRecord(topic, entry.place.encode(), mark.to_json()))
    return entry


def letter_json(parts: Parts, place: str) -> dict[str, Any]:
    """Write one dead letter with its value, raw and decoded, and what became of it.

    Raises:
        NotFoundError: there is none at the place.
    """
    entry = entry_at(parts, place)
    mark = parts.read_model.marks([entry.place]).get(entry.place)
    return {
        **row_json(entry, states_of(parts, [entry])[entry.place]),
        "value": entry.letter.value,
        "value_base64": entry.letter.value_base64,
        "decoded": _decoded(entry.letter),
        "discarded": None if mark is None else mark.model_dump(mode="json"),
    }


def states_of(parts: Parts, entries: Sequence[Entry]) -> dict[str, str]:
    """Return what became of each, by place."""
    known = parts.read_model.knows([first_replay(entry) for entry in entries])
    marks = parts.read_model.marks([entry.place for entry in entries])
    return {entry.place: state_of(entry, known, marks) for entry in entries}


def row_json(entry: Entry, state: str) -> dict[str, Any]:
    """Write one without its value."""
    record = entry.letter.model_dump(mode="json", exclude_none=True)
    told = {key: value for key, value in record.items() if not key.startswith("value")}
    return {"place": entry.place, "state": state, **told}


def _decoded(letter: DeadLetter) -> Any:
    raw = raw_value(letter)
    if is_deeper_than(raw, MAX_DEPTH):
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
