"""Which agents are alive: the newest heartbeats on `agent_heartbeats`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from connectors.broker import Broker
from signalbox.contracts.envelope import ORCHESTRATOR
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.routing.watch import SILENT_AFTER_SECONDS
from signalbox.topics import AGENT_HEARTBEATS, full_name

ALIVE: Final = timedelta(seconds=SILENT_AFTER_SECONDS)
"""A heartbeat comes every 2 s; after this long without one the process is gone or stuck."""

_LOOKED_AT: Final = 2_000
_POLL_SECONDS: Final = 0.5
_EMPTY_POLLS: Final = 10


def recent_agents(broker: Broker, topic_prefix: str, now: datetime) -> frozenset[str]:
    """Return `agent/instance` of every process whose heartbeat is younger than `ALIVE`; empty without a topic.

    Raises:
        BrokerError: the broker does not answer.
    """
    return frozenset(
        f"{beat.agent}/{beat.instance}" for beat in recent_heartbeats(broker, topic_prefix, now)
    )


def recent_heartbeats(broker: Broker, topic_prefix: str, now: datetime) -> tuple[Heartbeat, ...]:
    """Return the newest heartbeat of every process that is alive, by agent and instance; empty without a topic.

    Raises:
        BrokerError: the broker does not answer.
    """
    reader = broker.log_reader()
    try:
        partitions = reader.partitions(full_name(topic_prefix, AGENT_HEARTBEATS))
        if not partitions:
            return ()
        reader.assign(partitions)
        ends = reader.end_offsets(partitions)
        for partition in partitions:
            reader.seek(partition, max(0, ends[partition] - _LOOKED_AT))
        found: dict[tuple[str, str], Heartbeat] = {}
        patience = _EMPTY_POLLS
        while patience and any(reader.position(p) < ends[p] for p in partitions):
            records = reader.poll(timeout_seconds=_POLL_SECONDS, max_records=_LOOKED_AT)
            # A broker that goes away now gives no error, only nothing.
            patience = _EMPTY_POLLS if records else patience - 1
            for record in records:
                if (beat := _read(record.value)) is not None:
                    found[beat.agent, beat.instance] = beat
        return tuple(found[key] for key in sorted(found) if now - found[key].at < ALIVE)
    finally:
        reader.close()


def _read(value: bytes | None) -> Heartbeat | None:
    try:
        beat = Heartbeat.model_validate_json(value or b"")
    except ValidationError:
        return None
    # The job's own, by which it tells a silent broker from silent agents.
    return None if beat.agent == ORCHESTRATOR else beat
