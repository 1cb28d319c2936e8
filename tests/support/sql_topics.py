"""Topics of one SQL test on a shared broker, and what stands on them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import kafka

from connectors.kafka import KafkaBroker
from connectors.registry import publish
from connectors.topic_reader import read_topics
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import Record
from signalbox.contracts.review import Review
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.local_stack.temporary import TemporaryBroker
from tests.support.fleets import agent, message

# The client's classes carry no types.
_KafkaProducer: Any = kafka.KafkaProducer
WAIT_SECONDS: Final = 180.0
NOW: Final = datetime.now(UTC)


class Topics:
    """The topics of one test: its own prefix on the shared broker."""

    def __init__(self, broker: TemporaryBroker, prefix: str, *agents: str) -> None:
        broker.create_topics(*agents, prefix=prefix)
        self.prefix = prefix
        self.broker = KafkaBroker(broker.bootstrap_servers)
        self.settings = broker.settings(
            kafka={"topic_prefix": prefix, "group_prefix": prefix}, delivery="exactly_once"
        )
        self._producer = _KafkaProducer(
            bootstrap_servers=broker.bootstrap_servers, max_request_size=2 * 1024 * 1024
        )

    def send(self, topic: str, key: str | None, value: Record | bytes | None) -> None:
        """Write one record; `flush` waits for all."""
        raw = value.to_json() if isinstance(value, Record) else value
        self._producer.send(
            self.prefix + topic, key=None if key is None else key.encode(), value=raw, partition=0
        )

    def flush(self) -> None:
        """Return once the broker has everything."""
        self._producer.flush(30)

    def wait_for(self, count: int, *names: str, holding: bytes = b"") -> list[bytes]:
        """Return the values on these topics that hold some bytes, once there are `count`; committed ones only."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            found = [value for value in self.values(names) if holding in value]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.3)

    def values(self, names: Iterable[str]) -> list[bytes]:
        """What is on these topics now."""
        records = read_topics(self.broker, [self.prefix + name for name in names])
        return [record.value for record in records if record.value is not None]


def re_spaced(line: str) -> str:
    """A table's line with one space where there were many."""
    return " ".join(line.split())


def publish_writer(topics: Topics) -> None:
    """Make one agent active that takes `brief`."""
    writer = agent("writer", ["brief"])
    active = ActiveSet.of([Fleet(FleetPolicy(name="test"), {"writer": writer})])
    publish(topics.broker, active, topic_prefix=topics.prefix, applied_at=NOW)


def seed(topics: Topics) -> None:
    """Write one of each record, and on every topic values that are none."""
    publish_writer(topics)
    for number, (path, model) in enumerate(
        [("contract", None), ("contract", None), ("model", "scripted")], 1
    ):
        said = (
            {"model": model, "tokens_in": 30, "tokens_out": 4, "latency_ms": 250} if model else {}
        )
        conversation = f"c-{number}"
        data = {"other": 1} if number == 2 else {"brief": "b"}
        topics.send(
            "agent_messages", conversation, message(f"m-{number}", data, conversation=conversation)
        )
        topics.send(
            "agent_decisions",
            conversation,
            Decision.model_validate(
                {
                    "message_id": f"m-{number}",
                    "slot": "route",
                    "conversation_id": conversation,
                    "hop": 0,
                    "agent": "writer",
                    "path": path,
                    "reason": "because",
                    "definitions_digest": "d",
                    "decided_at": NOW,
                    **said,
                }
            ),
        )
    task = message(
        "t-1", {"brief": "b"}, conversation="c-1", source="orchestrator", type="task.assigned"
    )
    task = task.evolve(causationid="m-1", target="writer", hop=1, definitions="d")
    topics.send("agent_tasks_writer", "c-1", task)
    answer = message("r-1", {}, conversation="c-1", source="agent/writer", type="writer.done")
    answer = answer.evolve(causationid="t-1", tokensused=5, processingms=7)
    topics.send("agent_messages", "c-1", answer)
    ended = {"status": "completed", "last_agent": "writer", "hops": 1, "tokens": 34}
    moments = {"started_at": NOW, "ended_at": NOW + timedelta(seconds=3)}
    outcome = Outcome.model_validate({"conversation_id": "c-1", "episode": 1, **ended, **moments})
    topics.send("agent_outcomes", "c-1", outcome)
    waiting = {"message": message("m-3", {"brief": "b"}, conversation="c-3"), "reason": "two could"}
    until = {"opened_at": NOW, "deadline": NOW + timedelta(hours=1)}
    topics.send(
        "agent_review", "c-3", Review.model_validate({"conversation_id": "c-3", **waiting, **until})
    )
    letter = DeadLetter.of(b"{", topic="ask.agent_messages", reason="malformed_json", failed_at=NOW)
    topics.send("agent_messages_dlq", "c-4", letter)
    # What is no record must not end a question.
    for topic in (
        "agent_messages",
        "agent_decisions",
        "agent_outcomes",
        "agent_review",
        "agent_messages_dlq",
    ):
        topics.send(topic, "strange", b"\xff{")
        topics.send(topic, "strange", None)
        topics.send(topic, "strange", b"[1]")
    topics.flush()
