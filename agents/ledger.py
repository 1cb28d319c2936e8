"""The producer's side of the runner: one transaction for results, dead letters and offsets, in one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from connectors.broker import (
    Broker,
    CommittedOffset,
    Membership,
    OutgoingRecord,
    Partition,
    RebalancedError,
    TransactionalProducer,
)
from signalbox.errors import SignalboxError


@dataclass(frozen=True, slots=True)
class Entry:
    """What one transaction carries."""

    records: Sequence[OutgoingRecord]
    offsets: Mapping[Partition, CommittedOffset]
    membership: Membership


class Ledger:
    """Transactions under one stable id. An old process with the same id is fenced when this one opens."""

    def __init__(self, broker: Broker, transactional_id: str) -> None:
        self._broker = broker
        self._id = transactional_id
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transactions")
        self._producer: TransactionalProducer | None = None

    async def open(self) -> None:
        """Make the producer, or a new one after a failure; what was left open ends. Raises BrokerError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def commit(self, entry: Entry) -> asyncio.Future[None]:
        """Write `entry` in one transaction.

        Delivery: all of it once, or nothing.

        Raises:
            RebalancedError: nothing was written; a partition may no longer be ours.
            FencedError: nothing was written; this process must end.
            BrokerError: unknown; `open` again and compare the committed offsets.
        """
        return asyncio.get_running_loop().run_in_executor(self._thread, self._commit, entry)

    async def close(self) -> None:
        """Let go of the producer."""
        if self._producer is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._producer.close)
        self._thread.shutdown(wait=False)

    def _open(self) -> None:
        if self._producer is not None:
            with suppress(SignalboxError):
                self._producer.close()
            self._producer = None
        self._producer = self._broker.transactional_producer(self._id)

    def _commit(self, entry: Entry) -> None:
        producer = self._producer
        if producer is None:
            msg = "open() first"
            raise RuntimeError(msg)
        producer.begin()
        try:
            for record in entry.records:
                producer.send(record)
            producer.send_offsets(entry.offsets, entry.membership)
        except RebalancedError:
            producer.abort()
            raise
        producer.commit()
