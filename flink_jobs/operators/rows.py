"""Rows between the operators, and what leaves the job: topic, key, value, headers of the sink `orchestrator_output`.

The sink takes the topic from the row. A topic outside its pattern would stop the job in a loop, so names are checked here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from signalbox import topics
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review
from signalbox.routing.commands import (
    Command,
    Dispatch,
    EmitDeadLetter,
    EmitOutcome,
    EmitReview,
    PublishEvent,
    RecordDecision,
    SetPaused,
)

_WRITABLE: Final = re.compile(
    "|".join(
        (
            f"{topics.AGENT_TASKS_PREFIX}[a-z][a-z0-9_]{{0,62}}",
            topics.AGENT_DECISIONS,
            topics.AGENT_OUTCOMES,
            topics.AGENT_REVIEW,
            topics.AGENT_MESSAGES_DLQ,
            topics.AGENT_CONTROL,
            topics.AGENT_MESSAGES,
            topics.AGENT_HEARTBEATS,
        )
    )
)


class KeyedRow(NamedTuple):
    """What goes to a shard: an envelope and where it was read, or with no message a pulse. `key` is the record's key."""

    shard: int
    message: bytes | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    key: str | None = None


class OutputRow(NamedTuple):
    """One record to write. `topic` carries the prefix; `key` is the conversation id where there is one, or an agent's name."""

    topic: str
    key: str | None
    value: bytes
    headers: dict[str, bytes]


class Rows:
    """Turns commands into output rows under one topic prefix."""

    def __init__(self, topic_prefix: str) -> None:
        self._prefix = topic_prefix

    def of(self, command: Command) -> OutputRow | None:
        """Return the row that carries `command` out, or None for a command that writes nothing.

        Raises:
            ValueError: the topic is not one the job may write to.
        """
        match command:
            case Dispatch(agent, task):
                return self._row(
                    topics.agent_tasks(agent), task.subject, task.to_json(), task.headers()
                )
            case RecordDecision(decision):
                return self.decision(decision)
            case EmitOutcome(outcome):
                return self.outcome(outcome)
            case EmitDeadLetter(dead_letter):
                return self.dead_letter(dead_letter)
            case EmitReview(review):
                return self.review(review)
            case SetPaused(pause):
                headers = {"ce_id": pause.message_id.encode()}
                return self._row(topics.AGENT_CONTROL, pause.agent, pause.to_json(), headers)
            case PublishEvent(event):
                return self.event(event)
        return None

    def event(self, event: Envelope) -> OutputRow:
        """Return the row for `agent_messages`, where an event comes back."""
        return self._row(topics.AGENT_MESSAGES, event.subject, event.to_json(), event.headers())

    def heartbeat(self, beat: Heartbeat) -> OutputRow:
        """Return the row for `agent_heartbeats`: what the watch sends itself."""
        key = f"{beat.agent}/{beat.instance}"
        return self._row(topics.AGENT_HEARTBEATS, key, beat.to_json(), {})

    def decision(self, decision: Decision) -> OutputRow:
        """Return the row for `agent_decisions`."""
        headers = {"ce_id": decision.message_id.encode()}
        return self._row(
            topics.AGENT_DECISIONS, decision.conversation_id, decision.to_json(), headers
        )

    def outcome(self, outcome: Outcome) -> OutputRow:
        """Return the row for `agent_outcomes`."""
        return self._row(topics.AGENT_OUTCOMES, outcome.conversation_id, outcome.to_json(), {})

    def review(self, review: Review) -> OutputRow:
        """Return the row for `agent_review`."""
        message: Envelope = review.message
        return self._row(
            topics.AGENT_REVIEW, review.conversation_id, review.to_json(), message.headers()
        )

    def dead_letter(self, dead_letter: DeadLetter) -> OutputRow:
        """Return the row for `agent_messages_dlq`; the key is the conversation, else the key it came with."""
        headers = {"reason": dead_letter.reason.encode()}
        if dead_letter.message_id is not None:
            headers["ce_id"] = dead_letter.message_id.encode("utf-8", "replace")
        key = dead_letter.conversation_id or dead_letter.key
        return self._row(topics.AGENT_MESSAGES_DLQ, key, dead_letter.to_json(), headers)

    def _row(
        self, topic: str, key: str | None, value: bytes, headers: dict[str, bytes]
    ) -> OutputRow:
        if not _WRITABLE.fullmatch(topic):
            msg = f"topic {topic!r} is not one the orchestrator writes to; an agent's name is ^[a-z][a-z0-9_]{{0,62}}$"
            raise ValueError(msg)
        return OutputRow(topics.full_name(self._prefix, topic), key, value, headers)
