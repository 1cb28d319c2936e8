"""The registry on `agent_registry`: read what it says, follow it, and change it, one change after the other.

A change's transaction is its lock. Every change opens the producer of one transactional id before it reads; whoever
opened it last is the only one who can commit, and the others read again what that one wrote and decide again. So of
two applies at once neither loses the other's agents, and a change is on the topic whole or not at all. The topic has one
partition and is compacted.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.broker import Broker, BrokerError, FencedError, OutgoingRecord
from connectors.registry_view import RegistryView
from connectors.topic_reader import follow_topics, read_topic
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.registry_state import RegistryState
from signalbox.errors import SignalboxError, UsageError
from signalbox.topics import AGENT_REGISTRY, full_name, spec_of

MAX_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.2
_OVERHEAD_BYTES: Final = 1024
"""What a record batch needs beside key and value."""

Edit = Callable[[RegistryState], RegistryState]


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did: the registry before and after it. Equal where nothing was to be done."""

    before: RegistryState
    after: RegistryState


def read_registry(broker: Broker, *, topic_prefix: str) -> RegistryView:
    """Read the registry to its current end.

    Raises:
        BrokerError: no such topic, or the broker does not answer.
    """
    view = RegistryView()
    for record in read_topic(broker, full_name(topic_prefix, AGENT_REGISTRY)):
        view.take(record)
    return view


def read_active_set(broker: Broker, *, topic_prefix: str) -> ActiveSet | None:
    """Read the registry to its current end and return the active set; None when none was ever published."""
    return read_registry(broker, topic_prefix=topic_prefix).active


def follow_registry(
    broker: Broker, *, topic_prefix: str, is_stopped: Callable[[], bool]
) -> Iterator[RegistryView]:
    """Yield the view as soon as a set is active and again whenever what it says changes, until `is_stopped()`.

    What is on the topic at the start is read whole before anything is yielded: nobody acts on a set that was long replaced.
    """
    view = RegistryView()
    topic = full_name(topic_prefix, AGENT_REGISTRY)
    said: RegistryState | None = None
    for batch in follow_topics(broker, [topic], is_stopped=is_stopped, is_first_whole=True):
        for record in batch:
            view.take(record)
        if batch and view.active is not None and (state := view.state) != said:
            said = state
            yield view


def change_registry(
    broker: Broker,
    edit: Edit,
    *,
    topic_prefix: str,
    applied_at: datetime,
    prepare: Callable[[Change], None] = lambda _: None,
) -> Change:
    """Make the registry say what `edit` makes of it.

    Args:
        broker: where.
        edit: pure; called again with what the registry says by then when another change came first. What it raises
            ends the change with nothing written.
        topic_prefix: of the deployment.
        applied_at: the time of the change.
        prepare: called before anything is written: topics that must be there first.

    Delivery: exactly once; nothing is written where nothing changes.

    Raises:
        UsageError: a definition or the manifest is larger than the topic takes.
        BrokerError: the broker does not take it, or others were faster each time; the old set stays active.
    """
    topic = full_name(topic_prefix, AGENT_REGISTRY)
    for number in range(1, MAX_TRIES + 1):
        with suppress(FencedError):
            return _try(broker, topic, edit, topic_prefix, applied_at, prepare)
        # Another change came between. Whoever waits a different time does not meet it again.
        time.sleep(random.uniform(0.2, 1.0) * _PAUSE_SECONDS * min(number, 5))
    msg = f"{MAX_TRIES} times another change of the definitions came first; nothing was changed, try again"
    raise BrokerError(msg)


def publish(broker: Broker, active: ActiveSet, *, topic_prefix: str, applied_at: datetime) -> None:
    """Make `active` the active set, whatever was active before.

    Raises:
        BrokerError: the broker does not take it; the old set stays active.
    """

    def replaced(state: RegistryState) -> RegistryState:
        return state.activated(active, removed_at=applied_at)

    change_registry(broker, replaced, topic_prefix=topic_prefix, applied_at=applied_at)


def _try(
    broker: Broker,
    topic: str,
    edit: Edit,
    topic_prefix: str,
    applied_at: datetime,
    prepare: Callable[[Change], None],
) -> Change:
    # Opened before the registry is read: from now on only this producer can commit, or we are told.
    producer = broker.transactional_producer(topic)
    try:
        view = read_registry(broker, topic_prefix=topic_prefix)
        before = view.state
        change = Change(before, edit(before))
        written = before if view.is_manifest_readable else RegistryState.empty()
        records = [
            OutgoingRecord(topic, key.encode(), None if record is None else record.to_json())
            for key, record in change.after.records_since(written, view.definitions, applied_at)
        ]
        for record in records:
            _refuse_large(record)
        prepare(change)
        if records:
            producer.begin()
            for record in records:
                producer.send(record)
            producer.commit()
    finally:
        # Also aborts what an error left open.
        with suppress(SignalboxError):
            producer.close()
    return change


def _refuse_large(record: OutgoingRecord) -> None:
    limit = spec_of(AGENT_REGISTRY).max_message_bytes - _OVERHEAD_BYTES
    size = len(record.key or b"") + len(record.value or b"")
    if size > limit:
        name = (record.key or b"").decode()
        msg = f"{name} has {size} bytes on the registry, at most {limit} fit; shorten it, nothing was changed"
        raise UsageError(msg)
