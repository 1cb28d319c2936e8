"""Kafka's consumers through kafka-python: a group member with offsets by hand, and a reader without a group."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import kafka
from kafka.structs import TopicPartition

from connectors.broker import BrokerError, CommittedOffset, ConsumedRecord, Partition
from connectors.kafka_client import (
    MAX_REQUEST_BYTES,
    KafkaMembership,
    errors_translated,
    to_client,
)

_SESSION_TIMEOUT_MS: Final = 10_000
_HEARTBEAT_INTERVAL_MS: Final = 2_000
_CALL_TIMEOUT_MS: Final = 30_000
_TOPIC_PATIENCE_SECONDS: Final = 10.0

# The client has no types; naming it Any once keeps the calls readable.
_KafkaConsumer: Any = kafka.KafkaConsumer


def _consumer_options(common: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **common,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        # A topic that is created after its reader is found within seconds instead of five minutes.
        "metadata_max_age_ms": 10_000,
        "max_partition_fetch_bytes": MAX_REQUEST_BYTES,
    }


def _record(record: Any) -> ConsumedRecord:
    return ConsumedRecord(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        dict(record.headers or ()),
        record.timestamp,
    )


def _polled(consumer: Any, timeout_seconds: float, max_records: int) -> list[ConsumedRecord]:
    with errors_translated():
        found = consumer.poll(timeout_ms=int(timeout_seconds * 1000), max_records=max_records)
    return [_record(record) for records in found.values() for record in records]


def _await_partitions(consumer: Any, topics: Sequence[str]) -> None:
    """Wait a while until the client knows the partitions of `topics`; the first poll joins the group.

    A leader that joins before it knows them assigns itself nothing and rejoins at once. In kafka-python 3.0.12 that quick
    second join can lose the wake-up of the heartbeats: the broker removes the member and the client never notices (seen).
    """
    deadline = time.monotonic() + _TOPIC_PATIENCE_SECONDS
    for topic in topics:
        while not consumer.partitions_for_topic(topic) and time.monotonic() < deadline:
            time.sleep(0.1)


class KafkaGroupConsumer:
    """A group member with offsets by hand.

    With `instance` it is a static member: a process killed and started again takes its partitions back at once,
    instead of after the dead one's session timeout, and the old one is fenced.
    """

    def __init__(
        self,
        common: Mapping[str, Any],
        group: str,
        topics: Sequence[str],
        instance: str | None,
    ) -> None:
        with errors_translated():
            self._consumer = _KafkaConsumer(
                *topics,
                **_consumer_options(common),
                group_id=group,
                group_instance_id=instance,
                session_timeout_ms=_SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=_HEARTBEAT_INTERVAL_MS,
            )
            _await_partitions(self._consumer, topics)

    def poll(self, *, timeout_seconds: float, max_records: int) -> Sequence[ConsumedRecord]:
        """Return what is there; see `connectors.broker.GroupConsumer.poll`."""
        return _polled(self._consumer, timeout_seconds, max_records)

    def assignment(self) -> frozenset[Partition]:
        """Return the partitions assigned at the last poll."""
        return frozenset(Partition(*partition) for partition in self._consumer.assignment())

    def membership(self) -> KafkaMembership:
        """Return who this member is in the group now."""
        return KafkaMembership(self._consumer.group_metadata())

    def committed(self, partitions: Iterable[Partition]) -> Mapping[Partition, CommittedOffset]:
        """Return what the group committed; waits for a transaction that is just ending."""
        found: dict[Partition, CommittedOffset] = {}
        for partition in partitions:
            with errors_translated():
                committed = self._consumer.committed(
                    TopicPartition(*partition), metadata=True, timeout_ms=_CALL_TIMEOUT_MS
                )
            if committed is not None and committed.offset >= 0:
                found[partition] = CommittedOffset(committed.offset, committed.metadata or "")
        return found

    def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Commit outside a transaction."""
        with errors_translated():
            self._consumer.commit(to_client(offsets), timeout_ms=_CALL_TIMEOUT_MS)

    def seek(self, partition: Partition, offset: int) -> None:
        """Read from `offset` next."""
        self._consumer.seek(TopicPartition(*partition), offset)

    def position(self, partition: Partition) -> int:
        """Return the offset that is read next."""
        return _position(self._consumer, partition)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no records of these until resumed; membership stays."""
        self._consumer.pause(*(TopicPartition(*partition) for partition in partitions))

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Undo `pause`."""
        self._consumer.resume(*(TopicPartition(*partition) for partition in partitions))

    def end_offsets(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Return the offset after the last committed record of each."""
        return _end_offsets(self._consumer, partitions)

    def close(self) -> None:
        """Let go; a static member keeps its partitions for its next start until the session times out."""
        with errors_translated():
            self._consumer.close(autocommit=False, timeout_ms=5000)


class KafkaLogReader:
    """Reads chosen partitions without a group."""

    def __init__(self, common: Mapping[str, Any]) -> None:
        with errors_translated():
            self._consumer = _KafkaConsumer(**_consumer_options(common), group_id=None)

    def partitions(self, topic: str) -> tuple[Partition, ...]:
        """Return the partitions of `topic`; empty when there is no such topic."""
        with errors_translated():
            numbers = self._consumer.partitions_for_topic(topic)
        return tuple(Partition(topic, number) for number in sorted(numbers or ()))

    def assign(self, partitions: Sequence[Partition]) -> None:
        """Read these, each from its beginning."""
        chosen = [TopicPartition(*partition) for partition in partitions]
        self._consumer.assign(chosen)
        if chosen:
            self._consumer.seek_to_beginning(*chosen)

    def end_offsets(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Return the offset after the last committed record of each."""
        return _end_offsets(self._consumer, partitions)

    def beginning_offsets(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Return the oldest offset that is kept of each."""
        chosen = [TopicPartition(*partition) for partition in partitions]
        if not chosen:
            return {}
        with errors_translated(), _leaders_known():
            found = self._consumer.beginning_offsets(chosen, timeout_ms=_CALL_TIMEOUT_MS)
        return {Partition(*partition): int(offset) for partition, offset in found.items()}

    def offsets_at(
        self, partitions: Iterable[Partition], timestamp_ms: int
    ) -> Mapping[Partition, int]:
        """Return the first offset of each whose record is of `timestamp_ms` or later; its end where there is none."""
        chosen = list(partitions)
        ends = self.end_offsets(chosen)
        if not chosen:
            return {}
        asked = dict.fromkeys((TopicPartition(*one) for one in chosen), max(0, timestamp_ms))
        with errors_translated():
            found = self._consumer.offsets_for_times(asked, timeout_ms=_CALL_TIMEOUT_MS)
        return {
            one: ends[one] if (place := found.get(TopicPartition(*one))) is None else place.offset
            for one in chosen
        }

    def position(self, partition: Partition) -> int:
        """Return the offset that is read next."""
        return _position(self._consumer, partition)

    def seek(self, partition: Partition, offset: int) -> None:
        """Read from `offset` next."""
        self._consumer.seek(TopicPartition(*partition), offset)

    def poll(self, *, timeout_seconds: float, max_records: int) -> Sequence[ConsumedRecord]:
        """Return what is there, waiting at most `timeout_seconds` for the first record."""
        return _polled(self._consumer, timeout_seconds, max_records)

    def close(self) -> None:
        """Let go of the connection."""
        with errors_translated():
            self._consumer.close(autocommit=False, timeout_ms=2000)


def _position(consumer: Any, partition: Partition) -> int:
    with errors_translated():
        position = consumer.position(TopicPartition(*partition), timeout_ms=_CALL_TIMEOUT_MS)
    return int(position or 0)


@contextmanager
def _leaders_known() -> Iterator[None]:
    # kafka-python 3.0.12 raises a bare KeyError for a partition whose leader it does not know yet, as of a topic just made (seen).
    try:
        yield
    except KeyError as error:
        msg = f"no leader of {error.args[0]} is known yet; try again"
        raise BrokerError(msg) from error


def _end_offsets(consumer: Any, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
    chosen = [TopicPartition(*partition) for partition in partitions]
    if not chosen:
        return {}
    with errors_translated(), _leaders_known():
        found = consumer.end_offsets(chosen, timeout_ms=_CALL_TIMEOUT_MS)
    return {Partition(*partition): int(offset) for partition, offset in found.items()}
