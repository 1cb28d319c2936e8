"""A task given to an agent: its envelope, what it costs the episode, and that it is open until it is answered."""

from __future__ import annotations

from typing import Any

from signalbox.contracts.envelope import ORCHESTRATOR, TASK_ASSIGNED, Envelope
from signalbox.contracts.ids import dispatch_id
from signalbox.contracts.record import from_epoch_ms
from signalbox.routing.commands import Dispatch
from signalbox.routing.state import OpenDispatch
from signalbox.routing.turn import Turn


def send_task(
    turn: Turn,
    cause: Envelope,
    agent: str,
    slot: str,
    data: dict[str, Any],
    *,
    task_seconds: float,
    definitions: str,
    **changed: Any,
) -> str:
    """Dispatch `data` to `agent` and return the task's id, which follows from `cause` and `slot` alone.

    Args:
        turn: the turn; a hop is spent.
        cause: the message that gives rise to the task; its priority, trace and own attributes go on.
        agent: who gets it. Guards and contracts were asked before.
        slot: which of the tasks that `cause` gives rise to it is.
        data: the payload.
        task_seconds: how long the agent may be silent; never past the episode's deadline.
        definitions: digest of the definitions that decided.
        changed: attributes that differ from those that follow from `cause`.
    """
    deadline_ms = task_deadline_ms(turn, task_seconds)
    task = new_task(
        turn, cause, agent, slot, data, deadline_ms=deadline_ms, definitions=definitions, **changed
    )
    turn.evolve(
        hops=turn.state.hops + 1,
        last_agent=agent,
        open={**turn.state.open, task.id: OpenDispatch(agent, deadline_ms)},
    )
    turn.emit(Dispatch(agent, task))
    return task.id


def task_deadline_ms(turn: Turn, task_seconds: float) -> int:
    """Return when a task given now is over, ms since 1970: never past the episode."""
    return min(turn.state.deadline_ms, turn.now_ms + int(task_seconds * 1000))


def new_task(
    turn: Turn,
    cause: Envelope,
    agent: str,
    slot: str,
    data: dict[str, Any],
    *,
    deadline_ms: int,
    definitions: str,
    **changed: Any,
) -> Envelope:
    """Return the envelope of a task; nothing of the turn changes.

    `deadline_ms` is when it is over; `changed` are attributes that differ from those that follow from `cause`.
    """
    attributes = {
        **(cause.model_extra or {}),
        "traceparent": cause.traceparent,
        "priority": cause.priority,
        **changed,
    }
    return Envelope(
        **attributes,
        id=dispatch_id(cause.id, slot),
        source=ORCHESTRATOR,
        type=TASK_ASSIGNED,
        time=from_epoch_ms(turn.now_ms),
        subject=turn.state.id,
        correlationid=cause.correlationid or cause.id,
        causationid=cause.id,
        target=agent,
        hop=turn.state.hops + 1,
        definitions=definitions,
        deadline=from_epoch_ms(deadline_ms),
        data=data,
    )
