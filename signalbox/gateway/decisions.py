"""`GET /decisions/{id}`: why a message went where it went, as `signalbox explain --json` says it."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from signalbox.cli.explain_details import details_of
from signalbox.cli.explain_view import as_json, explanation_of
from signalbox.gateway.conversations import Identifier
from signalbox.gateway.parts import Parts, parts_of
from signalbox.gateway.problems import NotFoundError
from signalbox.gateway.routing import Reader, answer
from signalbox.gateway.shapes import Explanation

router: Final = APIRouter(tags=["conversations"])


@router.get("/decisions/{message_id:path}", responses={200: {"model": Explanation}})
def get_decision(request: Request, caller: Reader, message_id: Identifier) -> Response:
    """Explain the decisions about a message, by its id or the id of a task that was made of it."""
    found = explained(parts_of(request), message_id)
    if found is None:
        msg = f"no record of a message {message_id!r:.100}"
        raise NotFoundError(msg, "/conversations/{id} has the ids of its messages")
    return answer(found)


def explained(parts: Parts, message_id: str) -> dict[str, Any] | None:
    """Return the explanation; None where no topic knows the message."""
    model = parts.read_model
    facts = tuple(fact for name in model.conversations_of(message_id) for fact in model.facts(name))
    found = explanation_of(message_id, facts)
    if found is None:
        return None
    details = details_of(
        found, facts, parts.definitions.history(), record_of_agent=model.track_record
    )
    return {**as_json(found), "details": [one.as_json() for one in details]}
