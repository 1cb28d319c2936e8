"""A range of a topic: what its bounds are in offsets, and its records up to an end. Committed records only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Final

from connectors.broker import Broker, BrokerError, ConsumedRecord, LogReader, Partition
from signalbox.errors import UsageError
from signalbox.replay.bounds import (
    Bound,
    Edge,
    Extent,
    Moment,
    Offsets,
    check_offsets,
    ranges,
)

_POLL_SECONDS: Final = 0.2
_BATCH: Final = 500


def resolve_range(
    broker: Broker, topic: str, bounds: tuple[Bound, Bound], told: tuple[str, str]
) -> dict[int, tuple[int, int]]:
    """Return partition → (first offset, offset after the last) of what is between two bounds now.

    Args:
        broker: where.
        topic: the full name.
        bounds: from and to.
        told: how they were given, for messages.

    Raises:
        BrokerError: no such topic, or the broker does not answer.
        UsageError: the topic has no such range; the message says what it has.
    """
    with closing(broker.log_reader()) as reader:
        partitions = reader.partitions(topic)
        if not partitions:
            msg = f"topic {topic!r} does not exist on this broker; start the stack with `signalbox up`"
            raise BrokerError(msg)
        begins, ends = reader.beginning_offsets(partitions), reader.end_offsets(partitions)
        extent = Extent({one.number: (begins[one], ends[one]) for one in partitions})
        if extent.is_empty:
            msg = f"{topic} holds no message; nothing was sent yet, or its retention has passed (`signalbox send`)"
            raise UsageError(msg)
        start, stop = bounds
        check_offsets(start, extent, f"--from {told[0]}")
        check_offsets(stop, extent, f"--to {told[1]}")
        if (
            isinstance(start, Moment)
            and isinstance(stop, Moment)
            and start.epoch_ms >= stop.epoch_ms
        ):
            msg = f"--from {told[0]} is not before --to {told[1]}; swap them, or choose a later end"
            raise UsageError(msg)
        first = _offsets(reader, partitions, start, extent)
        last = _offsets(reader, partitions, stop, extent)
    return ranges(first, last, told)


def read_until(broker: Broker, topic: str, ends: Mapping[int, int]) -> Iterator[ConsumedRecord]:
    """Read partitions of `topic` from the oldest record kept of each up to an offset of each.

    Args:
        broker: where.
        topic: the full name.
        ends: partition → the offset after the last record wanted.

    Raises:
        BrokerError: the broker does not answer.
    """
    with closing(broker.log_reader()) as reader:
        wanted = {Partition(topic, number): end for number, end in ends.items() if end > 0}
        reader.assign(sorted(wanted))
        unread = {one for one, end in wanted.items() if reader.position(one) < end}
        while unread:
            for record in reader.poll(timeout_seconds=_POLL_SECONDS, max_records=_BATCH):
                if record.offset < wanted[record.source]:
                    yield record
            # By position: the last offsets may be a transaction's markers, which no poll returns.
            unread = {one for one in unread if reader.position(one) < wanted[one]}


def _offsets(
    reader: LogReader, partitions: tuple[Partition, ...], bound: Bound, extent: Extent
) -> dict[int, int]:
    match bound:
        case Offsets(of):
            return dict(of)
        case Moment(epoch_ms):
            found = reader.offsets_at(partitions, epoch_ms)
            return {one.number: found[one] for one in partitions}
        case Edge("earliest"):
            return {number: begin for number, (begin, _) in extent.of.items()}
        case Edge():
            return {number: end for number, (_, end) in extent.of.items()}
