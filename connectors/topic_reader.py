"""Read topics without a group: to their current end, or following what comes. Committed records only."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from connectors.broker import Broker, BrokerError, ConsumedRecord, LogReader, Partition

_POLL_SECONDS: Final = 0.2
_BATCH: Final = 1000


def read_topic(
    broker: Broker,
    topic: str,
    *,
    key: bytes | None = None,
    limit: int | None = None,
) -> Iterator[ConsumedRecord]:
    """Read `topic` from its beginning to where it ends now.

    Args:
        broker: where.
        topic: the full name.
        key: only records with this key.
        limit: at most so many records.

    Yields:
        Records, in order within a partition.

    Raises:
        BrokerError: no such topic, or the broker does not answer.
    """
    yield from read_topics(broker, [topic], key=key, limit=limit)


def read_topics(
    broker: Broker, topics: Sequence[str], *, key: bytes | None = None, limit: int | None = None
) -> Iterator[ConsumedRecord]:
    """Read several topics like `read_topic`, with one connection; one after the other's batches, unsorted."""
    reader = broker.log_reader()
    try:
        partitions = _partitions(reader, topics)
        ends = reader.end_offsets(partitions)
        # Empty partitions are not even asked for: their position would need one more round trip each.
        unread = {partition for partition in partitions if ends[partition] > 0}
        reader.assign(sorted(unread))
        yielded = 0
        while unread:
            for record in reader.poll(timeout_seconds=_POLL_SECONDS, max_records=_BATCH):
                is_new = record.offset >= ends[record.source]
                if is_new or (key is not None and record.key != key):
                    continue
                yield record
                yielded += 1
                if yielded == limit:
                    return
            # By position, not by record: the last offsets may be a transaction's markers, which no poll returns.
            unread = {p for p in unread if reader.position(p) < ends[p]}
    finally:
        reader.close()


def read_in_time_order(
    broker: Broker, topics: Sequence[str], *, key: bytes | None = None
) -> list[ConsumedRecord]:
    """Read several topics to their ends and return the records by time, then topic, partition and offset."""
    records = read_topics(broker, topics, key=key)
    return sorted(records, key=lambda r: (r.timestamp_ms, r.topic, r.partition, r.offset))


def last_records(broker: Broker, topic: str, count: int) -> list[ConsumedRecord]:
    """Return the `count` newest records of `topic` by time, oldest first."""
    newest = heapq.nlargest(
        count, read_topic(broker, topic), key=lambda r: (r.timestamp_ms, r.partition, r.offset)
    )
    return newest[::-1]


def follow_topics(
    broker: Broker,
    topics: Sequence[str],
    *,
    is_stopped: Callable[[], bool],
    from_beginning: bool = True,
    is_first_whole: bool = False,
    poll_seconds: float = _POLL_SECONDS,
) -> Iterator[tuple[ConsumedRecord, ...]]:
    """Yield batches as they come, from now on or from the beginning, until `is_stopped()`.

    An empty batch is yielded after each `poll_seconds` without records, so that a caller can look at other things.
    With `is_first_whole` the first batch has all that is on the topics now.

    Raises:
        BrokerError: one of the topics does not exist, or the broker does not answer.
    """
    reader = broker.log_reader()
    try:
        partitions = _partitions(reader, topics)
        ends = {} if from_beginning else reader.end_offsets(partitions)
        reader.assign(partitions)
        for partition, end in ends.items():
            reader.seek(partition, end)
        if is_first_whole:
            yield _all_there_is(reader, partitions, is_stopped)
        while not is_stopped():
            yield tuple(reader.poll(timeout_seconds=poll_seconds, max_records=_BATCH))
    finally:
        reader.close()


def _all_there_is(
    reader: LogReader, partitions: Sequence[Partition], is_stopped: Callable[[], bool]
) -> tuple[ConsumedRecord, ...]:
    ends = reader.end_offsets(partitions)
    found: list[ConsumedRecord] = []
    while not is_stopped() and any(reader.position(p) < end for p, end in ends.items()):
        found.extend(reader.poll(timeout_seconds=_POLL_SECONDS, max_records=_BATCH))
    return tuple(found)


def _partitions(reader: LogReader, topics: Sequence[str]) -> list[Partition]:
    found: list[Partition] = []
    for topic in topics:
        partitions = reader.partitions(topic)
        if not partitions:
            msg = f"topic {topic!r} does not exist on this broker; start the stack with `signalbox up`"
            raise BrokerError(msg)
        found.extend(partitions)
    return found
