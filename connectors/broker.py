"""What the product needs of Kafka, as small Protocols; `connectors.kafka` and `connectors.memory` fulfil them alike.

Every call blocks and belongs to one thread at a time, except where it says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from signalbox.errors import RetryableError, SignalboxError

MAX_METADATA_BYTES = 4096
"""The broker's limit for the text beside a committed offset (`offset.metadata.max.bytes`)."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to be written. Equal keys go to one partition; a value of None is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConsumedRecord:
    """A record as it was read. `timestamp_ms` is what the topic keeps: ms since 1970."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp_ms: int

    @property
    def key_text(self) -> str | None:
        """The key as text; bytes that are not UTF-8 become replacement characters."""
        return None if self.key is None else self.key.decode("utf-8", "replace")

    @property
    def source(self) -> Partition:
        """The partition it was read from."""
        return Partition(self.topic, self.partition)


class CommittedOffset(NamedTuple):
    """Where a group goes on in a partition; `metadata` is the group's own note, at most `MAX_METADATA_BYTES`."""

    offset: int
    metadata: str = ""


class FencedError(SignalboxError):
    """Another producer took over this transactional id: this process is the old one and must end."""

    code: ClassVar[str] = "SB-050"


class RebalancedError(SignalboxError):
    """The offsets were refused because the group rebalanced: poll, see what is still assigned, commit that again."""

    code: ClassVar[str] = "SB-051"


class BrokerError(RetryableError):
    """The broker could not do it now: not reachable, timed out, or the transaction was lost. Nothing was committed."""

    code = "SB-052"


class Delivery(Protocol):
    """A record on its way."""

    def result(self, timeout_seconds: float) -> tuple[int, int]:
        """Wait for the acknowledgement and return (partition, offset).

        Raises:
            BrokerError: not acknowledged in time, or refused.
        """


class Producer(Protocol):
    """Writes records, acknowledged by all replicas, in order, idempotent within one producer."""

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Delivery:
        """Hand a record over. Thread-safe.

        Delivery: at least once across restarts of the caller, exactly once within one producer.

        Raises:
            BrokerError: the topic does not exist, or the record is too large.
        """

    def flush(self, timeout_seconds: float) -> None:
        """Wait until everything sent is acknowledged or failed."""

    def close(self) -> None:
        """Flush shortly and let go of the connection."""


class GroupConsumer(Protocol):
    """One member of a consumer group with offsets kept by hand; reads committed records only, from the earliest on."""

    def poll(self, *, timeout_seconds: float, max_records: int) -> Sequence[ConsumedRecord]:
        """Return what is there, waiting at most `timeout_seconds` for the first record; takes part in rebalances.

        The records are of partitions in `assignment()` as it is after the call.
        """

    def assignment(self) -> frozenset[Partition]:
        """Return the partitions assigned at the last poll."""

    def membership(self) -> Membership:
        """Return who this member is in the group now, for `send_offsets`. Thread-safe."""

    def committed(self, partitions: Iterable[Partition]) -> Mapping[Partition, CommittedOffset]:
        """Return what the group committed last; a partition without a commit is absent."""

    def commit(self, offsets: Mapping[Partition, CommittedOffset]) -> None:
        """Commit outside a transaction.

        Raises:
            RebalancedError: a partition is no longer ours.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """Read from `offset` next."""

    def position(self, partition: Partition) -> int:
        """Return the offset that is read next; behind a transaction's markers it is that of the next record."""

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no records of these until resumed; membership stays."""

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Undo `pause`."""

    def end_offsets(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Return the offset after the last committed record of each."""

    def close(self) -> None:
        """Leave the group; uncommitted work goes to the others."""


class Membership(Protocol):
    """Who a consumer is in its group: equal generations, equal assignment."""

    @property
    def generation(self) -> int:
        """Rises with each rebalance; -1 outside the group."""


class TransactionalProducer(Protocol):
    """Writes records and offsets in one transaction at a time. Making one ends what an older one of its id had open."""

    def begin(self) -> None:
        """Open a transaction.

        Raises:
            FencedError: a newer producer has this id.
            BrokerError: the last transaction ended badly; `abort` first.
        """

    def send(self, record: OutgoingRecord) -> None:
        """Add a record to the transaction; a failure shows at `commit` at the latest."""

    def send_offsets(
        self, offsets: Mapping[Partition, CommittedOffset], membership: Membership
    ) -> None:
        """Add the group's offsets.

        Raises:
            RebalancedError: `membership` is no longer current; `abort` and poll.
        """

    def commit(self) -> None:
        """Make all of it visible at once.

        Raises:
            FencedError: a newer producer has this id; nothing is visible.
            BrokerError: not known to be committed; make a new producer and go on from the committed offsets.
        """

    def abort(self) -> None:
        """Drop the open transaction."""

    def close(self) -> None:
        """Let go of the connection; an open transaction is aborted."""


class LogReader(Protocol):
    """Reads chosen partitions without a group; committed records only."""

    def partitions(self, topic: str) -> tuple[Partition, ...]:
        """Return the partitions of `topic`; empty when there is no such topic."""

    def assign(self, partitions: Sequence[Partition]) -> None:
        """Read these, each from its beginning."""

    def end_offsets(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Return the offset after the last committed record of each."""

    def beginning_offsets(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Return the oldest offset that is kept of each; the end where nothing is."""

    def offsets_at(
        self, partitions: Iterable[Partition], timestamp_ms: int
    ) -> Mapping[Partition, int]:
        """Return the first offset of each whose record is of `timestamp_ms` or later; its end where there is none."""

    def position(self, partition: Partition) -> int:
        """Return the offset that is read next."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Read from `offset` next."""

    def poll(self, *, timeout_seconds: float, max_records: int) -> Sequence[ConsumedRecord]:
        """Return what is there, waiting at most `timeout_seconds` for the first record."""

    def close(self) -> None:
        """Let go of the connection."""


class Broker(Protocol):
    """Makes the clients of one Kafka."""

    def producer(self) -> Producer:
        """Return a plain producer."""

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        """Return the producer of this id; older ones are fenced from now on."""

    def group_consumer(
        self, group: str, topics: Sequence[str], *, instance: str | None = None
    ) -> GroupConsumer:
        """Return a new member of `group`; with `instance`, the one member of that name, and the old one is fenced."""

    def log_reader(self) -> LogReader:
        """Return a reader without a group."""
