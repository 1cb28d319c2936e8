"""Reading topics for a question: everything that is there now, or what comes after now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from connectors.broker import Broker, ConsumedRecord, LogReader, Partition
from signalbox.cli.facts import CONVERSATION_TOPICS, Fact, facts_of
from signalbox.contracts.decision import NONE, Decision
from signalbox.settings import Settings
from signalbox.topics import agent_tasks, full_name

_POLL_SECONDS: Final = 0.2
_MAX_RECORDS: Final = 5000


def read_all(reader: LogReader, topics: Sequence[str]) -> Iterator[ConsumedRecord]:
    """Yield every committed record of `topics` up to their ends as they were at the call; unknown topics are empty."""
    partitions = [partition for topic in topics for partition in reader.partitions(topic)]
    if not partitions:
        return
    reader.assign(partitions)
    ends = dict(reader.end_offsets(partitions))
    while _is_behind(reader, ends):
        for record in reader.poll(timeout_seconds=_POLL_SECONDS, max_records=_MAX_RECORDS):
            if record.offset < ends[Partition(record.topic, record.partition)]:
                yield record


def _is_behind(reader: LogReader, ends: dict[Partition, int]) -> bool:
    return any(reader.position(partition) < end for partition, end in ends.items())


def read_facts(settings: Settings, broker: Broker) -> tuple[Fact, ...]:
    """Return what all topics say about all conversations, the task topics of every agent that was ever chosen included."""
    prefix = settings.kafka.topic_prefix
    reader = broker.log_reader()
    try:
        fixed = facts_of(read_all(reader, _names(prefix, CONVERSATION_TOPICS)), prefix)
        agents = sorted(
            {fact.body.agent for fact in fixed if isinstance(fact.body, Decision)} - {NONE}
        )
        tasks = facts_of(read_all(reader, _names(prefix, map(agent_tasks, agents))), prefix)
        return fixed + tasks
    finally:
        reader.close()


def _names(prefix: str, topics: Iterable[str]) -> list[str]:
    return [full_name(prefix, topic) for topic in topics]
