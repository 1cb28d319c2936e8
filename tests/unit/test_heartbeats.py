"""Who is alive on the topics: what `doctor` asks before a second deployment shares groups with the first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connectors.heartbeats import ALIVE, recent_agents
from connectors.memory import MemoryBroker
from signalbox.contracts.heartbeat import Heartbeat

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
