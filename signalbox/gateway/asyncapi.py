"""The AsyncAPI 3 document: every topic as a channel, what is on it, and who sends and receives it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from signalbox import __version__
from signalbox.schemas import MODELS
from signalbox.topics import (
    AGENT_CONTROL,
    AGENT_DECISIONS,
    AGENT_HEARTBEATS,
    AGENT_MESSAGES,
    AGENT_MESSAGES_DLQ,
    AGENT_OUTCOMES,
    AGENT_REGISTRY,
    AGENT_REVIEW,
    AGENT_TASKS_PREFIX,
    DEAD_LETTER_MARKS,
    INCOMING_LEADS,
    SOURCE_PROGRESS,
    TOPICS,
    TopicSpec,
    spec_of,
)

_AGENT_TASKS: Final = f"{AGENT_TASKS_PREFIX}{{agent}}"


class _Channel(NamedTuple):
    """What a topic is: which records, and which applications write and read it."""

    what: str
    records: tuple[str, ...]
    sent_by: tuple[str, ...]
    received_by: tuple[str, ...]


_CHANNELS: Final[dict[str, _Channel]] = {
    INCOMING_LEADS: _Channel(
        "Leads as they come from a website, a database or a file.",
        ("lead",),
        ("source", "client"),
        ("incoming_leads",),
    ),
    AGENT_MESSAGES: _Channel(
        "Messages to be routed, answers of agents, events of the orchestrator.",
        ("envelope",),
        ("gateway", "agent", "incoming_leads", "orchestrate", "client"),
        ("orchestrate", "gateway"),
    ),
    _AGENT_TASKS: _Channel(
        "The tasks of one agent.", ("envelope",), ("orchestrate",), ("agent", "gateway")
    ),
    AGENT_DECISIONS: _Channel(
        "Which agent, or NONE, and why: one per message and slot.",
        ("decision",),
        ("orchestrate",),
        ("gateway",),
    ),
    AGENT_OUTCOMES: _Channel(
        "How conversations ended.", ("outcome",), ("orchestrate",), ("gateway",)
    ),
    AGENT_REVIEW: _Channel("What waits for a person.", ("review",), ("orchestrate",), ("gateway",)),
    AGENT_MESSAGES_DLQ: _Channel(
        "What could not go on, and why.",
        ("dead_letter",),
        ("orchestrate", "incoming_leads", "agent", "source"),
        ("gateway",),
    ),
    AGENT_REGISTRY: _Channel(
        "The definitions: immutable parts, removals, and the manifest that names the active set.",
        ("agent_record", "workflow_record", "manifest", "retirement"),
        ("gateway", "client"),
        ("orchestrate", "agent", "gateway"),
    ),
    AGENT_HEARTBEATS: _Channel(
        "Each agent's process, every two seconds.",
        ("heartbeat",),
        ("agent", "orchestrate"),
        ("orchestrate", "gateway"),
    ),
    AGENT_CONTROL: _Channel(
        "Which agents rest because of an event.", ("pause",), ("orchestrate",), ("agent",)
    ),
    SOURCE_PROGRESS: _Channel(
        "How far each lead source has read.", ("progress",), ("source",), ("source",)
    ),
    DEAD_LETTER_MARKS: _Channel(
        "What people said of dead letters.", ("dead_letter_mark",), ("gateway",), ("gateway",)
    ),
}
_FREE: Final = {
    "lead": "A lead's own fields, any JSON object.",
    "progress": "Each source's own JSON: a resume token, or a file with a line.",
}
_KEYS: Final = {
    AGENT_REGISTRY: "the record's key: `<agent>@<digest>`, `workflow/<name>@<digest>`, `retired/<agent>`, `manifest`",
    AGENT_HEARTBEATS: "the agent",
    AGENT_CONTROL: "the agent",
    SOURCE_PROGRESS: "the source",
    DEAD_LETTER_MARKS: "the dead letter's place, `partition:offset`",
}


def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Signalbox",
            "version": __version__,
            "description": "Every topic, under an optional prefix. Records count by the broker's clock.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:9092", "protocol": "kafka"}},
        "channels": {_id(name): _channel(name, one) for name, one in _CHANNELS.items()},
        "operations": dict(
            entry for name, one in _CHANNELS.items() for entry in _operations(name, one)
        ),
        "components": {"messages": _messages()},
    }


def _id(name: str) -> str:
    return name.replace("{", "").replace("}", "")


def _channel(name: str, channel: _Channel) -> dict[str, Any]:
    spec = TOPICS[name] if name in TOPICS else spec_of(f"{AGENT_TASKS_PREFIX}x")
    made: dict[str, Any] = {
        "address": name,
        "description": channel.what,
        "messages": {
            record: {"$ref": f"#/components/messages/{record}"} for record in channel.records
        },
        "bindings": {"kafka": _binding(spec)},
    }
    if name == _AGENT_TASKS:
        made["parameters"] = {"agent": {"description": "The agent's name."}}
    return made


def _binding(spec: TopicSpec) -> dict[str, Any]:
    return {
        "partitions": spec.partitions,
        "topicConfiguration": {
            "cleanup.policy": ["compact" if spec.compacted else "delete"],
            "retention.ms": spec.retention_ms,
            "max.message.bytes": spec.max_message_bytes,
        },
        "bindingVersion": "0.5.0",
    }


def _operations(name: str, channel: _Channel) -> list[tuple[str, dict[str, Any]]]:
    return [
        (
            f"{application}.{action}.{_id(name)}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{_id(name)}"},
                "summary": f"{application} {'writes' if action == 'send' else 'reads'} {name}",
            },
        )
        for action, applications in (("send", channel.sent_by), ("receive", channel.received_by))
        for application in applications
    ]


def _messages() -> dict[str, Any]:
    keys = {
        record: _KEYS.get(name, "the conversation")
        for name, channel in _CHANNELS.items()
        for record in channel.records
    }
    return {
        record: {
            "name": record,
            "contentType": "application/cloudevents+json"
            if record == "envelope"
            else "application/json",
            "payload": _payload(record),
            "bindings": {
                "kafka": {
                    "key": {"type": "string", "description": f"The Kafka key: {key}."},
                    "bindingVersion": "0.5.0",
                }
            },
        }
        for record, key in keys.items()
    }


def _payload(record: str) -> dict[str, Any]:
    if record in _FREE:
        return {"type": "object", "description": _FREE[record]}
    # Whole in itself: what a record refers to stands in its own `$defs`.
    return {
        "schemaFormat": "application/schema+json;version=draft-2020-12",
        "schema": MODELS[record].model_json_schema(by_alias=True),
    }
