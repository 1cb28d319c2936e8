"""What the orchestrator says of itself on `agent_messages`: how runs of workflows end, and which agents come and go.

An event is an envelope like any other, with the source `orchestrator`, in a conversation of its own that is named after it. It is
only heard: subscribers get it, it starts nothing and is routed to nobody. Whoever may write to the topic can write one; so it may do
less than any other message, and what it says is no proof.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, StringConstraints

from signalbox.contracts.envelope import ORCHESTRATOR, Envelope
from signalbox.contracts.ids import EVENT_ID_PREFIX
from signalbox.contracts.outcome import OutcomeStatus
from signalbox.contracts.record import Identifier, Name, Record, Timestamp, from_epoch_ms

Notify = Literal["participants", "subscribers"]
"""Who is told that a run ended: whoever subscribes, or besides them every agent that took part."""

LifecycleKind = Literal["joined", "failed", "recovered", "left"]

LIFECYCLE_PREFIX: Final = "agent.lifecycle."
WORKFLOW_EVENTS: Final = frozenset(
    f"workflow.{status}" for status in get_args(OutcomeStatus) if status != "none"
)
EVENT_TYPES: Final = WORKFLOW_EVENTS | {
    f"{LIFECYCLE_PREFIX}{kind}" for kind in get_args(LifecycleKind)
}
"""Nobody else answers with these, and no workflow starts on them."""

MAX_PARTICIPANTS: Final = 600
"""A workflow has 200 steps, each with an agent, a judge, and one that undoes it."""
MAX_ERRORS: Final = 50


class RunError(Record):
    """What went wrong in a run: in a step, or where `step` is absent with the run as a whole."""

    step: Name | None = None
    detail: Annotated[str, StringConstraints(max_length=2000)]


class WorkflowEnded(Record):
    """The data of `workflow.<status>`: what `participants`, the agents that were given something, came to together.

    `result` is what the definition's `result` came to. At most 50 errors are listed.
    """

    workflow: Name
    conversation: Identifier
    status: OutcomeStatus
    notify: Notify
    participants: Annotated[tuple[Name, ...], Field(max_length=MAX_PARTICIPANTS)] = ()
    result: dict[str, Any] | None = None
    errors: Annotated[tuple[RunError, ...], Field(max_length=MAX_ERRORS)] = ()


class AgentLifecycle(Record):
    """The data of `agent.lifecycle.<kind>`: since when it is so, and the processes it is about, by their instance."""

    agent: Name
    instances: tuple[str, ...] = ()
    since: Timestamp


def is_event(message: Envelope) -> bool:
    """Say whether `message` is an event of the orchestrator, by its form; who wrote it nobody can tell."""
    return message.source == ORCHESTRATOR and (
        message.type in EVENT_TYPES
        and message.id == message.subject
        and message.id.startswith(EVENT_ID_PREFIX)
        and message.target is None
    )


def new_event(
    event_id: str, kind: str, data: WorkflowEnded | AgentLifecycle, now_ms: int, **more: Any
) -> Envelope:
    """Return the event `kind` under `event_id`, which follows from what happened, so that a repetition is a duplicate."""
    return Envelope(
        id=event_id,
        source=ORCHESTRATOR,
        type=kind,
        time=from_epoch_ms(now_ms),
        subject=event_id,
        data=data.model_dump(mode="json", exclude_none=True),
        **more,
    )
