"""A lead source's one transaction: the leads, the dead letters, and how far the source has read.

Progress is a record on `source_progress` (compacted, key = the source's name), so it is there exactly when the leads
are: after a crash at any moment a source goes on behind the last lead that readers of committed records can see.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import orjson

from connectors.broker import Broker, BrokerError, OutgoingRecord, TransactionalProducer
from connectors.topic_reader import read_topic
from signalbox.errors import SignalboxError
from signalbox.topics import SOURCE_PROGRESS, full_name

PATIENCE_SECONDS: Final = 30.0
"""How long one transaction may take: longer than the broker keeps one open, shorter than a person waits."""

Progress = Mapping[str, Any]
"""Where a source goes on, as JSON; empty where it has nothing to remember."""

_T = TypeVar("_T")


class SourceLedger:
    """Transactions of the source `name`, under a transactional id of its own. Belongs to one thread.

    Two processes of one name cannot both write: opening the second fences the first.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        *,
        topic_prefix: str = "",
        group_prefix: str = "",
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._broker = broker
        self._name = name
        self._topic = full_name(topic_prefix, SOURCE_PROGRESS)
        self._id = f"{group_prefix}{topic_prefix}source-{name}"
        self._patience_seconds = patience_seconds
        self._producer: TransactionalProducer | None = None

    def open(self) -> Progress:
        """End what an older process left open, and return the progress that was committed last; empty at first.

        Raises:
            BrokerError: the broker is away, or the topic is missing.
        """
        self.close()
        # First the producer: whatever was open has ended when it is there, so what is read then is the last word.
        self._producer = self._in_time(lambda: self._broker.transactional_producer(self._id))
        return self._in_time(self._read)

    def commit(self, records: Sequence[OutgoingRecord], progress: Progress) -> None:
        """Write `records` and `progress` in one transaction.

        Delivery: both once, or neither.

        Raises:
            FencedError: another process took over this source; end this one.
            BrokerError: unknown; `open` says what became of it.
        """
        producer = self._producer
        if producer is None:
            msg = "open() first"
            raise RuntimeError(msg)

        def write() -> None:
            producer.begin()
            for record in records:
                producer.send(record)
            value = orjson.dumps(dict(progress))
            producer.send(OutgoingRecord(self._topic, self._name.encode(), value))
            producer.commit()

        self._in_time(write)

    def close(self) -> None:
        """Let go of the producer; an open transaction is aborted."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(SignalboxError):
                self._in_time(producer.close)

    def _read(self) -> Progress:
        last: Progress = {}
        for record in read_topic(self._broker, self._topic, key=self._name.encode()):
            last = orjson.loads(record.value) if record.value else {}
        return last

    def _in_time(self, work: Callable[[], _T]) -> _T:
        """Return what `work` returns. The client waits without a limit, also for a request that it lost itself."""
        done: list[_T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                done.append(work())
            except BaseException as error:  # raised again in the caller's thread
                failed.append(error)

        thread = threading.Thread(target=run, name="transaction", daemon=True)
        thread.start()
        thread.join(self._patience_seconds)
        if failed:
            raise failed[0]
        if not done:
            self._producer = None
            msg = (
                f"no word from the broker after {self._patience_seconds:g} s; "
                "what became of the transaction is found out with a new producer"
            )
            raise BrokerError(msg)
        return done[0]
