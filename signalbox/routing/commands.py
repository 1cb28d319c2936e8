"""Commands: everything the reducer asks for. Whoever runs it carries them out in order and feeds the results back as ticks."""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.contracts.chat import ChatRequest
from signalbox.contracts.control import Pause
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review
from signalbox.metric_names import JobMetric


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Write `task` to the topic of `agent` (`topics.agent_tasks(agent)`); key = task.subject."""

    agent: str
    task: Envelope


@dataclass(frozen=True, slots=True)
class RecordDecision:
    """Write to `agent_decisions`."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class EmitOutcome:
    """Write to `agent_outcomes`."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class EmitDeadLetter:
    """Write to `agent_messages_dlq`."""

    dead_letter: DeadLetter


@dataclass(frozen=True, slots=True)
class EmitReview:
    """Write to `agent_review`."""

    review: Review


@dataclass(frozen=True, slots=True)
class AskModel:
    """Ask the model for `sequence`, not before `not_before_ms`; answer with ModelAnswered or ModelFailed.

    At most one call per conversation is open. The message is in `pending` under `sequence` until DropPending.
    """

    sequence: int
    request: ChatRequest
    priority: int
    not_before_ms: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class StorePending:
    """Keep `message` under `sequence` in durable state: it waits for a model, its turn, a person or definitions."""

    sequence: int
    message: Envelope


@dataclass(frozen=True, slots=True)
class DropPending:
    """Forget the message kept under `sequence`."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Fetch the message under `sequence` and reduce MessageReady with it, at once, before any other tick of this conversation."""

    sequence: int


@dataclass(frozen=True, slots=True)
class SetPaused:
    """Write to `agent_control`: from now on an agent rests, or works again."""

    pause: Pause


@dataclass(frozen=True, slots=True)
class PublishEvent:
    """Write `event` to `agent_messages`, where it comes back as a message of a conversation of its own."""

    event: Envelope


@dataclass(frozen=True, slots=True)
class StoreResult:
    """Keep `message` under `sequence` among the results of the conversation's workflow: read by number, never looked through."""

    sequence: int
    message: Envelope


@dataclass(frozen=True, slots=True)
class DropResults:
    """Forget the results kept under `sequences`: the workflow's episode is over."""

    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """Fetch the results under `sequences` and reduce Recalled with them, at once, before any other tick of this conversation."""

    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """Add one to the metric `name` (see metric_names.py)."""

    name: JobMetric


Command = (
    Dispatch
    | RecordDecision
    | EmitOutcome
    | EmitDeadLetter
    | EmitReview
    | AskModel
    | StorePending
    | DropPending
    | Resume
    | SetPaused
    | PublishEvent
    | StoreResult
    | DropResults
    | Recall
    | Count
)
