"""The registry on `agent_registry`: publish a set of definitions, read the active one, follow its changes.

Keys are `<agent>@<digest>` for definitions and `manifest`; the topic has one partition and is compacted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from connectors.broker import Broker, ConsumedRecord, Delivery
from connectors.topic_reader import follow_topics, read_topic
from signalbox.contracts.registry import MANIFEST_KEY, AgentRecord, Manifest
from signalbox.definitions.fleet import ActiveSet
from signalbox.topics import AGENT_REGISTRY, full_name

_ACK_SECONDS: Final = 30.0


def publish(broker: Broker, active: ActiveSet, *, topic_prefix: str, applied_at: datetime) -> None:
    """Make `active` the active set: its definitions first, acknowledged, then the manifest that names them.

    Delivery: at least once; publishing the same set again changes nothing for readers.

    Raises:
        BrokerError: not acknowledged; the old set stays active.
    """
    topic = full_name(topic_prefix, AGENT_REGISTRY)
    records, manifest = active.records(applied_at)
    producer = broker.producer()
    try:
        sent: list[Delivery] = [
            producer.send(topic, key=record.key.encode(), value=record.to_json())
            for record in records
        ]
        for delivery in sent:
            delivery.result(_ACK_SECONDS)
        last = producer.send(topic, key=MANIFEST_KEY.encode(), value=manifest.to_json())
        last.result(_ACK_SECONDS)
    finally:
        producer.close()


def read_active_set(broker: Broker, *, topic_prefix: str) -> ActiveSet | None:
    """Read the registry to its current end and return the active set; None when none was ever published."""
    view = RegistryView()
    for record in read_topic(broker, full_name(topic_prefix, AGENT_REGISTRY)):
        view.take(record)
    return view.active


def follow_active_set(
    broker: Broker, *, topic_prefix: str, is_stopped: Callable[[], bool]
) -> Iterator[ActiveSet]:
    """Yield the active set as soon as it is known and again whenever it changes, until `is_stopped()`."""
    view = RegistryView()
    topic = full_name(topic_prefix, AGENT_REGISTRY)
    yielded: str | None = None
    for batch in follow_topics(broker, [topic], is_stopped=is_stopped):
        for record in batch:
            view.take(record)
        if view.active is not None and view.active.digest != yielded:
            yielded = view.active.digest
            yield view.active


class RegistryView:
    """What the records read so far amount to. `active` changes only when a manifest and all its parts are there."""

    def __init__(self) -> None:
        self.active: ActiveSet | None = None
        self._records: dict[str, AgentRecord] = {}
        self._manifest: Manifest | None = None

    def take(self, record: ConsumedRecord) -> None:
        """Take one record of the registry topic; a value nobody can read is passed over, the last good set stays."""
        try:
            self._take(record.key_text, record.value)
        except ValidationError:
            return
        self._activate()

    def _take(self, key: str | None, value: bytes | None) -> None:
        if key is None:
            return
        if value is None:
            self._records.pop(key, None)
        elif key == MANIFEST_KEY:
            self._manifest = Manifest.from_json(value)
        else:
            self._records[key] = AgentRecord.from_json(value)

    def _activate(self) -> None:
        if self._manifest is None:
            return
        if self.active is not None and self.active.digest == self._manifest.digest:
            return
        try:
            complete = ActiveSet.from_records(self._manifest, self._records)
        except ValidationError:
            return
        if complete is not None:
            self.active = complete
