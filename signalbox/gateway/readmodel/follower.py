"""The one consumer that feeds the read model: every topic from where it was left, without a group; committed records only."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Any, Final

import structlog

from connectors.broker import Broker, BrokerError, LogReader, Partition
from signalbox.cli.facts import CONVERSATION_TOPICS
from signalbox.gateway.readmodel.metrics import Measurements
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.store import FORGOTTEN_AT_ONCE, Store
from signalbox.gateway.readmodel.trouble import is_broken, is_passing
from signalbox.topics import (
    AGENT_HEARTBEATS,
    AGENT_REGISTRY,
    DEAD_LETTER_MARKS,
    agent_tasks,
    full_name,
)

FIXED_TOPICS: Final = (
    *CONVERSATION_TOPICS,
    AGENT_HEARTBEATS,
    AGENT_REGISTRY,
    DEAD_LETTER_MARKS,
)
"""What is read besides the agents' task topics."""

BATCH: Final = 1000
_POLL_SECONDS: Final = 0.1
_LOOK_EVERY_SECONDS: Final = 1.0
MEASURE_EVERY_SECONDS: Final = 5.0
_FORGET_EVERY_SECONDS: Final = 3600.0
_AWAY_SECONDS: Final = 1.0
_log: Any = structlog.get_logger()


class Follower:
    """Follows the topics into the file that counts.

    Args:
        broker: where.
        prefix: of the topics' names.
        place: of the files.
        is_stopped: asked often.
        now: a monotonic clock, seconds.
        now_ms: the clock, ms since 1970.
        sleep: waits so many seconds; ends early when it is time to stop.
        probe: raises BrokerError while the broker does not answer.
        measured: told what was read.
    """

    def __init__(
        self,
        broker: Broker,
        prefix: str,
        place: ReadModelPlace,
        *,
        is_stopped: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
        sleep: Callable[[float], object] = time.sleep,
        probe: Callable[[], None] = lambda: None,
        measured: Measurements | None = None,
    ) -> None:
        self._broker = broker
        self._prefix = prefix
        self._place = place
        self._is_stopped = is_stopped
        self._now = now
        self._now_ms = now_ms
        self._sleep = sleep
        self._probe = probe
        self._measured = measured
        self._trouble: str | None = None

    def run(self) -> None:
        """Follow until stopped; while the broker is away, or the file cannot be written, it is tried again."""
        while not self._is_stopped():
            try:
                self._probe()
                with (
                    Store(self._place.current(), self._prefix) as store,
                    closing(self._broker.log_reader()) as reader,
                ):
                    self._place.remove_others()
                    self._follow(store, reader)
            except BrokerError as error:
                self._pause("broker.away", error)
            except sqlite3.DatabaseError as error:
                if is_broken(error):
                    # All of it is on the topics.
                    self._place.remove_current()
                elif not is_passing(error):
                    raise
                self._pause("readmodel.not_written", error)

    def _pause(self, trouble: str, error: Exception) -> None:
        if self._measured is not None:
            self._measured.is_up = False
        if self._trouble != trouble:
            _log.warning(trouble, detail=str(error))
        self._trouble = trouble
        self._sleep(_AWAY_SECONDS)

    def _follow(self, store: Store, reader: LogReader) -> None:
        """Read until it is time to stop, or another file counts."""
        assigned = assign(store, reader, self._prefix)
        if self._trouble == "broker.away":
            _log.info("broker.reached")
        look_at = self._now() + _LOOK_EVERY_SECONDS
        forget_at = measure_at = self._now()
        while not self._is_stopped():
            if not self._take(store, reader):
                # Kafka begins at the oldest record by itself where the place that is to be read is on the topic no more.
                forget_replaced(store)
                assigned = assign(store, reader, self._prefix)
            if self._now() < look_at:
                continue
            look_at = self._now() + _LOOK_EVERY_SECONDS
            if self._place.current() != store.path or not store.is_there():
                _log.info("readmodel.switched", file=str(self._place.current()))
                return
            if wanted_partitions(store, reader, self._prefix) != assigned:
                assigned = assign(store, reader, self._prefix)
            if self._now() >= measure_at:
                measure_at = self._now() + MEASURE_EVERY_SECONDS
                assigned = self._measure(store, reader, assigned)
            if self._now() >= forget_at:
                is_all = store.forget_old(self._now_ms()) < FORGOTTEN_AT_ONCE
                # Else less would be forgotten in an hour than comes, and the file would grow until the disk is full.
                forget_at = self._now() + (_FORGET_EVERY_SECONDS if is_all else _LOOK_EVERY_SECONDS)

    def _take(self, store: Store, reader: LogReader) -> bool:
        """Take what is there; False where some of it was taken before."""
        records = reader.poll(timeout_seconds=_POLL_SECONDS, max_records=BATCH)
        new = store.take(records)
        self._trouble = None
        if self._measured is not None:
            self._measured.take(records, new)
        return new == len(records)

    def _measure(
        self, store: Store, reader: LogReader, assigned: frozenset[Partition]
    ) -> frozenset[Partition]:
        """Look how far the topics go; return what is read from now on."""
        ends = reader.end_offsets(assigned)
        if is_beyond(store, ends):
            assigned = assign(store, reader, self._prefix)
        if self._measured is not None:
            self._measured.is_up = True
            self._measured.look(ends, {one: reader.position(one) for one in ends})
        return assigned


