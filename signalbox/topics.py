"""Every Kafka topic, in one table: partitions, retention, compaction, size. `up` and `agents apply` create from it.

Broker auto-creation is off, so a topic that is not here (or derived from an agent's name here) does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_MS: Final = 24 * 60 * 60 * 1000

MAX_ADMITTED_BYTES: Final = 256 * 1024
"""The largest value the orchestrator admits; anything larger is a `payload_too_large` dead letter."""

INCOMING_LEADS: Final = "incoming_leads"
AGENT_MESSAGES: Final = "agent_messages"
AGENT_DECISIONS: Final = "agent_decisions"
AGENT_OUTCOMES: Final = "agent_outcomes"
AGENT_REVIEW: Final = "agent_review"
AGENT_MESSAGES_DLQ: Final = "agent_messages_dlq"
AGENT_REGISTRY: Final = "agent_registry"
AGENT_HEARTBEATS: Final = "agent_heartbeats"
AGENT_CONTROL: Final = "agent_control"
SOURCE_PROGRESS: Final = "source_progress"
DEAD_LETTER_MARKS: Final = "dead_letter_marks"
AGENT_TASKS_PREFIX: Final = "agent_tasks_"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is created. `max_message_bytes` is the broker's limit for one record batch."""

    name: str
    partitions: int
    retention_ms: int
    max_message_bytes: int
    compacted: bool = False


# An admitted value (256 KiB) < topics (1 MiB) < dlq (2 MiB): what a topic took always fits the next one,
# and a dead letter has room for the raw value beside what was wrong with it.
_TOPIC_BYTES: Final = 1024 * 1024
_DLQ_BYTES: Final = 2 * 1024 * 1024

TOPICS: Final[dict[str, TopicSpec]] = {
    spec.name: spec
    for spec in (
        TopicSpec(INCOMING_LEADS, 4, 7 * DAY_MS, _TOPIC_BYTES),
        TopicSpec(AGENT_MESSAGES, 4, 7 * DAY_MS, _TOPIC_BYTES),
        TopicSpec(AGENT_DECISIONS, 4, 30 * DAY_MS, _TOPIC_BYTES),
        TopicSpec(AGENT_OUTCOMES, 4, 30 * DAY_MS, _TOPIC_BYTES),
        TopicSpec(AGENT_REVIEW, 4, 30 * DAY_MS, _TOPIC_BYTES),
        TopicSpec(AGENT_MESSAGES_DLQ, 4, 30 * DAY_MS, _DLQ_BYTES),
        TopicSpec(AGENT_REGISTRY, 1, -1, _TOPIC_BYTES, compacted=True),
        TopicSpec(AGENT_HEARTBEATS, 1, 1 * DAY_MS, _TOPIC_BYTES),
        TopicSpec(AGENT_CONTROL, 1, -1, _TOPIC_BYTES, compacted=True),
        TopicSpec(SOURCE_PROGRESS, 1, -1, _TOPIC_BYTES, compacted=True),
        TopicSpec(DEAD_LETTER_MARKS, 1, -1, _TOPIC_BYTES, compacted=True),
    )
}


def agent_tasks(agent: str) -> str:
    """Return the base name (no prefix) of the topic whose records are tasks of `agent`."""
    return f"{AGENT_TASKS_PREFIX}{agent}"


def spec_of(name: str) -> TopicSpec:
    """Return how to create the topic with base name `name`, fixed or an agent's.

    Raises:
        KeyError: no such topic; only the fixed ones and `agent_tasks_<agent>` exist.
    """
    if name.startswith(AGENT_TASKS_PREFIX):
        return TopicSpec(name, 4, 7 * DAY_MS, _TOPIC_BYTES)
    return TOPICS[name]


def full_name(prefix: str, name: str) -> str:
    """Return the topic's name on the broker: `prefix` (may be empty, given with its own separator) + `name`."""
    return f"{prefix}{name}"
