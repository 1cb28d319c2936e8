"""The in-memory twin of Kafka: topics, partitions, groups, transactions with fencing, read_committed.

For tests of ours and of anybody's agents. One lock guards everything, so threads may share a broker. What it leaves
out: retention, compaction, sizes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from connectors.broker import (
    MAX_METADATA_BYTES,
    BrokerError,
    CommittedOffset,
    ConsumedRecord,
    FencedError,
    Membership,
    OutgoingRecord,
    Partition,
    RebalancedError,
)
from connectors.memory_log import Fate, MemoryLog, Transaction


class _Done:
    def __init__(self, place: tuple[int, int]) -> None:
        self._place = place

    def result(self, timeout_seconds: float) -> tuple[int, int]:
        return self._place


class MemoryProducer:
    """A plain producer; everything is acknowledged at once."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, bytes] | None = None,
    ) -> _Done:
        """Append the record."""
        return _Done(self._log.append(OutgoingRecord(topic, key, value, headers or {}), None))

    def flush(self, timeout_seconds: float) -> None:
        """Do nothing: nothing is buffered."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class MemoryMembership:
    """A member of a group in one generation."""

    group: str
    member: int
    generation: int


class MemoryTransactionalProducer:
    """Transactions with epochs, as Kafka's: the newest producer of an id wins."""

    def __init__(self, log: MemoryLog, transactional_id: str, epoch: int) -> None:
        self._log = log
        self._id = transactional_id
        self._epoch = epoch

    def begin(self) -> None:
        """Open a transaction."""
        with self._log.lock:
            self._refuse_if_fenced()
            if self._id in self._log.open:
                msg = f"a transaction of {self._id!r} is open; commit or abort it first"
                raise BrokerError(msg)
            self._log.open[self._id] = Transaction()

    def send(self, record: OutgoingRecord) -> None:
        """Add a record."""
        with self._log.lock:
            self._log.append(record, self._current())

    def send_offsets(
        self, offsets: Mapping[Partition, CommittedOffset], membership: Membership
    ) -> None:
        """Add the group's offsets."""
        if not isinstance(membership, MemoryMembership):
            msg = f"a membership of this broker is needed, got {membership!r}"
            raise TypeError(msg)
        with self._log.lock:
            transaction = self._current()
            _refuse_stale(self._log, membership)
            _refuse_long_metadata(offsets)
            transaction.offsets.append((membership.group, dict(offsets)))

    def commit(self) -> None:
        """Make all of it visible."""
        with self._log.lock:
            transaction = self._current()
            del self._log.open[self._id]
            self._log.end(transaction, Fate.COMMITTED)

    def abort(self) -> None:
        """Drop the open transaction, if there is one."""
        with self._log.lock:
            self._refuse_if_fenced()
            transaction = self._log.open.pop(self._id, None)
            if transaction is not None:
                self._log.end(transaction, Fate.ABORTED)

    def close(self) -> None:
        """Abort what is open, unless fenced."""
        with self._log.lock:
            if self._log.epochs.get(self._id) == self._epoch:
                self.abort()

    def _refuse_if_fenced(self) -> None:
        if self._log.epochs.get(self._id) != self._epoch:
            msg = f"a newer producer has the transactional id {self._id!r}; end this process"
            raise FencedError(msg)

    def _current(self) -> Transaction:
        self._refuse_if_fenced()
        transaction = self._log.open.get(self._id)
        if transaction is None:
            msg = f"no transaction of {self._id!r} is open; begin one first"
            raise BrokerError(msg)
        return transaction


def _refuse_stale(log: MemoryLog, membership: MemoryMembership) -> None:
    group = log.groups[membership.group]
    if membership.generation != group.generation or membership.member not in group.members:
        msg = f"group {membership.group!r} is at generation {group.generation}, not {membership.generation}; poll first"
        raise RebalancedError(msg)


def _refuse_long_metadata(offsets: Mapping[Partition, CommittedOffset]) -> None:
    for partition, committed in offsets.items():
        if len(committed.metadata.encode()) > MAX_METADATA_BYTES:
            msg = f"metadata of {partition} has {len(committed.metadata)} bytes; at most {MAX_METADATA_BYTES}"
            raise BrokerError(msg)


class _Cursor:
    """Where each partition is read next, and which are paused."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()

    def seek(self, partition: Partition, offset: int) -> None:
        """Read from `offset` next."""
        if partition not in self._positions:
            msg = f"{partition} is not assigned"
            raise ValueError(msg)
        self._positions[partition] = offset

    def position(self, partition: Partition) -> int:
        """Return the offset that is read next."""
        return self._positions[partition]

    def end_offsets(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Return the last stable offset of each."""
        with self._log.lock:
            return {partition: self._log.stable_end(partition) for partition in partitions}

    def _take(self, max_records: int) -> list[ConsumedRecord]:
        records: list[ConsumedRecord] = []
        for partition in sorted(self._positions):
            if partition in self._paused or len(records) == max_records:
                continue
            found, position = self._log.read(
                partition, self._positions[partition], max_records - len(records)
            )
            self._positions[partition] = position
            records.extend(found)
        return records


