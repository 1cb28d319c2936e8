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
    """
    state = turn.state
    deadline_ms = min(state.deadline_ms, turn.now_ms + int(task_seconds * 1000))
    task = Envelope(
        **(cause.model_extra or {}),
        id=dispatch_id(cause.id, slot),
        source=ORCHESTRATOR,
        type=TASK_ASSIGNED,
        time=from_epoch_ms(turn.now_ms),
        subject=state.id,
        correlationid=cause.correlationid or cause.id,
        causationid=cause.id,
        traceparent=cause.traceparent,
        priority=cause.priority,
        target=agent,
        hop=state.hops + 1,
        definitions=definitions,
        deadline=from_epoch_ms(deadline_ms),
        data=data,
    )
    turn.evolve(
        hops=state.hops + 1,
        last_agent=agent,
        open={**state.open, task.id: OpenDispatch(agent, deadline_ms)},
    )
    turn.emit(Dispatch(agent, task))
    return task.id
