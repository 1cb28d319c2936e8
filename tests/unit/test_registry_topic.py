"""The registry over a topic: what publishing writes and what readers make of every moment in between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.broker import BrokerError
from connectors.memory import MemoryBroker, MemoryProducer
from connectors.registry import RegistryView, follow_active_set, publish, read_active_set
from connectors.topic_reader import read_topic
from signalbox.contracts.registry import MANIFEST_KEY
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.topics import AGENT_REGISTRY
from tests.support.fleets import agent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def active(*names: str) -> ActiveSet:
    """A set of agents in one fleet."""
    agents = {name: agent(name, ["lead"]) for name in names}
    return ActiveSet.of([Fleet(FleetPolicy(name="test"), agents)])


@pytest.fixture
def registry() -> MemoryBroker:
    """A broker with an empty registry topic under a prefix."""
    broker = MemoryBroker()
    broker.create_topic(f"x.{AGENT_REGISTRY}")
    return broker


def test_registry_empty_topic_has_no_active_set(registry: MemoryBroker) -> None:
    """Before anything was published there is no set, not an empty one."""
    assert read_active_set(registry, topic_prefix="x.") is None


def test_registry_published_set_is_read_back(registry: MemoryBroker) -> None:
    """What was published is what readers see."""
    publish(registry, active("a", "b"), topic_prefix="x.", applied_at=NOON)

    assert read_active_set(registry, topic_prefix="x.") == active("a", "b")


def test_registry_manifest_is_written_last(registry: MemoryBroker) -> None:
    """The manifest follows every definition that it names."""
    publish(registry, active("a", "b"), topic_prefix="x.", applied_at=NOON)

    keys = [r.key_text for r in read_topic(registry, f"x.{AGENT_REGISTRY}")]

    assert keys[-1] == MANIFEST_KEY
    assert {str(key).split("@")[0] for key in keys[:-1]} == {"a", "b"}


def test_registry_definition_that_is_not_acknowledged_holds_back_the_manifest(
    registry: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without every definition on the topic no manifest names it, and the caller is told."""

    class Lost:
        def result(self, timeout_seconds: float) -> tuple[int, int]:
            msg = "not acknowledged"
            raise BrokerError(msg)

    send = MemoryProducer.send

    def lossy(
        producer: MemoryProducer, topic: str, *, key: bytes | None, value: bytes | None
    ) -> Any:
        return send(producer, topic, key=key, value=value) if key == b"manifest" else Lost()

    monkeypatch.setattr(MemoryProducer, "send", lossy)

    with pytest.raises(BrokerError):
        publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)

    assert list(read_topic(registry, f"x.{AGENT_REGISTRY}")) == []


def test_registry_half_a_change_is_never_seen(registry: MemoryBroker) -> None:
    """At every moment of a change a reader has the old set or the new one."""
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    publish(registry, active("a", "b"), topic_prefix="x.", applied_at=NOON)
    view = RegistryView()
    seen = []

    for record in read_topic(registry, f"x.{AGENT_REGISTRY}"):
        view.take(record)
        seen.append(set(view.active.agents) if view.active else None)

    assert seen == [None, {"a"}, {"a"}, {"a"}, {"a", "b"}]


def test_registry_unreadable_record_leaves_the_last_good_set(registry: MemoryBroker) -> None:
    """A value nobody can read, under any key, changes nothing."""
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    producer = registry.producer()
    for key in (MANIFEST_KEY, "a@1234", "", "manifest "):
        producer.send(f"x.{AGENT_REGISTRY}", key=key.encode(), value=b"{not json")
    producer.send(f"x.{AGENT_REGISTRY}", key=None, value=b"{}")

    assert read_active_set(registry, topic_prefix="x.") == active("a")


def test_registry_follower_sees_each_set_once(registry: MemoryBroker) -> None:
    """A follower yields the first set and each different one after it; the same set again is no change."""
    seen: list[set[str]] = []
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    changes = follow_active_set(registry, topic_prefix="x.", is_stopped=lambda: False)

    seen.append(set(next(changes).agents))
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    publish(registry, active("b"), topic_prefix="x.", applied_at=NOON)
    seen.append(set(next(changes).agents))

    assert seen == [{"a"}, {"b"}]
