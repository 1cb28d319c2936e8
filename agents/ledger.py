"""The producer's side of the runner: one transaction for results, dead letters and offsets, in one thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from connectors.broker import (
    Broker,
    BrokerError,
    CommittedOffset,
    Membership,
    OutgoingRecord,
    Partition,
    RebalancedError,
    TransactionalProducer,
)
from signalbox.errors import SignalboxError

PATIENCE_SECONDS: Final = 30.0
"""How long one transaction may take: longer than the broker keeps one open, shorter than a person waits."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one transaction carries."""

    records: Sequence[OutgoingRecord]
    offsets: Mapping[Partition, CommittedOffset]
    membership: Membership


class Ledger:
    """Transactions under one stable id. An old process with the same id is fenced when this one opens."""

    def __init__(
        self,
        broker: Broker,
        transactional_id: str,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._broker = broker
        self._id = transactional_id
        self._patience_seconds = patience_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transactions")
        self._producer: TransactionalProducer | None = None

    async def open(self) -> None:
        """Make the producer, or a new one after a failure; what was left open ends. Raises BrokerError."""
        await self._in_thread(self._open)

    def commit(self, entry: Entry) -> asyncio.Future[None]:
        """Write `entry` in one transaction.

        Delivery: all of it once, or nothing.

        Raises:
            RebalancedError: nothing was written; a partition may no longer be ours.
            FencedError: nothing was written; this process must end.
            BrokerError: unknown; `open` again and compare the committed offsets.
        """
        return asyncio.ensure_future(self._in_thread(self._commit, entry))

    async def close(self) -> None:
        """Let go of the producer."""
        if self._producer is not None:
            with suppress(BrokerError):
                await self._in_thread(self._producer.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[..., None], *arguments: Any) -> None:
        running = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        done, _ = await asyncio.wait((running,), timeout=self._patience_seconds)
        if not done:
            self._abandon(running)
            msg = (
                f"no word from the transaction after {self._patience_seconds:g} s; its end is unknown, "
                "a new producer will find out"
            )
            raise BrokerError(msg)
        running.result()

    def _abandon(self, running: asyncio.Future[None]) -> None:
        """Leave the waiting thread behind: the client waits without a limit, also for a request that its own sender lost."""
        # Its late end is nobody's business any more; asking for the exception keeps asyncio from logging it.
        running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        lost, self._producer = self._producer, None
        self._thread.shutdown(wait=False)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transactions")
        if lost is not None:
            threading.Thread(target=_close_quietly, args=(lost,), daemon=True).start()

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


def _close_quietly(producer: TransactionalProducer) -> None:
    with suppress(SignalboxError):
        producer.close()
