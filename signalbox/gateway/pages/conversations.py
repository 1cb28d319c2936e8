"""The conversations, the last spoken in first, and one of them as a timeline that grows while it goes on."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from signalbox.contracts.outcome import OutcomeStatus
from signalbox.contracts.record import MAX_ID_CHARS, to_epoch_ms
from signalbox.gateway.conversations import Identifier, conversation_json, row_json
from signalbox.gateway.decisions import explained
from signalbox.gateway.pages.dag import dag_of
from signalbox.gateway.pages.site import PREFIX, is_part, render, render_part
from signalbox.gateway.pages.timeline import entries_of
from signalbox.gateway.paging import Before, next_of, page_of
from signalbox.gateway.parts import Parts, parts_of
from signalbox.gateway.problems import NotFoundError
from signalbox.gateway.readmodel.queries import OPEN
from signalbox.gateway.routing import Reader
from signalbox.gateway.shapes import Status

router: Final = APIRouter(prefix=PREFIX, include_in_schema=False)
_ROWS: Final = 50
_STATUSES: Final = (OPEN, *get_args(OutcomeStatus))


@router.get("/conversations")
def get_conversations(
    request: Request,
    caller: Reader,
    before: Before = None,
    status: Annotated[Status | None, Query()] = None,
) -> Response:
    """List conversations."""
    model = parts_of(request).read_model
    rows = model.conversations(page_of(_ROWS, before), status=status)
    return render(
        request,
        "conversations_rows" if is_part(request) else "conversations",
        rows=[row_json(row) for row in rows],
        statuses=_STATUSES,
        wanted=status,
        before=before,
        following=next_of(len(rows), _ROWS, rows[-1]["last_ms"], rows[-1]["id"]) if rows else None,
    )


@router.get("/conversations/{conversation_id:path}")
def get_conversation(request: Request, caller: Reader, conversation_id: Identifier) -> Response:
    """Show one conversation; a part of the page where htmx asks for what is new."""
    parts = parts_of(request)
    facts = parts.read_model.facts(conversation_id)
    told = conversation_json(conversation_id, facts, parts.definitions, to_epoch_ms(parts.now()))
    return render(
        request,
        "conversation_body" if is_part(request) else "conversation",
        one=told,
        entries=entries_of(told),
        runs=_runs(told),
    )


@router.get("/decision")
def get_decision(
    request: Request,
    caller: Reader,
    message: Annotated[str, Query(max_length=MAX_ID_CHARS)],
    slot: Annotated[str, Query(max_length=MAX_ID_CHARS)],
) -> Response:
    """Explain one decision: a part of the conversation's page that is asked for when it is opened."""
    decision, detail = _explanation(parts_of(request), message, slot)
    return render_part(request, "decision", "Decision", decision=decision, detail=detail)


def _explanation(parts: Parts, message_id: str, slot: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found = explained(parts, message_id) or {"decisions": [], "details": []}
    decision = next((one for one in found["decisions"] if one["slot"] == slot), None)
    detail = next((one for one in found["details"] if one["slot"] == slot), None)
    if decision is None or detail is None:
        msg = f"no decision of slot {slot!r:.80} about {message_id!r:.100}"
        raise NotFoundError(msg, "load the page again")
    return decision, detail


def _runs(told: dict[str, Any]) -> list[tuple[dict[str, Any], Any]]:
    runs = [*told.get("earlier_workflows", ()), told["workflow"]]
    return [(run, dag_of(run["steps"])) for run in runs if run is not None]
