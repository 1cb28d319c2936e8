"""Watch: heartbeats become the broadcast of who failed and how busy agents are, and events `agent.lifecycle.…` on the side.

This module is Flink's side of it; what a silence is stands in `signalbox/routing/watch.py`. All heartbeats have one key, not one each
agent: a silence is judged by what arrives of the others, and where nothing arrives at all the pulse must look at every agent
(restored processing-time timers do not fire until an element comes). 2,000 agents send 1,000 small records a second.

Delivery: what a change leads to belongs to one checkpoint with the standing it leads to; found again after a restart, it has the
same id. A heartbeat that changes nothing touches no state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor

from flink_jobs.operators.clock import now_ms
from flink_jobs.operators.output import AGENT_EVENTS, BYTES, flink_row
from flink_jobs.operators.rows import Rows
from signalbox.contracts.envelope import ORCHESTRATOR
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.liveness import (
    LIVENESS_KEY,
    LOADS_KEY,
    Standing,
    failed_json,
    loads_json,
)
from signalbox.contracts.record import from_epoch_ms
from signalbox.routing.commands import PublishEvent
from signalbox.routing.load_watch import LoadWatch
from signalbox.routing.watch import Change, Watch

BLOB = Types.PICKLED_BYTE_ARRAY()
"""Bytes in state."""
BROADCAST_TYPE = Types.ROW([Types.STRING(), BYTES])
"""(key, record): records of `agent_registry`; under `LIVENESS_KEY` who failed, under `LOADS_KEY` how agents do that share work."""


class WatchAgents(KeyedProcessFunction):
    """(agent_key, heartbeat), or a pulse of nulls → `BROADCAST_TYPE`; events and echoes go to `AGENT_EVENTS`."""

    def __init__(self, topic_prefix: str, silent_after_seconds: float) -> None:
        self._rows = Rows(topic_prefix)
        self._silent_after_seconds = silent_after_seconds

    def open(self, runtime_context: RuntimeContext) -> None:
        """Know the state; what is in it is read with the first element, when a key is set."""
        descriptor = MapStateDescriptor("standings", Types.STRING(), BLOB)
        self._standings = runtime_context.get_map_state(descriptor)
        self._watch: Watch | None = None
        self._loads = LoadWatch()

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """Take one heartbeat, or look who is silent; never raises on what a record holds."""
        _, record = value
        moment_ms = now_ms()
        watch = self._watch
        if watch is None:
            known = [Standing.from_json(blob) for blob in self._standings.values()]
            watch = self._watch = Watch(
                known, moment_ms, silent_after_seconds=self._silent_after_seconds
            )
        if record is None:
            changes = watch.look(moment_ms)
            if watch.wants_echo(moment_ms):
                yield AGENT_EVENTS, flink_row(self._rows.heartbeat(_echo(moment_ms)))
        else:
            changes = self._heard(watch, record, moment_ms)
        for change in changes:
            event = self._rows.of(PublishEvent(change.event(moment_ms)))
            if event is not None:
                yield AGENT_EVENTS, flink_row(event)
        if any(change.kind in {"failed", "recovered"} for change in changes):
            yield _row(LIVENESS_KEY, failed_json(watch.failed))
        if (loads := self._loads.news(moment_ms)) is not None:
            yield _row(LOADS_KEY, loads_json(loads))

    def _heard(self, watch: Watch, record: bytes, moment_ms: int) -> list[Change]:
        try:
            beat: Heartbeat = Heartbeat.from_json(record)
        except ValidationError:
            return []
        if beat.agent == ORCHESTRATOR:
            watch.echo(moment_ms)
            return []
        self._loads.beat(beat, moment_ms)
        before = watch.standing(beat.agent)
        change = watch.beat(beat, moment_ms)
        self._keep(watch, beat.agent, before)
        return [] if change is None else [change]

    def _keep(self, watch: Watch, agent: str, before: Standing | None) -> None:
        standing = watch.standing(agent)
        if standing is not None and standing is not before:
            self._standings.put(agent, standing.to_json())


def _echo(moment_ms: int) -> Heartbeat:
    return Heartbeat(
        agent=ORCHESTRATOR,
        instance="watch",
        active=0,
        max_concurrent=0,
        handled=0,
        failed=0,
        definitions="",
        at=from_epoch_ms(moment_ms),
    )


def registry_row(value: Any) -> Row:
    """Return a record of `agent_registry` as a row of `BROADCAST_TYPE`, so that both streams are one broadcast."""
    key, record = value
    return _row(key, record)


def _row(key: str | None, record: bytes | None) -> Row:
    return Row(key, record)  # type: ignore[no-untyped-call]
