"""How much is in each topic and how far behind each consumer group is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import kafka
import kafka.admin
from kafka.errors import KafkaError

from connectors.broker import BrokerError, LogReader, Partition
from connectors.kafka import KafkaBroker
from connectors.kafka_security import python_options
from signalbox.kafka_settings import KafkaSettings
from signalbox.topics import agent_tasks, full_name

COUNTED_GAP: Final = 50
"""Up to this gap the records behind are counted one by one: transaction markers take offsets and are no records."""

# The client has no types; naming it Any once keeps the calls readable.
_AdminClient: Any = kafka.KafkaAdminClient
_TopicPartition: Any = kafka.TopicPartition
_LATEST: Any = kafka.admin.OffsetSpec.LATEST
_EARLIEST: Any = kafka.admin.OffsetSpec.EARLIEST


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """One topic: `offsets` is end minus beginning over all partitions, `lag` is records behind by consumer group."""

    name: str
    partitions: int
    offsets: int
    lag: dict[str, int]


def topic_statuses(kafka_settings: KafkaSettings, names: Sequence[str]) -> tuple[TopicStatus, ...]:
    """Return the topics of `names` that exist, in that order.

    Raises:
        BrokerError: the broker does not answer.
    """
    admin = _admin(kafka_settings)
    reader = KafkaBroker.of(kafka_settings).log_reader()
    try:
        return _statuses(admin, reader, names)
    except KafkaError as error:
        raise _broker_error(error) from error
    finally:
        reader.close()
        admin.close()


def agents_with_backlog(kafka_settings: KafkaSettings, agents: Collection[str]) -> frozenset[str]:
    """Return those of `agents` for which tasks wait that nobody has taken to an end.

    Raises:
        BrokerError: the broker does not answer.
    """
    tasks = {full_name(kafka_settings.topic_prefix, agent_tasks(agent)): agent for agent in agents}
    admin = _admin(kafka_settings)
    reader = KafkaBroker.of(kafka_settings).log_reader()
    try:
        partitions = [p for topic in tasks for p in reader.partitions(topic)]
        groups = [f"{kafka_settings.group_prefix}agent_{agent}" for agent in agents]
        committed = {
            p: at for of_group in _committed(admin, groups).values() for p, at in of_group.items()
        }
        ends = reader.end_offsets(partitions)
        return frozenset(
            tasks[partition.topic]
            for partition in partitions
            if _has_record(reader, partition, max(0, committed.get(partition, 0)), ends[partition])
        )
    except KafkaError as error:
        raise _broker_error(error) from error
    finally:
        reader.close()
        admin.close()


def _has_record(reader: LogReader, partition: Partition, first: int, end: int) -> bool:
    # By position: what is left between the two may be a transaction's markers.
    if first >= end:
        return False
    reader.assign([partition])
    reader.seek(partition, first)
    while reader.position(partition) < end:
        if reader.poll(timeout_seconds=0.3, max_records=1):
            return True
    return False


def _admin(kafka_settings: KafkaSettings) -> Any:
    try:
        return _AdminClient(
            bootstrap_servers=kafka_settings.servers,
            request_timeout_ms=5000,
            **python_options(kafka_settings.security),
        )
    except KafkaError as error:
        raise _broker_error(error) from error


def _statuses(admin: Any, reader: LogReader, names: Sequence[str]) -> tuple[TopicStatus, ...]:
    known = set(admin.list_topics())
    partitions = {
        topic["name"]: [p["partition_index"] for p in topic["partitions"]]
        for topic in admin.describe_topics([name for name in names if name in known])
    }
    everything = [_TopicPartition(name, n) for name, ns in partitions.items() for n in ns]
    if not everything:
        return ()
    ends = _offsets(admin, everything, _LATEST)
    begins = _offsets(admin, everything, _EARLIEST)
    groups = [group["group_id"] for group in admin.list_groups()]
    lags = _lags(_committed(admin, groups), ends, reader)
    return tuple(
        TopicStatus(
            name,
            len(partitions[name]),
            sum(ends[p] - begins[p] for p in ends if p.topic == name),
            lags.get(name, {}),
        )
        for name in names
        if name in partitions
    )


def _offsets(admin: Any, partitions: Iterable[Any], spec: Any) -> dict[Partition, int]:
    found = admin.list_partition_offsets(dict.fromkeys(partitions, spec))
    return {Partition(key.topic, key.partition): value.offset for key, value in found.items()}


def _committed(admin: Any, groups: Sequence[str]) -> dict[str, dict[Partition, int]]:
    if not groups:
        return {}
    return {
        group: {Partition(key.topic, key.partition): value.offset for key, value in found.items()}
        for group, found in admin.list_group_offsets(groups).items()
    }


def _lags(
    committed: Mapping[str, Mapping[Partition, int]],
    ends: Mapping[Partition, int],
    reader: LogReader,
) -> dict[str, dict[str, int]]:
    lags: dict[str, dict[str, int]] = {}
    for group, offsets in committed.items():
        for partition, offset in offsets.items():
            if partition in ends and offset >= 0:
                gap = _records_between(reader, partition, offset, ends[partition])
                of_topic = lags.setdefault(partition.topic, {})
                of_topic[group] = of_topic.get(group, 0) + gap
    return lags


def _records_between(reader: LogReader, partition: Partition, first: int, end: int) -> int:
    gap = max(0, end - first)
    if not 0 < gap <= COUNTED_GAP:
        return gap
    reader.assign([partition])
    reader.seek(partition, first)
    found = reader.poll(timeout_seconds=0.3, max_records=COUNTED_GAP)
    return sum(1 for record in found if first <= record.offset < end)


def _broker_error(error: KafkaError) -> BrokerError:
    msg = f"the broker does not answer: {type(error).__name__}: {error}; see `signalbox status`"
    return BrokerError(msg)
