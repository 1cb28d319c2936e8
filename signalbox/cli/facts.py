"""Records of the topics as facts of a conversation: the pure step between reading Kafka and showing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import orjson
from pydantic import ValidationError

from connectors.broker import ConsumedRecord
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review
from signalbox.topics import (
    AGENT_DECISIONS,
    AGENT_MESSAGES,
    AGENT_MESSAGES_DLQ,
    AGENT_OUTCOMES,
    AGENT_REVIEW,
    AGENT_TASKS_PREFIX,
)

Body = Envelope | Decision | Outcome | Review | DeadLetter


def _message(value: bytes) -> Envelope:
    """Parse a message as the job does, so that both speak of the same data: a number beyond 64 bits is a float, NaN is no JSON."""
    return Envelope.model_validate(orjson.loads(value))


_PARSERS: Final[dict[str, Callable[[bytes], Body]]] = {
    AGENT_MESSAGES: _message,
    AGENT_DECISIONS: Decision.from_json,
    AGENT_OUTCOMES: Outcome.from_json,
    AGENT_REVIEW: Review.from_json,
    AGENT_MESSAGES_DLQ: DeadLetter.from_json,
}

CONVERSATION_TOPICS: Final = tuple(_PARSERS)
"""Every fixed topic that says something about a conversation; the agents' task topics come beside them."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One record, parsed. `topic` is the base name; `at_ms` is the record's timestamp, ms since 1970."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: str | None
    body: Body

    @property
    def task_agent(self) -> str | None:
        """The agent whose task this is; None for everything that is not a task."""
        if not self.topic.startswith(AGENT_TASKS_PREFIX):
            return None
        return self.topic.removeprefix(AGENT_TASKS_PREFIX)

    @property
    def conversation_id(self) -> str | None:
        """The conversation it belongs to; of a dead letter that names none, its key."""
        if isinstance(self.body, Envelope):
            return self.body.subject
        if isinstance(self.body, DeadLetter):
            return self.body.conversation_id or self.body.key
        return self.body.conversation_id


def fact_of(record: ConsumedRecord, prefix: str) -> Fact | None:
    """Parse one record; None where it is no valid record of a topic of ours (its dead letter tells the story)."""
    topic = record.topic.removeprefix(prefix)
    parse = _message if topic.startswith(AGENT_TASKS_PREFIX) else _PARSERS.get(topic)
    if parse is None or record.value is None:
        return None
    try:
        body = parse(record.value)
    except (ValidationError, orjson.JSONDecodeError):
        return None
    return Fact(topic, record.partition, record.offset, record.timestamp_ms, record.key_text, body)


def facts_of(records: Iterable[ConsumedRecord], prefix: str) -> tuple[Fact, ...]:
    """Parse records, dropping what `fact_of` cannot."""
    return tuple(fact for record in records if (fact := fact_of(record, prefix)) is not None)
