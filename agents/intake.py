"""The consumer's side of the runner: polls in one thread, and says which partitions are ours now and where they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from connectors.broker import (
    Broker,
    CommittedOffset,
    ConsumedRecord,
    GroupConsumer,
    Membership,
    Partition,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll gave; `membership` and `assignment` are those after it."""

    records: Sequence[ConsumedRecord]
    membership: Membership
    assignment: frozenset[Partition]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the group stands in each partition: its commits, and where the partitions end."""

    committed: Mapping[Partition, CommittedOffset]
    ends: Mapping[Partition, int]


class Intake:
    """One consumer in one thread; nothing here waits on the event loop."""

    def __init__(self, broker: Broker, group: str, topic: str, instance: str) -> None:
        self._broker = broker
        self._group = group
        self._topic = topic
        self._instance = instance
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="consumer")
        self._consumer: GroupConsumer | None = None

    async def open(self) -> None:
        """Join the group. Raises BrokerError."""
        self._consumer = await self._run(
            lambda: self._broker.group_consumer(self._group, [self._topic], instance=self._instance)
        )

    def poll(self, *, timeout_seconds: float, max_records: int) -> asyncio.Future[Polled]:
        """Poll for at most `max_records`; 0 keeps the membership and takes nothing."""
        return asyncio.get_running_loop().run_in_executor(
            self._thread, self._poll, timeout_seconds, max_records
        )

    async def standing(self, partitions: frozenset[Partition]) -> Standing:
        """Ask the broker where the group stands in `partitions`."""
        consumer = self._opened()
        return await self._run(
            lambda: Standing(consumer.committed(partitions), consumer.end_offsets(partitions))
        )

    async def is_at_end(self, partitions: frozenset[Partition]) -> bool:
        """Ask whether `partitions` are ours and all that is on them now was polled. Raises BrokerError."""
        consumer = self._opened()

        def look() -> bool:
            if consumer.assignment() != partitions:
                return False
            ends = consumer.end_offsets(partitions)
            return all(consumer.position(partition) >= end for partition, end in ends.items())

        return await self._run(look)

    async def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Read each partition from that offset next."""
        consumer = self._opened()

        def seek_all() -> None:
            for partition, offset in offsets.items():
                consumer.seek(partition, offset)

        await self._run(seek_all)

    async def close(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            await self._run(self._consumer.close)
        self._thread.shutdown(wait=False)

    def _poll(self, timeout_seconds: float, max_records: int) -> Polled:
        consumer = self._opened()
        if max_records > 0:
            records = consumer.poll(timeout_seconds=timeout_seconds, max_records=max_records)
        else:
            # Full: pause rather than drop. What was fetched already stays in the client.
            paused = consumer.assignment()
            consumer.pause(paused)
            records = consumer.poll(timeout_seconds=timeout_seconds, max_records=1)
            consumer.resume(paused & consumer.assignment())
        return Polled(records, consumer.membership(), consumer.assignment())

    def _opened(self) -> GroupConsumer:
        if self._consumer is None:
            msg = "open() first"
            raise RuntimeError(msg)
        return self._consumer

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
