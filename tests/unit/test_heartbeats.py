"""Who is alive on the topics: what `doctor` asks before a second deployment shares groups with the first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connectors.heartbeats import ALIVE, recent_agents, recent_heartbeats
from connectors.memory import MemoryBroker
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.registry_state import RegistryState
from signalbox.definitions.specs import FleetPolicy
from signalbox.local_stack.agent_status import agent_statuses
from tests.support.fleets import agent

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def beat(agent, age):
    return Heartbeat(
        agent=agent,
        instance="0",
        active=0,
        max_concurrent=1,
        handled=0,
        failed=0,
        definitions="d",
        at=NOW - age,
    ).to_json()


def test_agents_with_a_fresh_heartbeat_are_alive():
    """A young heartbeat counts, an old one and what is none do not, nor those on topics of another prefix."""
    broker = MemoryBroker()
    broker.create_topic("blue.agent_heartbeats", 1)
    producer = broker.producer()
    for value in (
        beat("scoring", timedelta(seconds=1)),
        beat("outreach", ALIVE + timedelta(seconds=1)),
        b"not a heartbeat",
    ):
        producer.send("blue.agent_heartbeats", key=b"k", value=value)

    assert recent_agents(broker, "blue.", NOW) == {"scoring/0"}
    assert recent_agents(broker, "green.", NOW) == frozenset()


def test_newest_heartbeat_of_each_process_counts():
    """Of two heartbeats of one instance the later one says what it serves; a heartbeat of older code says nothing of that."""
    broker = MemoryBroker()
    broker.create_topic("agent_heartbeats", 1)
    producer = broker.producer()
    old = Heartbeat.model_validate_json(beat("scoring", timedelta(seconds=4)))
    new = old.model_copy(update={"digest": "new", "draining": True, "at": NOW})
    for one in (old, new):
        producer.send("agent_heartbeats", key=b"k", value=one.to_json())

    (found,) = recent_heartbeats(broker, "", NOW)

    assert (found.digest, found.draining) == ("new", True)
    assert (old.digest, old.draining) == ("", False)


def test_agent_statuses_say_who_runs_what_and_who_drains():
    """An active agent shows the definitions of its living processes; a removed one is shown while a process of it lives."""
    fleet = Fleet(
        FleetPolicy(name="test"), {n: agent(n, ["x"]) for n in ("a", "b", "gone", "left")}
    )
    state = RegistryState.empty().activated(ActiveSet.of([fleet]), removed_at=NOW)
    fewer = state.active.without("gone").without("left")
    state = state.activated(fewer, removed_at=NOW, backlog="dead-letter")
    digest = state.active.agents["a"].digest
    beats = [
        Heartbeat.model_validate_json(beat(name, timedelta(0))).model_copy(
            update={"instance": instance, "digest": running}
        )
        for name, instance, running in (("a", "0", digest), ("a", "1", "old"), ("left", "0", "x"))
    ]

    statuses = agent_statuses(state, beats, {"a": "running"})

    assert [(s.name, s.state, s.is_active, s.is_current) for s in statuses] == [
        ("a", "running", True, False),
        ("b", "outside", True, True),
        ("left", "draining", False, False),
    ]
    assert set(statuses[0].running) == {digest, "old"}
    assert statuses[2].backlog == "dead-letter"
