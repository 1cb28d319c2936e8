"""Messages from the event loop onto a topic, in batches; each caller waits for the broker's acknowledgement of its own.

One producer, two threads: one hands batches over, one waits for their acknowledgements, so that the next batch is on its way
meanwhile. While the broker is away nothing is kept for later: callers are told at once, and a new producer is tried in the
background.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final

import structlog

from connectors.broker import BrokerError, Delivery, OutgoingRecord, Producer
from signalbox.errors import SignalboxError
from signalbox.gateway.problems import TooManyRequestsError

LINGER_SECONDS: Final = 0.002
"""How long the first record of a batch waits for others."""
RETRY_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.2
_CLOSE_SECONDS: Final = 6.0
_FIRST: Final = "not connected yet"

_log: Any = structlog.get_logger()


@dataclass(slots=True)
class _Batch:
    """Records that are handed over together, and who waits for each."""

    records: list[OutgoingRecord] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    handed_over_at: float = 0.0


class Publisher:
    """Writes records for the tasks of one event loop.

    Args:
        make_producer: connects; tried again and again while it raises.
        ack_seconds: how long an acknowledgement is waited for.
        max_waiting: how many records may be without one; more are refused.
        linger_seconds: how long a batch is filled.
    """

    def __init__(
        self,
        make_producer: Callable[[], Producer],
        *,
        ack_seconds: float = 10.0,
        max_waiting: int = 10_000,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._make_producer = make_producer
        self._ack_seconds = ack_seconds
        self._max_waiting = max_waiting
        self._linger_seconds = linger_seconds
        self._filling: _Batch | None = None
        self._count = 0
        self._to_send: SimpleQueue[_Batch] = SimpleQueue()
        self._to_await: SimpleQueue[_Batch | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._trouble: str | None = _FIRST
        self.published = 0
        self.failed = 0
        self._threads: list[threading.Thread] = []

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written now; None where it can."""
        return self._trouble

    @property
    def waiting(self) -> int:
        """How many records wait for their acknowledgement."""
        return self._count

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        self._loop = asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=work, name=f"publisher{work.__name__}", daemon=True)
            for work in (self._send_batches, self._await_batches)
        ]
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """Hand over what is there, wait for it shortly, and let go of the producer."""
        self._hand_over()
        self._trouble = "the gateway is stopping"
        self._stopping.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, self._ack_seconds + _CLOSE_SECONDS)

    async def publish(self, record: OutgoingRecord) -> None:
        """Write a record and return once the broker has acknowledged it.

        Delivery: at least once. A record without acknowledgement may still be written: send it again under its id.

        Raises:
            BrokerError: the broker is away, or has not acknowledged it in time.
            TooManyRequestsError: too many wait already.
        """
        if (trouble := self.trouble) is not None:
            self.failed += 1
            raise _away(trouble)
        if self._count >= self._max_waiting:
            self.failed += 1
            msg = f"{self._count} messages wait for the broker"
            raise TooManyRequestsError(msg, "send slower", retry_after_seconds=1)
        done: asyncio.Future[None] = self._loop.create_future()
        if self._filling is None:
            self._filling = _Batch()
            self._loop.call_later(self._linger_seconds, self._hand_over)
        self._filling.records.append(record)
        self._filling.waiting.append(done)
        self._count += 1
        await done

    # ── on the loop ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _hand_over(self) -> None:
        batch, self._filling = self._filling, None
        if batch is not None:
            batch.handed_over_at = time.monotonic()
            self._to_send.put(batch)

    def _ended(self, batch: _Batch, errors: Sequence[SignalboxError | None]) -> None:
        self._count -= len(batch.waiting)
        failed = sum(error is not None for error in errors)
        self.failed += failed
        self.published += len(errors) - failed
        for done, error in zip(batch.waiting, errors, strict=True):
            if done.done():  # its client went away
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    # ── in the threads ──────────────────────────────────────────────────────────────────────────────────────────────

    def _send_batches(self) -> None:
        while not self._stopping.is_set():
            producer = self._connected()
            if producer is None:
                self._stopping.wait(RETRY_SECONDS)
                continue
            self._serve(producer)
            # What is not acknowledged by now is dropped with it, and its callers are told.
            _closed(producer)
        self._refuse_waiting()
        self._to_await.put(None)

    def _connected(self) -> Producer | None:
        try:
            producer = self._make_producer()
        except Exception as error:
            self._is_away(_as_ours(error))
            self._refuse_waiting()
            return None
        self._trouble = None
        _log.info("broker.reached")
        return producer

    def _serve(self, producer: Producer) -> None:
        """Hand batches over until one of them fails, or it is time to stop."""
        while self._trouble is None or self._stopping.is_set():
            try:
                batch = self._to_send.get(timeout=_LOOK_SECONDS)
            except Empty:
                if self._stopping.is_set():
                    return
                continue
            self._send(producer, batch)

    def _send(self, producer: Producer, batch: _Batch) -> None:
        try:
            for record in batch.records:
                batch.deliveries.append(
                    producer.send(
                        record.topic, key=record.key, value=record.value, headers=record.headers
                    )
                )
        except Exception as error:
            unsent = len(batch.records) - len(batch.deliveries)
            batch.deliveries += [_Failed(_as_ours(error))] * unsent
        self._to_await.put(batch)

    def _await_batches(self) -> None:
        while (batch := self._to_await.get()) is not None:
            deadline = batch.handed_over_at + self._ack_seconds
            errors = [
                _error_of(delivery, max(0.0, deadline - time.monotonic()))
                for delivery in batch.deliveries
            ]
            if (first := next((error for error in errors if error), None)) is not None:
                self._is_away(first)
            self._tell(batch, errors)

    def _is_away(self, error: SignalboxError) -> None:
        if self._stopping.is_set():
            return
        if self._trouble is None or self._trouble == _FIRST:
            _log.warning("broker.away", detail=str(error))
        self._trouble = str(error)

    def _refuse_waiting(self) -> None:
        with suppress(Empty):
            while True:
                batch = self._to_send.get_nowait()
                self._tell(batch, [_away(self._trouble)] * len(batch.records))

    def _tell(self, batch: _Batch, errors: Sequence[SignalboxError | None]) -> None:
        # One call into the loop for all of them: each would wake it up.
        self._loop.call_soon_threadsafe(self._ended, batch, errors)


@dataclass(frozen=True, slots=True)
class _Failed:
    """A record that could not even be handed over."""

    error: SignalboxError

    def result(self, timeout_seconds: float) -> tuple[int, int]:
        """Raise why."""
        raise self.error


def _error_of(delivery: Delivery, seconds: float) -> SignalboxError | None:
    try:
        delivery.result(seconds)
    except Exception as error:
        return _as_ours(error)
    return None


def _as_ours(error: Exception) -> SignalboxError:
    """Return what a caller is told: a thread must not end of what its client raises, or nobody would be told anything."""
    if isinstance(error, SignalboxError):
        return error
    _log.error("producer.failed", detail=repr(error), exc_info=error)
    return BrokerError(f"the Kafka client failed: {type(error).__name__}")


def _away(why: str | None) -> BrokerError:
    return BrokerError(f"the broker does not take messages now: {why}", retry_after_seconds=1)


def _closed(producer: Producer) -> None:
    try:
        producer.close()
    except Exception as error:
        _log.warning("producer.not_closed", detail=str(error))
