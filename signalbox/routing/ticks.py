"""Ticks: everything the reducer sees. A tick about a parked message carries it, because state holds only its number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was read, for its dead letter."""

    topic: str
    partition: int | None = None
    offset: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A decoded message from `agent_messages`."""

    message: Envelope
    origin: Origin


@dataclass(frozen=True, slots=True)
class MessageReady:
    """The turn of waiting message `sequence` has come (a `Resume` command carried out), or its call was lost in a restart."""

    sequence: int
    message: Envelope


@dataclass(frozen=True, slots=True)
class ModelAnswered:
    """The model call for `sequence` returned; the text is not validated yet."""

    sequence: int
    message: Envelope
    answer: ChatAnswer


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """The model call for `sequence` failed. `is_retryable` is false where the same call can never succeed (401, 400)."""

    sequence: int
    message: Envelope
    detail: str
    is_retryable: bool = True
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """A `Recall` command carried out: the workflow's messages by their number; None for one that state does not hold."""

    messages: Mapping[int, Envelope | None]


@dataclass(frozen=True, slots=True)
class WorkflowCrashed:
    """Our own code raised while a workflow's run went on: the run is given up, the job goes on."""

    detail: str


@dataclass(frozen=True, slots=True)
class DecisionCrashed:
    """Our own code raised while reducing for `sequence`: the message becomes a dead letter, the job goes on."""

    sequence: int
    message: Envelope
    detail: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A deadline of this conversation may be due."""


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """The heartbeats of `agent` stopped, and this conversation may wait for it."""

    agent: str


@dataclass(frozen=True, slots=True)
class DefinitionsReady:
    """The first manifest is active: waiting messages can be decided."""


Tick = (
    MessageArrived
    | MessageReady
    | ModelAnswered
    | ModelFailed
    | Recalled
    | WorkflowCrashed
    | DecisionCrashed
    | TimePassed
    | AgentFailed
    | DefinitionsReady
)
