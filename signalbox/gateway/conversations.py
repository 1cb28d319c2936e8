"""`GET /conversations` and `/conversations/{id}`: what was said, what was decided, how it ended. From the read model alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from signalbox.cli.facts import Fact
from signalbox.cli.run_facts import runs_of
from signalbox.cli.run_shape import shape_of
from signalbox.cli.trace import runs_json
from signalbox.cli.trace_view import as_json as trace_json
from signalbox.cli.trace_view import trace_of
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import MAX_ID_CHARS, Record, from_epoch_ms, rfc3339, to_epoch_ms
from signalbox.contracts.review import Review
from signalbox.gateway.definitions import Definitions
from signalbox.gateway.paging import Before, Limit, next_of, page_of
from signalbox.gateway.parts import parts_of
from signalbox.gateway.problems import NotFoundError
from signalbox.gateway.readmodel.queries import OPEN
from signalbox.gateway.routing import Reader, answer
from signalbox.gateway.shapes import Conversation, ConversationList, Status
from signalbox.topics import AGENT_MESSAGES

router: Final = APIRouter(tags=["conversations"])
Identifier = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARS)]


@router.get("/conversations", responses={200: {"model": ConversationList}})
def list_conversations(
    request: Request,
    caller: Reader,
    limit: Limit = 50,
    before: Before = None,
    status: Annotated[Status | None, Query(description="How it ended, or `open`.")] = None,
    events: Annotated[
        bool, Query(description="Also events of the orchestrator that nobody heard.")
    ] = False,
) -> Response:
    """List conversations, the one that was spoken in last first."""
    rows = parts_of(request).read_model.conversations(
        page_of(limit, before), status=status, events=events
    )
    following = next_of(len(rows), limit, rows[-1]["last_ms"], rows[-1]["id"]) if rows else None
    return answer({"conversations": [row_json(row) for row in rows], "next": following})


@router.get("/conversations/{conversation_id:path}", responses={200: {"model": Conversation}})
def get_conversation(request: Request, caller: Reader, conversation_id: Identifier) -> Response:
    """Return one conversation: messages, decisions, outcome (null while it goes on), and what `signalbox trace` shows."""
    parts = parts_of(request)
    facts = parts.read_model.facts(conversation_id)
    if not facts:
        msg = f"no record of a conversation {conversation_id!r:.100}"
        raise NotFoundError(msg, "/conversations lists them; a message is there once it was read")
    now_ms = to_epoch_ms(parts.now())
    return answer(conversation_json(conversation_id, facts, parts.definitions, now_ms))


def row_json(row: dict[str, Any]) -> dict[str, Any]:
    """Write a row of the read model."""
    return {
        "conversation_id": row["id"],
        "type": row["began_type"],
        "status": row["status"] or OPEN,
        "last_agent": row["last_agent"],
        "started_at": _moment(row["first_ms"]),
        "last_at": _moment(row["last_ms"]),
        "ended_at": None if row["ended_ms"] is None else _moment(row["ended_ms"]),
        **{name: row[name] for name in ("messages", "decisions", "reviews", "dead_letters")},
    }


def conversation_json(
    conversation_id: str, facts: Sequence[Fact], definitions: Definitions, now_ms: int
) -> dict[str, Any]:
    """Write all that is known of a conversation; `now_ms` says which steps of an open workflow are past their deadline."""
    said = [fact.body for fact in facts if fact.topic == AGENT_MESSAGES]
    outcomes = _records(facts, Outcome)
    trace = trace_of(conversation_id, facts)
    told = {"steps": []} if trace is None else trace_json(trace)
    return {
        "conversation_id": conversation_id,
        "status": outcomes[-1]["status"] if outcomes else OPEN,
        "messages": [_record(body) for body in said if isinstance(body, Envelope)],
        "decisions": _records(facts, Decision),
        "outcome": outcomes[-1] if outcomes else None,
        "outcomes": outcomes,
        "reviews": _records(facts, Review),
        "dead_letters": _records(facts, DeadLetter),
        "timeline": told["steps"],
        **_workflows(conversation_id, facts, definitions, now_ms),
    }


def _workflows(
    conversation_id: str, facts: Sequence[Fact], definitions: Definitions, now_ms: int
) -> dict[str, Any]:
    runs = runs_of(conversation_id, facts)
    if not runs:
        return runs_json((), now_ms=now_ms)
    versions = definitions.history()
    shaped = []
    for run in runs:
        found = (versions.set_of(run.digest), versions.active)
        defined = (one.workflows.get(run.name or "") for one in found if one is not None)
        shaped.append((run, shape_of(run, next((o for o in defined if o is not None), None))))
    told = runs_json(shaped, now_ms=now_ms)
    # How long its runs usually take, the runs of every conversation say; these are the facts of one.
    told["workflow"].pop("usual", None)
    return told


def _records(facts: Sequence[Fact], kind: type[Record]) -> list[dict[str, Any]]:
    return [_record(fact.body) for fact in facts if isinstance(fact.body, kind)]


def _record(record: Record) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude_none=True)


def _moment(at_ms: int) -> str:
    return rfc3339(from_epoch_ms(at_ms))