class MemoryGroupConsumer(_Cursor):
    """A group member; the rebalance happens in its own `poll`, eager, as with the real client."""

    def __init__(self, log: MemoryLog, group: str, member: int) -> None:
        super().__init__(log)
        self._group = group
        self._member = member
        self._generation = -1

    def poll(self, *, timeout_seconds: float, max_records: int) -> Sequence[ConsumedRecord]:
        """Return what is there, waiting for the first record."""
        deadline = time.monotonic() + timeout_seconds
        with self._log.lock:
            while True:
                self._follow_the_group()
                records = self._take(max_records)
                left = deadline - time.monotonic()
                if records or left <= 0:
                    return records
                self._log.lock.wait(left)

    def _follow_the_group(self) -> None:
        state = self._log.groups[self._group]
        if self._member in state.fenced:
            msg = f"another member of group {self._group!r} has this instance id; end this process"
            raise FencedError(msg)
        if state.generation == self._generation:
            return
        self._generation = state.generation
        assigned = self._log.assigned(self._group, self._member)
        self._positions = {
            partition: state.offsets.get(partition, CommittedOffset(0)).offset
            for partition in assigned
        }
        self._paused &= assigned

    def assignment(self) -> frozenset[Partition]:
        """Return the partitions assigned at the last poll."""
        return frozenset(self._positions)

    def membership(self) -> MemoryMembership:
        """Return this member in the generation of its last poll."""
        return MemoryMembership(self._group, self._member, self._generation)

    def committed(self, partitions: Iterable[Partition]) -> Mapping[Partition, CommittedOffset]:
        """Return what the group committed."""
        with self._log.lock:
            offsets = self._log.groups[self._group].offsets
            return {
                partition: offsets[partition] for partition in partitions if partition in offsets
            }

    def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Commit outside a transaction."""
        with self._log.lock:
            _refuse_stale(self._log, self.membership())
            _refuse_long_metadata(offsets)
            self._log.groups[self._group].offsets.update(offsets)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no records of these until resumed."""
        self._paused.update(partitions)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Undo `pause`."""
        self._paused.difference_update(partitions)

    def close(self) -> None:
        """Leave the group."""
        self._log.leave(self._group, self._member)


class MemoryLogReader(_Cursor):
    """Reads chosen partitions without a group."""

    def partitions(self, topic: str) -> tuple[Partition, ...]:
        """Return the partitions of `topic`."""
        with self._log.lock:
            return self._log.partitions(topic)

    def assign(self, partitions: Sequence[Partition]) -> None:
        """Read these, each from its beginning."""
        self._positions = dict.fromkeys(partitions, 0)

    def beginning_offsets(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Return the oldest offset of each: nothing is ever forgotten here."""
        return dict.fromkeys(partitions, 0)

    def offsets_at(
        self, partitions: Iterable[Partition], timestamp_ms: int
    ) -> Mapping[Partition, int]:
        """Return the first offset of each whose record is of `timestamp_ms` or later; its end where there is none."""
        with self._log.lock:
            return {one: self._log.offset_at(one, timestamp_ms) for one in partitions}

    def poll(self, *, timeout_seconds: float, max_records: int) -> Sequence[ConsumedRecord]:
        """Return what is there, waiting for the first record."""
        deadline = time.monotonic() + timeout_seconds
        with self._log.lock:
            while True:
                records = self._take(max_records)
                left = deadline - time.monotonic()
                if records or left <= 0:
                    return records
                self._log.lock.wait(left)

    def close(self) -> None:
        """Do nothing."""


class MemoryBroker:
    """A whole Kafka in one object. An unknown topic is refused, as on the real one: `create_topic` first."""

    def __init__(self, now_ms: Callable[[], int] = lambda: 0) -> None:
        self._log = MemoryLog(now_ms)

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Create a topic; one that exists is left as it is."""
        self._log.create_topic(name, partitions)

    def producer(self) -> MemoryProducer:
        """Return a plain producer."""
        return MemoryProducer(self._log)

    def transactional_producer(self, transactional_id: str) -> MemoryTransactionalProducer:
        """Return the producer of this id; older ones are fenced and their open transaction is aborted."""
        with self._log.lock:
            epoch = self._log.epochs.get(transactional_id, 0) + 1
            self._log.epochs[transactional_id] = epoch
            left_open = self._log.open.pop(transactional_id, None)
            if left_open is not None:
                self._log.end(left_open, Fate.ABORTED)
        return MemoryTransactionalProducer(self._log, transactional_id, epoch)

    def group_consumer(
        self, group: str, topics: Sequence[str], *, instance: str | None = None
    ) -> MemoryGroupConsumer:
        """Return a new member of `group`; it takes effect for the others at their next poll."""
        return MemoryGroupConsumer(self._log, group, self._log.join(group, topics, instance))

    def committed(self, group: str, partition: Partition) -> CommittedOffset | None:
        """Return where `group` stands, for assertions."""
        with self._log.lock:
            state = self._log.groups.get(group)
            return None if state is None else state.offsets.get(partition)

    def log_reader(self) -> MemoryLogReader:
        """Return a reader without a group."""
        return MemoryLogReader(self._log)
