"""The state behind the in-memory twin: logs with transaction markers, groups, epochs. Its clients: `connectors.memory`."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from connectors.broker import (
    BrokerError,
    CommittedOffset,
    ConsumedRecord,
    OutgoingRecord,
    Partition,
)


class Fate(Enum):
    """What became of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(slots=True)
class Transaction:
    """One transaction. `touched` maps each partition to the offset of its first record there."""

    fate: Fate = Fate.OPEN
    touched: dict[Partition, int] = field(default_factory=dict)
    offsets: list[tuple[str, Mapping[Partition, CommittedOffset]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entry:
    """A slot of the log. A record of None is a transaction's end marker: it takes an offset, as in Kafka."""

    record: ConsumedRecord | None
    transaction: Transaction | None = None


@dataclass(slots=True)
class Group:
    """A consumer group: members with their topics, and committed offsets."""

    generation: int = 0
    members: dict[int, tuple[str, ...]] = field(default_factory=dict)
    offsets: dict[Partition, CommittedOffset] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    fenced: set[int] = field(default_factory=set)


class MemoryLog:
    """All topics, groups and transactions of one broker. Hold `lock` around everything; it tells waiting readers."""

    def __init__(self, now_ms: Callable[[], int] = lambda: 0) -> None:
        self._now_ms = now_ms
        self.lock = threading.Condition()
        self.topics: dict[str, list[list[Entry]]] = {}
        self.groups: dict[str, Group] = {}
        self.epochs: dict[str, int] = {}
        self.open: dict[str, Transaction] = {}
        self._round_robin = 0
        self._next_member = 0

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Create a topic; one that exists is left as it is."""
        with self.lock:
            self.topics.setdefault(name, [[] for _ in range(partitions)])

    def append(self, record: OutgoingRecord, transaction: Transaction | None) -> tuple[int, int]:
        """Append a record and return (partition, offset)."""
        with self.lock:
            logs = self.topics.get(record.topic)
            if logs is None:
                msg = f"topic {record.topic!r} does not exist; create it first"
                raise BrokerError(msg)
            if record.key is None:
                self._round_robin += 1
                number = self._round_robin % len(logs)
            else:
                number = zlib.crc32(record.key) % len(logs)
            offset = len(logs[number])
            consumed = ConsumedRecord(
                record.topic,
                number,
                offset,
                record.key,
                record.value,
                dict(record.headers),
                self._now_ms(),
            )
            logs[number].append(Entry(consumed, transaction))
            if transaction is not None:
                transaction.touched.setdefault(Partition(record.topic, number), offset)
            self.lock.notify_all()
            return number, offset

    def end(self, transaction: Transaction, fate: Fate) -> None:
        """Commit or abort: markers into the logs, offsets into the groups."""
        transaction.fate = fate
        for topic, number in transaction.touched:
            self.topics[topic][number].append(Entry(None))
        if fate is Fate.COMMITTED:
            for group, offsets in transaction.offsets:
                self.groups[group].offsets.update(offsets)
        self.lock.notify_all()

    def stable_end(self, partition: Partition) -> int:
        """Return the last stable offset: nothing behind the first open transaction is readable."""
        log = self.topics[partition.topic][partition.number]
        firsts = (transaction.touched.get(partition) for transaction in self.open.values())
        return min((first for first in firsts if first is not None), default=len(log))

    def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        """Return the offset of the first record of `timestamp_ms` or later, else the end."""
        end = self.stable_end(partition)
        log = self.topics[partition.topic][partition.number][:end]
        later = (
            place
            for place, entry in enumerate(log)
            if entry.record is not None and entry.record.timestamp_ms >= timestamp_ms
        )
        return next(later, end)

    def read(
        self, partition: Partition, start: int, limit: int
    ) -> tuple[list[ConsumedRecord], int]:
        """Return committed records from `start` on and the offset to go on from."""
        log = self.topics[partition.topic][partition.number]
        records: list[ConsumedRecord] = []
        position = start
        end = self.stable_end(partition)
        while position < end and len(records) < limit:
            entry = log[position]
            position += 1
            is_aborted = entry.transaction is not None and entry.transaction.fate is Fate.ABORTED
            if entry.record is not None and not is_aborted:
                records.append(entry.record)
        return records, position

    def partitions(self, topic: str) -> tuple[Partition, ...]:
        """Return the partitions of `topic`; none for an unknown one."""
        return tuple(Partition(topic, number) for number in range(len(self.topics.get(topic, ()))))

    def assigned(self, group: str, member: int) -> frozenset[Partition]:
        """Return what `member` reads: partition n goes to the n-th member, counted round."""
        members = self.groups[group].members
        assigned: set[Partition] = set()
        for topic in members.get(member, ()):
            sharing = sorted(m for m, topics in members.items() if topic in topics)
            mine = sharing.index(member)
            assigned.update(p for p in self.partitions(topic) if p.number % len(sharing) == mine)
        return frozenset(assigned)

    def join(self, group: str, topics: Sequence[str], instance: str | None) -> int:
        """Add a member to `group` and return its number; an older one of the same instance is fenced."""
        with self.lock:
            self._next_member += 1
            state = self.groups.setdefault(group, Group())
            if instance is not None:
                replaced = state.instances.get(instance)
                if replaced in state.members:
                    del state.members[replaced]
                    state.fenced.add(replaced)
                state.instances[instance] = self._next_member
            state.members[self._next_member] = tuple(topics)
            state.generation += 1
            self.lock.notify_all()
            return self._next_member

    def leave(self, group: str, member: int) -> None:
        """Take a member out; the others get its partitions."""
        with self.lock:
            state = self.groups[group]
            if state.members.pop(member, None) is not None:
                state.generation += 1
                self.lock.notify_all()
