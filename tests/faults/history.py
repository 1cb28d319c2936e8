"""What is on the topics, read by a plain kafka-python consumer: committed records from offset 0. No code of the product."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import kafka

# The client has no types; naming it Any once keeps the calls readable.
_Consumer: Any = kafka.KafkaConsumer
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Stored:
    """One record of a topic; `topic` without the stack's prefix, `written_ms` is the broker's or producer's time."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    written_ms: int = 0

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it is."""
        return self.topic, self.partition, self.offset

    @cached_property
    def fields(self) -> dict[str, Any] | None:
        """Its JSON object; None where it is anything else."""
        try:
            found = json.loads(self.value or b"")
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


class History:
    """All committed records of the topics with `prefix`; each `read` goes on where the last one ended."""

    def __init__(self, servers: str, prefix: str = "") -> None:
        self._servers = servers
        self._prefix = prefix
        self._next: dict[Any, int] = {}
        self.records: list[Stored] = []

    def read(self) -> list[Stored]:
        """Read up to the end of every topic, and return all records so far, those of former calls included."""
        consumer = _Consumer(
            bootstrap_servers=self._servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            metrics_enabled=False,
        )
        try:
            self._read(consumer)
        finally:
            consumer.close(autocommit=False)
        return self.records

    def until(
        self,
        is_enough: Callable[[list[Stored]], bool],
        *,
        seconds: float,
        what: str,
        every_seconds: float = 0.5,
    ) -> list[Stored]:
        """Read on until `is_enough` says so.

        Raises:
            AssertionError: it never did.
        """
        deadline = time.monotonic() + seconds
        while not is_enough(self.read_if_possible()):
            assert time.monotonic() < deadline, f"after {seconds:g} s: {what}"
            time.sleep(every_seconds)
        return self.records

    def read_if_possible(self) -> list[Stored]:
        """Read as `read` does; while the broker is away, return what was read before."""
        try:
            return self.read()
        except (kafka.errors.KafkaError, AssertionError):
            # The broker is away: that is what some of these runs are about.
            return self.records

    def _read(self, consumer: Any) -> None:
        partitions = [
            kafka.TopicPartition(topic, number)
            for topic in sorted(consumer.topics())
            if topic.startswith(self._prefix) and not topic.startswith("__")
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        for partition in partitions:
            start = self._next.get(partition, 0)
            # A topic that was deleted and made again begins anew.
            consumer.seek(partition, start if start <= ends[partition] else 0)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any(consumer.position(one) < ends[one] for one in partitions):
            assert time.monotonic() < deadline, "the topics cannot be read to their ends"
            for partition, batch in consumer.poll(200, max_records=5000).items():
                self.records += [self._stored(record) for record in batch]
                # Noted with its records: a read that is given up must not be read again.
                self._next[partition] = batch[-1].offset + 1
                deadline = time.monotonic() + _PATIENCE_SECONDS
        for partition in partitions:
            self._next[partition] = consumer.position(partition)

    def _stored(self, record: Any) -> Stored:
        topic = record.topic.removeprefix(self._prefix)
        return Stored(topic, record.partition, record.offset, record.value, record.timestamp)
