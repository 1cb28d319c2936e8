"""`GET /reviews` and `POST /reviews/{name}`: what waits for a person, and the person's answer."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from signalbox.cli.inbox import Item, found_by, items_of
from signalbox.cli.inbox_answer import Answer, answer_to
from signalbox.contracts.envelope import REVIEW_RESOLVED
from signalbox.contracts.record import to_epoch_ms
from signalbox.gateway.access import Caller
from signalbox.gateway.body import read_model, takes
from signalbox.gateway.conversations import Identifier
from signalbox.gateway.events import published
from signalbox.gateway.intake import Message, message_of
from signalbox.gateway.paging import Limit
from signalbox.gateway.parts import Parts, parts_of
from signalbox.gateway.problems import ConflictError, NotFoundError
from signalbox.gateway.routing import Decider, Reader, answer
from signalbox.gateway.shapes import Decided, Published, ReviewList
from signalbox.topics import AGENT_MESSAGES

router: Final = APIRouter(tags=["reviews"])
MAX_PERSON_CHARS: Final = 200


@router.get("/reviews", responses={200: {"model": ReviewList}})
def list_reviews(request: Request, caller: Reader, limit: Limit = 100) -> Response:
    """List what waits for a person, the oldest first: messages nobody could be chosen for, and steps of workflows."""
    return answer({"reviews": [item_json(item) for item in open_items(parts_of(request), limit)]})


@router.post(
    "/reviews/{name:path}",
    status_code=202,
    responses={202: {"model": Published}},
    openapi_extra=takes(Decided),
)
async def decide_review(request: Request, caller: Decider, name: Identifier) -> Response:
    """Answer what waits under a token, a message's id or a conversation: agree, refuse, or give a message to an agent.

    With `data` the agent is given that in place of what was asked about.
    """
    parts = parts_of(request)
    decided = await read_model(request, Decided)
    message = await asyncio.to_thread(resolution, parts, name, decided, caller)
    await parts.publisher.publish(message.record(parts.topic(AGENT_MESSAGES)))
    return published(message)


def open_items(parts: Parts, limit: int) -> list[Item]:
    """Return at most `limit` open questions, the oldest first."""
    now_ms = to_epoch_ms(parts.now())
    found: list[Item] = []
    after = (-1, "")
    # Those that were answered meanwhile are among them: so many conversations may have fewer questions.
    while len(found) < limit and (
        asked := parts.read_model.asked(now_ms, limit - len(found), after)
    ):
        after = asked[-1]
        for _, conversation in asked:
            facts = parts.read_model.facts(conversation)
            found += [item for item in items_of(facts, now_ms) if item.closed is None]
    return sorted(found, key=lambda item: item.review.opened_at)[:limit]


def item_json(item: Item) -> dict[str, Any]:
    """Write an item: by what it is answered, and what `signalbox approvals list --json` says of it."""
    return {"name": item.name, **item.as_json()}


def named_by(person: str | None, caller: Caller) -> str:
    """Return who a record says has decided: a key's name is always in it, because a body may say anything."""
    if person is None:
        return caller.name if caller.has_key else "gateway"
    key = f" ({caller.name})" if caller.has_key else ""
    # A long name must not push the key's out.
    return person[: MAX_PERSON_CHARS - len(key)] + key


def resolution(parts: Parts, name: str, decided: Decided, caller: Caller) -> Message:
    """Return the message that answers what waits under a name.

    Raises:
        NotFoundError: nothing waits, or waited, under it.
        ConflictError: it is not open any more, or several things wait.
        UsageError: the answer cannot be.
    """
    item = _open_item(parts, name)
    active = parts.definitions.view().state.active
    said = {
        "comment": decided.comment,
        "resolved_by": named_by(decided.resolved_by, caller),
    }
    data = {
        **answer_to(item, Answer(decided.decision, decided.agent, decided.data), active),
        **{key: value for key, value in said.items() if value},
    }
    attributes = {"type": REVIEW_RESOLVED, "subject": item.review.conversation_id, "data": data}
    return message_of(attributes, parts.given())


def items_named(parts: Parts, name: str) -> tuple[Item, ...]:
    """Return what waits, or waited, under a name: a token, a message's id or a conversation.

    Raises:
        NotFoundError: nothing does.
    """
    conversation = parts.read_model.conversation_asked(name) or name
    facts = parts.read_model.facts(conversation)
    found = found_by(name, items_of(facts, to_epoch_ms(parts.now())))
    if not found:
        msg = f"nothing waits, or waited, under {name!r:.100}"
        raise NotFoundError(msg, "/reviews lists it")
    return found


def _open_item(parts: Parts, name: str) -> Item:
    found = items_named(parts, name)
    if found[-1].closed is not None:
        last = found[-1]
        msg = f"{last.what} is not open any more; {last.closed}"
        raise ConflictError(msg, "/reviews lists what is open")
    if len(found) > 1:
        names = ", ".join(f"{item.name} ({item.what})" for item in found)
        msg = f"{len(found)} things wait in {name!r:.100}: {names}"
        raise ConflictError(msg, "say which")
    return found[0]
