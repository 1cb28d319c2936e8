"""The registry over a topic: what publishing writes and what readers make of every moment in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from connectors.broker import BrokerError, OutgoingRecord
from connectors.memory import MemoryBroker, MemoryTransactionalProducer
from connectors.registry import (
    Edit,
    change_registry,
    follow_registry,
    publish,
    read_active_set,
    read_registry,
)
from connectors.registry_view import RegistryView
from connectors.topic_reader import read_topic
from signalbox.contracts.registry import MANIFEST_KEY
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.registry_state import RegistryState
from signalbox.definitions.specs import FleetPolicy
from signalbox.errors import UsageError
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


def test_registry_change_that_breaks_off_leaves_nothing(
    registry: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that goes away between two records of a change: no reader ever sees one of them, and the caller is told."""
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    send = MemoryTransactionalProducer.send

    def breaks(producer: MemoryTransactionalProducer, record: OutgoingRecord) -> None:
        if record.key == MANIFEST_KEY.encode():
            msg = "gone"
            raise BrokerError(msg)
        send(producer, record)

    monkeypatch.setattr(MemoryTransactionalProducer, "send", breaks)

    with pytest.raises(BrokerError):
        publish(registry, active("a", "b"), topic_prefix="x.", applied_at=NOON)

    keys = [r.key_text for r in read_topic(registry, f"x.{AGENT_REGISTRY}")]
    assert len(keys) == 2
    assert read_active_set(registry, topic_prefix="x.") == active("a")


def test_registry_half_a_change_is_never_seen(registry: MemoryBroker) -> None:
    """At every moment of a change a reader has the old set or the new one; what is there already is not written again."""
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    publish(registry, active("a", "b"), topic_prefix="x.", applied_at=NOON)
    view = RegistryView()
    seen = []

    for record in read_topic(registry, f"x.{AGENT_REGISTRY}"):
        view.take(record)
        seen.append(set(view.active.agents) if view.active else None)

    assert seen == [None, {"a"}, {"a"}, {"a", "b"}]


def test_registry_unreadable_record_leaves_the_last_good_set(registry: MemoryBroker) -> None:
    """A value nobody can read, under any key, changes nothing."""
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    producer = registry.producer()
    for key in (MANIFEST_KEY, "a@1234", "", "manifest "):
        producer.send(f"x.{AGENT_REGISTRY}", key=key.encode(), value=b"{not json")
    producer.send(f"x.{AGENT_REGISTRY}", key=None, value=b"{}")

    assert read_active_set(registry, topic_prefix="x.") == active("a")


def test_registry_unreadable_records_are_written_again_by_the_next_change(
    registry: MemoryBroker,
) -> None:
    """Compaction would keep only the garbage; whoever applies the same set next heals it."""
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    keys = {r.key for r in read_topic(registry, f"x.{AGENT_REGISTRY}")}
    for key in keys:
        registry.producer().send(f"x.{AGENT_REGISTRY}", key=key, value=b"{not json")

    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)

    compacted = {r.key: r for r in read_topic(registry, f"x.{AGENT_REGISTRY}")}
    view = RegistryView()
    for record in compacted.values():
        view.take(record)
    assert view.active == active("a")


def test_registry_follower_sees_each_set_once(registry: MemoryBroker) -> None:
    """A follower yields the first set and each different one after it; the same set again is no change."""
    seen: list[set[str]] = []
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    changes = follow_registry(registry, topic_prefix="x.", is_stopped=lambda: False)

    seen.append(set(next(changes).state.active.agents))
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    publish(registry, active("b"), topic_prefix="x.", applied_at=NOON)
    seen.append(set(next(changes).state.active.agents))

    assert seen == [{"a"}, {"b"}]


def test_registry_follower_never_sees_what_was_replaced_before_it_came(
    registry: MemoryBroker,
) -> None:
    """However long the history, the first set that is yielded is the current one."""
    for names in (("a",), ("a", "b"), ("c",)):
        publish(registry, active(*names), topic_prefix="x.", applied_at=NOON)

    view = next(follow_registry(registry, topic_prefix="x.", is_stopped=lambda: False))

    assert set(view.state.active.agents) == {"c"}
    assert set(view.state.retired) == {"a", "b"}


