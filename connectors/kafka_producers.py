"""Kafka's producers through kafka-python: a plain idempotent one and a transactional one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import kafka
from kafka import errors as kafka_errors

from connectors.broker import CommittedOffset, Membership, OutgoingRecord, Partition
from connectors.kafka_client import (
    MAX_REQUEST_BYTES,
    KafkaMembership,
    errors_translated,
    to_client,
    translated,
)

TRANSACTION_TIMEOUT_MS: Final = 10_000
"""An open transaction hides all that is behind it from read_committed readers, so an orphan must end soon."""

_TRANSACTION_BACKOFF_MS: Final = 2
"""With the default of 100 each transaction waits a whole backoff for its coordinator: 118 ms instead of 7.5."""

# The client has no types; naming it Any once keeps the calls readable.
_KafkaProducer: Any = kafka.KafkaProducer


def _producer_options(common: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **common,
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": "gzip",
        "max_request_size": MAX_REQUEST_BYTES,
        "batch_size": 128 * 1024,
    }


def _headers(headers: Mapping[str, bytes] | None) -> list[tuple[str, bytes]]:
    return list((headers or {}).items())


class KafkaDelivery:
    """A record on its way, over the client's future."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def result(self, timeout_seconds: float) -> tuple[int, int]:
        """Wait for the acknowledgement and return (partition, offset)."""
        with errors_translated():
            placed = self._future.get(timeout=timeout_seconds)
        return placed.partition, placed.offset


class KafkaPlainProducer:
    """acks=all, idempotent, gzip; retries for the client's delivery timeout."""

    def __init__(self, common: Mapping[str, Any]) -> None:
        with errors_translated():
            # A few milliseconds of lingering turn a burst into one compressed batch.
            self._producer = _KafkaProducer(**_producer_options(common), linger_ms=5)

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, bytes] | None = None,
    ) -> KafkaDelivery:
        """Hand a record over; see `connectors.broker.Producer.send`."""
        with errors_translated():
            future = self._producer.send(topic, key=key, value=value, headers=_headers(headers))
        return KafkaDelivery(future)

    def flush(self, timeout_seconds: float) -> None:
        """Wait until everything sent is acknowledged or failed."""
        with errors_translated():
            self._producer.flush(timeout_seconds)

    def close(self) -> None:
        """Flush shortly and let go of the connection."""
        with errors_translated():
            self._producer.close(timeout=5)


class KafkaTransactionalProducer:
    """One transaction at a time under a stable id; making it waits until what the last one left open has ended."""

    def __init__(self, common: Mapping[str, Any], transactional_id: str) -> None:
        with errors_translated():
            self._producer = _KafkaProducer(
                **_producer_options(common),
                transactional_id=transactional_id,
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                retry_backoff_ms=_TRANSACTION_BACKOFF_MS,
                # Nothing is sent before the commit flushes it: one batch a partition.
                linger_ms=50,
            )
            self._producer.init_transactions()

    def begin(self) -> None:
        """Open a transaction."""
        with self._errors_explained():
            self._producer.begin_transaction()

    def send(self, record: OutgoingRecord) -> None:
        """Add a record to the transaction."""
        with self._errors_explained():
            self._producer.send(
                record.topic, key=record.key, value=record.value, headers=_headers(record.headers)
            )

    def send_offsets(
        self, offsets: Mapping[Partition, CommittedOffset], membership: Membership
    ) -> None:
        """Add the group's offsets to the transaction."""
        if not isinstance(membership, KafkaMembership):
            msg = f"a membership of this client is needed, got {membership!r}"
            raise TypeError(msg)
        with self._errors_explained():
            self._producer.send_offsets_to_transaction(to_client(offsets), membership.metadata)

    def commit(self) -> None:
        """Make all of it visible at once."""
        with self._errors_explained():
            self._producer.commit_transaction()

    def abort(self) -> None:
        """Drop the open transaction."""
        with self._errors_explained():
            self._producer.abort_transaction()

    def close(self) -> None:
        """Let go of the connection."""
        with errors_translated():
            self._producer.close(timeout=1)

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except (kafka_errors.KafkaError, AssertionError) as error:
            # Once in an error state the client raises a bare KafkaError; the cause is what decides.
            manager = getattr(self._producer, "_transaction_manager", None)
            cause = getattr(manager, "last_error", None)
            raise translated(
                cause if type(error) is kafka_errors.KafkaError and cause else error
            ) from error
