"""All that a runner holds between polls and commits: partitions' progress, the backlog, what is settled but not committed.

Pure: no threads, no clock, no broker. The runner asks what to start and what to commit, and reports what happened.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agents.backlog import Backlog, Item
from agents.intake import Standing
from agents.offsets import PartitionProgress
from agents.serving import AgentTopics
from agents.settle import Again, Settled, read_task, refuse
from connectors.broker import CommittedOffset, ConsumedRecord, OutgoingRecord, Partition
from signalbox.contracts.dead_letter import DeadLetterReason

MAX_SETTLED_PER_COMMIT: Final = 500
"""A transaction stays far below its timeout, however many handlers finished while the last one ran."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of an item, counted."""

    item: Item
    attempt: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What the next transaction carries, and the starts that may run once it is committed.

    `settled` and `acknowledged` are how many of each it carries, from the front; `dead_letters` are the reasons of those among them.
    """

    records: tuple[OutgoingRecord, ...]
    offsets: Mapping[Partition, CommittedOffset]
    settled: int
    starts: tuple[Start, ...]
    acknowledged: int = 0
    dead_letters: tuple[DeadLetterReason, ...] = ()


@dataclass(frozen=True, slots=True)
class Takeover:
    """What a rebalance changed. `behind` are partitions to read again from an offset, because others had them."""

    gained: frozenset[Partition]
    lost: frozenset[Partition]
    behind: Mapping[Partition, int]


class Workload:
    """The records of one agent process, from delivery to commit."""

    def __init__(self, topics: AgentTopics) -> None:
        self._topics = topics
        self._progress: dict[Partition, PartitionProgress] = {}
        self._committed: dict[Partition, CommittedOffset] = {}
        self._backlog = Backlog()
        self._settled: list[tuple[Partition, int, Settled]] = []
        self._noting: list[Start] = []
        self._acknowledged: list[tuple[Partition, OutgoingRecord]] = []
        self._commits = itertools.count(1)

    @property
    def waiting(self) -> int:
        """Items not started, or waiting for a retry."""
        return len(self._backlog)

    @property
    def held(self) -> int:
        """All that is not committed, but for what is running."""
        return len(self._backlog) + len(self._settled) + len(self._noting)

    @property
    def noting(self) -> int:
        """Starts that wait for their commit."""
        return len(self._noting)

    @property
    def is_commit_needed(self) -> bool:
        """Something is settled, a start waits to be noted, or one is to be told of."""
        return bool(self._settled or self._noting or self._acknowledged)

    @property
    def next_due_ms(self) -> int | None:
        """When the next retry is due."""
        return self._backlog.next_due_ms()

    def take_over(self, assignment: frozenset[Partition], standing: Standing) -> Takeover:
        """Adjust to a new assignment. Work on lost partitions is forgotten: whoever has them now does it.

        Call it with no commit under way: `standing` must be the last word on what is committed.
        """
        before = set(self._progress)
        # Someone else may have had a partition in between; then what we know of it is out of date.
        stale = {
            partition
            for partition in before & assignment
            if standing.committed.get(partition) != self._committed.get(partition)
        }
        lost = frozenset((before - assignment) | stale)
        self._forget(lost)
        gained = frozenset(assignment - before) | stale
        for partition in gained:
            committed = standing.committed.get(partition)
            self._progress[partition] = PartitionProgress(
                committed, standing.ends.get(partition, 0)
            )
            if committed is not None:
                self._committed[partition] = committed
        behind = {p: self._committed[p].offset if p in self._committed else 0 for p in stale}
        return Takeover(gained, lost, behind)

    def receive(self, records: Sequence[ConsumedRecord], now_ms: int) -> None:
        """Take polled records in; what is no task is settled at once, as a dead letter."""
        for record in records:
            progress = self._progress.get(record.source)
            if progress is None or not progress.accept(record.offset):
                continue
            task = read_task(record)
            if isinstance(task, tuple):
                settled = refuse(self._topics, record, task[0], task[1], now_ms)
                self._settled.append((record.source, record.offset, settled))
            else:
                self._backlog.add(Item(record, task, progress))

    def take(self, now_ms: int) -> Item | None:
        """Take the item whose turn it is; None when nothing may start now."""
        return self._backlog.take(now_ms)

    def starts_before(self, item: Item) -> int:
        """Return how often the item was started, by this process or a former one."""
        return self._progress[item.partition].starts_before(item.record.offset)

    def is_suspect(self, item: Item) -> bool:
        """Say whether the item was running when a former process ended."""
        return self._progress[item.partition].is_suspect(item.record.offset)

    def begin(self, item: Item) -> Start | None:
        """Count a start. None: it is noted with the next commit and runs after it (`Batch.starts`)."""
        progress = self._progress[item.partition]
        is_noted_first = progress.is_noted_first(item.record.offset)
        start = Start(item, progress.start(item.record.offset))
        if not is_noted_first:
            return start
        self._noting.append(start)
        return None

    def acknowledge(self, item: Item, record: OutgoingRecord) -> None:
        """Let `record`, which says that an item is worked on, leave with the next commit; nothing waits for it."""
        self._acknowledged.append((item.partition, record))

    def is_ours(self, item: Item) -> bool:
        """Say whether the item's partition is still assigned, without a break."""
        return self._progress.get(item.partition) is item.lease

    def settle(self, item: Item, settled: Settled) -> None:
        """Take a task's end in; its key is free for the next record."""
        self._settled.append((item.partition, item.record.offset, settled))
        self._backlog.done(item)

    def retry(self, item: Item, again: Again, now_ms: int) -> None:
        """Give an item back for another attempt."""
        self._backlog.put_back(item, now_ms + again.delay_ms)

    def leave(self, item: Item) -> None:
        """Free the key of an item that is not ours any more."""
        self._backlog.done(item)

    def next_batch(self, ahead: int) -> Batch:
        """Put the next transaction together. Until `committed`, the same settled tasks come again.

        Args:
            ahead: how many more records may be taken in at most until it is committed.
        """
        chosen = self._settled[:MAX_SETTLED_PER_COMMIT]
        said = self._acknowledged[:MAX_SETTLED_PER_COMMIT]
        touched = {start.item.partition for start in self._noting}
        touched |= {partition for partition, _ in said}
        for partition, offset, _ in chosen:
            self._progress[partition].finish(offset)
            touched.add(partition)
        number = next(self._commits)
        return Batch(
            (
                # First: of a task that ended meanwhile, its beginning is told before its end.
                *(record for _, record in said),
                *(record for _, _, settled in chosen for record in settled.records),
            ),
            {
                partition: self._progress[partition].to_commit(number, ahead)
                for partition in touched
            },
            len(chosen),
            tuple(self._noting),
            len(said),
            tuple(settled.reason for _, _, settled in chosen if settled.reason is not None),
        )

    def committed(self, batch: Batch) -> None:
        """Forget what `batch` carried: it is on the topics."""
        self._committed.update(batch.offsets)
        del self._settled[: batch.settled]
        del self._acknowledged[: batch.acknowledged]
        done = set(map(id, batch.starts))
        self._noting = [start for start in self._noting if id(start) not in done]

    def _forget(self, lost: frozenset[Partition]) -> None:
        for partition in lost:
            self._progress.pop(partition, None)
            self._committed.pop(partition, None)
        self._settled = [entry for entry in self._settled if entry[0] not in lost]
        self._acknowledged = [entry for entry in self._acknowledged if entry[0] not in lost]
        for start in self._noting:
            if start.item.partition in lost:
                self._backlog.done(start.item)
        self._noting = [start for start in self._noting if start.item.partition not in lost]
        self._backlog.drop(lambda partition: partition in lost)