def test_registry_removed_agent_is_retired_with_its_definition(registry: MemoryBroker) -> None:
    """Who was active and is no longer can be looked up, with the policy for its tasks; applied again it is active only."""
    publish(registry, active("a", "b"), topic_prefix="x.", applied_at=NOON)
    publish(registry, active("b"), topic_prefix="x.", applied_at=NOON)

    removed = read_registry(registry, topic_prefix="x.")
    assert removed.state.retired["a"].backlog == "drain"
    assert removed.retired_definition("a") == active("a").agents["a"]

    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    state = read_registry(registry, topic_prefix="x.").state
    assert (set(state.active.agents), set(state.retired)) == ({"a"}, {"b"})


def test_registry_policy_of_a_retired_agent_alone_is_a_change(registry: MemoryBroker) -> None:
    """A second removal with another policy reaches followers, although the active set stays."""
    publish(registry, active("a", "b"), topic_prefix="x.", applied_at=NOON)
    publish(registry, active("b"), topic_prefix="x.", applied_at=NOON)
    changes = follow_registry(registry, topic_prefix="x.", is_stopped=lambda: False)
    assert next(changes).state.retired["a"].backlog == "drain"

    change_registry(
        registry,
        lambda state: state.retired_with("a", "dead-letter"),
        topic_prefix="x.",
        applied_at=NOON,
    )

    assert next(changes).state.retired["a"].backlog == "dead-letter"


def test_registry_retirement_older_than_the_task_topics_retention_is_forgotten(
    registry: MemoryBroker,
) -> None:
    """After that time the agent's topic holds nothing any more."""
    publish(registry, active("a", "b"), topic_prefix="x.", applied_at=NOON)
    publish(registry, active("b"), topic_prefix="x.", applied_at=NOON)

    publish(registry, active("b"), topic_prefix="x.", applied_at=NOON + timedelta(days=8))

    assert read_registry(registry, topic_prefix="x.").state.retired == {}


def test_registry_two_changes_at_once_lose_neither(registry: MemoryBroker) -> None:
    """An apply that another one overtakes decides again on what that one wrote."""
    publish(registry, active("a"), topic_prefix="x.", applied_at=NOON)
    seen: list[set[str]] = []

    def adding(name: str) -> Edit:
        def edit(state: RegistryState) -> RegistryState:
            seen.append(set(state.active.agents))
            if name == "late" and len(seen) == 1:
                change_registry(registry, adding("early"), topic_prefix="x.", applied_at=NOON)
            return state.activated(active(*state.active.agents, name), removed_at=NOON)

        return edit

    change = change_registry(registry, adding("late"), topic_prefix="x.", applied_at=NOON)

    assert seen == [{"a"}, {"a"}, {"a", "early"}]
    assert set(change.after.active.agents) == {"a", "early", "late"}
    assert read_registry(registry, topic_prefix="x.").state == change.after


def test_registry_many_changes_at_once_all_arrive(registry: MemoryBroker) -> None:
    """Ten appliers in threads: every one of their agents is active in the end."""

    def add(number: int) -> None:
        def edit(state: RegistryState) -> RegistryState:
            return state.activated(active(*state.active.agents, f"n{number}"), removed_at=NOON)

        change_registry(registry, edit, topic_prefix="x.", applied_at=NOON)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(add, range(10)))

    state = read_registry(registry, topic_prefix="x.").state
    assert set(state.active.agents) == {f"n{number}" for number in range(10)}
    assert state.retired == {}


def test_registry_edit_that_refuses_writes_nothing(registry: MemoryBroker) -> None:
    """What an edit raises reaches the caller; no topic was prepared and the next change goes through."""
    prepared: list[object] = []

    def refuse(_: RegistryState) -> RegistryState:
        msg = "no"
        raise UsageError(msg)

    with pytest.raises(UsageError):
        change_registry(
            registry, refuse, topic_prefix="x.", applied_at=NOON, prepare=prepared.append
        )

    assert prepared == []
    assert list(read_topic(registry, f"x.{AGENT_REGISTRY}")) == []


def test_registry_definition_larger_than_the_topic_takes_is_refused_whole(
    registry: MemoryBroker,
) -> None:
    """The error names it and its size before anything is written."""
    big = agent("big", ["lead"], examples=["x" * 3000] * 400)
    fleet = Fleet(FleetPolicy(name="test"), {"big": big, "a": agent("a", ["lead"])})

    with pytest.raises(UsageError, match=r"big@\w+ has \d+ bytes"):
        publish(registry, ActiveSet.of([fleet]), topic_prefix="x.", applied_at=NOON)

    assert list(read_topic(registry, f"x.{AGENT_REGISTRY}")) == []