def rebuild(
    broker: Broker,
    prefix: str,
    place: ReadModelPlace,
    *,
    tell: Callable[[int], None] = lambda _: None,
) -> int:
    """Build the read model anew, from the oldest records to where the topics end now, and make it the one that counts.

    Whoever follows goes on in the new file. Returns how many records were read.

    Raises:
        BrokerError: the broker does not answer; the old file still counts.
    """
    path = place.next()
    count = 0
    with Store(path, prefix) as store, closing(broker.log_reader()) as reader:
        known: frozenset[Partition] = frozenset()
        # The registry says which task topics there are, so a second round may have more.
        while (wanted := wanted_partitions(store, reader, prefix)) != known:
            known = wanted
            assign(store, reader, prefix)
            ends = reader.end_offsets(wanted)
            while any(reader.position(one) < end for one, end in ends.items()):
                count += store.take(reader.poll(timeout_seconds=_POLL_SECONDS, max_records=BATCH))
                tell(count)
    place.choose(path)
    return count


def wanted_partitions(store: Store, reader: LogReader, prefix: str) -> frozenset[Partition]:
    """Return the partitions of every topic that there is to read.

    Raises:
        BrokerError: the fixed topics are not there yet.
    """
    fixed = _partitions(reader, FIXED_TOPICS, prefix)
    if len({one.topic for one in fixed}) < len(FIXED_TOPICS):
        msg = "the topics are not there yet; `signalbox up` makes them"
        raise BrokerError(msg)
    return frozenset(fixed) | _partitions(reader, map(agent_tasks, store.agents()), prefix)


def assign(store: Store, reader: LogReader, prefix: str) -> frozenset[Partition]:
    """Let `reader` read every topic from where `store` was left; return the partitions.

    A topic that ends before that place is another one of its name: then everything is read anew.
    """
    wanted = wanted_partitions(store, reader, prefix)
    if is_beyond(store, reader.end_offsets(wanted)):
        forget_replaced(store)
        wanted = wanted_partitions(store, reader, prefix)
    offsets = store.offsets()
    reader.assign(sorted(wanted))
    beginnings = reader.beginning_offsets(wanted)
    for partition in wanted:
        if (offset := offsets.get(partition, 0)) > beginnings[partition]:
            reader.seek(partition, offset)
    return wanted


def is_beyond(store: Store, ends: Mapping[Partition, int]) -> bool:
    """Say whether `store` has read further than a topic goes, which is then another one of its name."""
    return any(offset > ends[one] for one, offset in store.offsets().items() if one in ends)


def forget_replaced(store: Store) -> None:
    """Forget all of what was read, because a topic is another one now."""
    _log.warning("readmodel.topics_replaced")
    store.make_empty()


def _partitions(reader: LogReader, topics: Iterable[str], prefix: str) -> frozenset[Partition]:
    return frozenset(
        partition for topic in topics for partition in reader.partitions(full_name(prefix, topic))
    )
