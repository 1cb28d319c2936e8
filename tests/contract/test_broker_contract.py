"""One contract for Kafka and its in-memory twin. It cannot show what needs time: retention, compaction, lost leaders."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.broker import (
    Broker,
    BrokerError,
    CommittedOffset,
    ConsumedRecord,
    FencedError,
    GroupConsumer,
    OutgoingRecord,
    Partition,
    RebalancedError,
)
from connectors.kafka import KafkaBroker
from connectors.memory import MemoryBroker
from connectors.registry import change_registry, read_registry
from connectors.topic_reader import follow_topics, read_in_time_order, read_topic
from signalbox.definitions.fleet import Fleet
from signalbox.definitions.registry_state import RegistryState
from signalbox.definitions.specs import FleetPolicy
from signalbox.topics import AGENT_REGISTRY
from tests.support.fleets import agent

PATIENCE_POLLS = 150


class Lab:
    """A broker under test with topics of its own."""

    def __init__(self, broker: Broker, make_topic: Callable[[str, int], None]) -> None:
        self.broker = broker
        self._make_topic = make_topic
        self._close: list[Callable[[], None]] = []

    def topic(self, partitions: int = 1) -> str:
        """A new empty topic."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        self.make(name, partitions)
        return name

    def make(self, name: str, partitions: int) -> None:
        """Make a topic of this name."""
        self._make_topic(name, partitions)

    def write(self, topic: str, *pairs: tuple[str, str]) -> None:
        """Write key/value pairs, acknowledged."""
        producer = self.broker.producer()
        for delivery in [producer.send(topic, key=k.encode(), value=v.encode()) for k, v in pairs]:
            delivery.result(30)
        producer.close()

    def consumer(self, group: str, topic: str, instance: str | None = None) -> GroupConsumer:
        """A member that leaves when the test ends."""
        consumer = self.broker.group_consumer(group, [topic], instance=instance)
        self._close.append(consumer.close)
        return consumer

    def values(self, topic: str) -> list[str]:
        """All committed values of a topic now."""
        return [(r.value or b"").decode() for r in read_topic(self.broker, topic)]

    def close(self) -> None:
        """Close what the test opened."""
        for close in self._close:
            close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The twin, then the real broker."""
    if request.param == "memory":
        memory = MemoryBroker()
        made = Lab(memory, memory.create_topic)
    else:
        servers = request.getfixturevalue("broker").bootstrap_servers
        made = Lab(KafkaBroker(servers), lambda name, count: create(servers, name, count))
    yield made
    made.close()


def create(servers: str, name: str, partitions: int) -> None:
    """Create a topic on the real broker."""
    import kafka.admin

    module: Any = kafka.admin  # the client has no types
    admin = module.KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([module.NewTopic(name, partitions, 1)])
    admin.close()


def poll_until(consumer: GroupConsumer, count: int) -> list[ConsumedRecord]:
    """Poll until `count` records came."""
    records: list[ConsumedRecord] = []
    for _ in range(PATIENCE_POLLS):
        records.extend(consumer.poll(timeout_seconds=0.2, max_records=10))
        if len(records) >= count:
            return records
    pytest.fail(f"{len(records)} of {count} records came")


def poll_until_assigned(consumer: GroupConsumer, count: int) -> None:
    """Poll until `count` partitions are assigned."""
    for _ in range(PATIENCE_POLLS):
        consumer.poll(timeout_seconds=0.2, max_records=1)
        if len(consumer.assignment()) == count:
            return
    pytest.fail(f"{consumer.assignment()} instead of {count} partitions")


def test_producer_equal_keys_keep_their_order_in_one_partition(lab: Lab) -> None:
    """Records with one key stand in one partition in the order they were sent, with headers and key."""
    topic = lab.topic(4)
    producer = lab.broker.producer()
    for number in range(20):
        producer.send(topic, key=b"lead-1", value=b"%d" % number, headers={"ce_id": b"x"})
    producer.flush(30)
    producer.close()

    records = list(read_topic(lab.broker, topic))

    assert [r.value for r in records] == [b"%d" % number for number in range(20)]
    assert len({r.partition for r in records}) == 1
    assert records[0].headers == {"ce_id": b"x"}
    assert records[0].key_text == "lead-1"


def test_producer_delivery_names_partition_and_offset(lab: Lab) -> None:
    """The acknowledgement says where the record stands."""
    topic = lab.topic()
    producer = lab.broker.producer()

    places = [producer.send(topic, key=b"k", value=b"v").result(30) for _ in range(2)]

    producer.close()
    assert places == [(0, 0), (0, 1)]


def test_reader_unknown_topic_is_an_error_with_the_way_out(lab: Lab) -> None:
    """Reading a topic that does not exist says so, and creates nothing."""
    with pytest.raises(BrokerError, match="signalbox up"):
        list(read_topic(lab.broker, "never-created"))


def test_reader_key_and_limit_choose_records(lab: Lab) -> None:
    """A key filter and a limit are honoured, over several partitions."""
    topic = lab.topic(4)
    lab.write(topic, *[(f"lead-{n % 3}", f"{n}") for n in range(12)])

    one = [r.value for r in read_topic(lab.broker, topic, key=b"lead-1")]
    few = list(read_topic(lab.broker, topic, limit=5))

    assert one == [b"1", b"4", b"7", b"10"]
    assert len(few) == 5


def test_reader_several_topics_come_in_time_order(lab: Lab) -> None:
    """Records of several topics are joined by their time."""
    first, second = lab.topic(), lab.topic()
    lab.write(first, ("k", "a"))
    lab.write(second, ("k", "b"))

    values = {r.value for r in read_in_time_order(lab.broker, [second, first])}

    assert values == {b"a", b"b"}


def test_reader_following_from_now_skips_what_was(lab: Lab) -> None:
    """Following from now on yields only what comes later."""
    topic = lab.topic()
    lab.write(topic, ("k", "old"))
    batches = follow_topics(lab.broker, [topic], is_stopped=lambda: False, from_beginning=False)
    next(batches)
    lab.write(topic, ("k", "new"))

    seen: list[bytes | None] = []
    for batch in batches:
        seen.extend(r.value for r in batch)
        if seen:
            break

    assert seen == [b"new"]


def test_reader_following_whole_first_has_all_that_was_in_one_batch(lab: Lab) -> None:
    """Who acts on the last of many records is not shown the ones before it first; what comes later follows."""
    topic = lab.topic()
    lab.write(topic, *(("k", str(number)) for number in range(1500)))

    batches = follow_topics(lab.broker, [topic], is_stopped=lambda: False, is_first_whole=True)
    first = next(batches)
    lab.write(topic, ("k", "later"))
    later = next(batch for batch in batches if batch)

    assert [r.value for r in first] == [b"%d" % number for number in range(1500)]
    assert [r.value for r in later] == [b"later"]


def test_transaction_open_hides_itself_and_what_follows(lab: Lab) -> None:
    """A read_committed reader sees neither an open transaction nor what stands behind it, until it ends."""
    topic = lab.topic()
    lab.write(topic, ("k", "before"))
    producer = lab.broker.transactional_producer(f"tx-{topic}")
    producer.begin()
    producer.send(OutgoingRecord(topic, b"k", b"inside"))

    lab_sees_open = lab.values(topic)
    producer.commit()
    producer.close()
    # A commit is acknowledged before its markers stand on the topic; the id's next producer waits for them.
    lab.broker.transactional_producer(f"tx-{topic}").close()

    assert lab_sees_open == ["before"]
    assert lab.values(topic) == ["before", "inside"]


def test_transaction_aborted_leaves_nothing(lab: Lab) -> None:
    """An aborted transaction's records are never read, and the next one works."""
    topic = lab.topic()
    producer = lab.broker.transactional_producer(f"tx-{topic}")
    producer.begin()
    producer.send(OutgoingRecord(topic, b"k", b"dropped"))
    producer.abort()
    producer.begin()
    producer.send(OutgoingRecord(topic, b"k", b"kept"))
    producer.commit()
    producer.close()

    assert lab.values(topic) == ["kept"]


def test_transaction_newer_producer_fences_the_older(lab: Lab) -> None:
    """A second producer with the same id aborts what the first had open; the first cannot commit any more."""
    topic = lab.topic()
    old = lab.broker.transactional_producer(f"tx-{topic}")
    old.begin()
    old.send(OutgoingRecord(topic, b"k", b"zombie"))
    new = lab.broker.transactional_producer(f"tx-{topic}")

    with pytest.raises(FencedError):
        old.commit()

    new.begin()
    new.send(OutgoingRecord(topic, b"k", b"alive"))
    new.commit()
    new.close()
    assert lab.values(topic) == ["alive"]


def test_transaction_offsets_and_metadata_commit_with_the_records(lab: Lab) -> None:
    """Offsets and their metadata are there after the commit, and a new member goes on from them."""
    source, sink, group = lab.topic(), lab.topic(), f"g-{uuid.uuid4().hex[:8]}"
    lab.write(source, ("k", "0"), ("k", "1"), ("k", "2"))
    consumer = lab.consumer(group, source)
    records = poll_until(consumer, 3)
    partition = Partition(source, 0)
    producer = lab.broker.transactional_producer(f"tx-{group}")
    producer.begin()
    producer.send(OutgoingRecord(sink, b"k", records[0].value))
    producer.send_offsets({partition: CommittedOffset(1, "v1 f1")}, consumer.membership())
    producer.commit()
    producer.close()

    assert consumer.committed([partition]) == {partition: CommittedOffset(1, "v1 f1")}
    consumer.close()
    again = poll_until(lab.consumer(group, source), 2)
    assert [r.offset for r in again] == [1, 2]
    assert lab.values(sink) == ["0"]


def test_transaction_aborted_offsets_stay_where_they_were(lab: Lab) -> None:
    """Offsets of an aborted transaction are not committed."""
    source, group = lab.topic(), f"g-{uuid.uuid4().hex[:8]}"
    lab.write(source, ("k", "0"))
    consumer = lab.consumer(group, source)
    poll_until(consumer, 1)
    producer = lab.broker.transactional_producer(f"tx-{group}")
    producer.begin()
    producer.send_offsets({Partition(source, 0): CommittedOffset(1)}, consumer.membership())
    producer.abort()
    producer.close()

    assert consumer.committed([Partition(source, 0)]) == {}


def test_consumer_new_group_starts_at_the_earliest(lab: Lab) -> None:
    """Records written before the group existed are read."""
    topic = lab.topic()
    lab.write(topic, ("k", "first"))

    records = poll_until(lab.consumer(f"g-{uuid.uuid4().hex[:8]}", topic), 1)

    assert records[0].value == b"first"


def test_consumer_paused_partition_gives_nothing_and_loses_nothing(lab: Lab) -> None:
    """Paused, no records come; resumed, they all do."""
    topic = lab.topic()
    consumer = lab.consumer(f"g-{uuid.uuid4().hex[:8]}", topic)
    poll_until_assigned(consumer, 1)
    consumer.pause(consumer.assignment())
    lab.write(topic, ("k", "0"), ("k", "1"))

    while_paused = [consumer.poll(timeout_seconds=0.1, max_records=10) for _ in range(3)]
    consumer.resume(consumer.assignment())

    assert [list(found) for found in while_paused] == [[], [], []]
    assert len(poll_until(consumer, 2)) == 2


def test_consumer_seek_goes_back(lab: Lab) -> None:
    """After a seek the record at that offset comes next."""
    topic = lab.topic()
    lab.write(topic, ("k", "0"), ("k", "1"))
    consumer = lab.consumer(f"g-{uuid.uuid4().hex[:8]}", topic)
    poll_until(consumer, 2)

    consumer.seek(Partition(topic, 0), 1)

    assert poll_until(consumer, 1)[0].value == b"1"


def test_consumer_end_offsets_count_what_is_there(lab: Lab) -> None:
    """The end of a partition is one after its last record."""
    topic = lab.topic()
    lab.write(topic, ("k", "0"), ("k", "1"))
    consumer = lab.consumer(f"g-{uuid.uuid4().hex[:8]}", topic)
    poll_until_assigned(consumer, 1)

    assert consumer.end_offsets([Partition(topic, 0)]) == {Partition(topic, 0): 2}


def test_consumer_position_passes_the_markers_of_transactions(lab: Lab) -> None:
    """Who has polled all records stands at the end, also where the last offset is a transaction's marker."""
    topic = lab.topic()
    producer = lab.broker.transactional_producer(f"id-{topic}")
    for value in (b"0", b"1"):
        producer.begin()
        producer.send(OutgoingRecord(topic, b"k", value))
        producer.commit()
    producer.close()
    consumer = lab.consumer(f"g-{topic}", topic)
    poll_until(consumer, 2)
    partition = Partition(topic, 0)

    for _ in range(PATIENCE_POLLS):
        if consumer.position(partition) == 4:
            break
        assert list(consumer.poll(timeout_seconds=0.2, max_records=10)) == []

    assert consumer.position(partition) == consumer.end_offsets([partition])[partition] == 4


def test_registry_changes_at_once_lose_nobodys_agents(lab: Lab) -> None:
    """Of changes that overlap each is decided on what the last one wrote; readers see whole sets only."""
    topic = f"{lab.topic()}."
    lab.make(f"{topic}{AGENT_REGISTRY}", 1)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    names = [f"n{number}" for number in range(4)]
    barrier = threading.Barrier(len(names))

    def add(name: str) -> None:
        def edit(state: RegistryState) -> RegistryState:
            with suppress(threading.BrokenBarrierError):
                barrier.wait(5)  # the first round: all have read the same
            more = Fleet(FleetPolicy(name=f"of_{name}"), {name: agent(name, ["lead"])})
            return state.activated(state.active.with_fleet(more), removed_at=noon)

        change_registry(lab.broker, edit, topic_prefix=topic, applied_at=noon)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(add, names))

    state = read_registry(lab.broker, topic_prefix=topic).state
    assert sorted(state.active.agents) == names
    assert state.retired == {}


def test_reader_finds_offsets_by_time_and_where_a_partition_begins(lab: Lab) -> None:
    """A time before the records is the first of them, a time after them is the end, and so it is for an empty partition."""
    topic = lab.topic(2)
    lab.write(topic, ("k", "0"), ("k", "1"))
    number = next(iter(read_topic(lab.broker, topic))).partition
    full, empty = Partition(topic, number), Partition(topic, 1 - number)
    reader = lab.broker.log_reader()

    assert reader.beginning_offsets([full, empty]) == {full: 0, empty: 0}
    assert reader.offsets_at([full, empty], 0) == {full: 0, empty: 0}
    assert reader.offsets_at([full, empty], 4_000_000_000_000) == {full: 2, empty: 0}
    reader.close()


def test_consumer_stale_membership_cannot_commit_offsets(lab: Lab) -> None:
    """Once its instance was taken over, a consumer's offsets are refused, in or out of a transaction."""
    topic, group = lab.topic(), f"g-{uuid.uuid4().hex[:8]}"
    lab.write(topic, ("k", "0"))
    old = lab.consumer(group, topic, instance="one")
    poll_until(old, 1)
    stale = old.membership()
    new = lab.consumer(group, topic, instance="one")
    poll_until(new, 1)
    producer = lab.broker.transactional_producer(f"tx-{group}")
    producer.begin()

    with pytest.raises((RebalancedError, FencedError)):
        producer.send_offsets({Partition(topic, 0): CommittedOffset(1)}, stale)

    producer.abort()
    producer.close()
    assert new.committed([Partition(topic, 0)]) == {}


def test_consumer_two_members_share_the_partitions(lab: Lab) -> None:
    """Two members own disjoint partitions that make up the topic."""
    topic, group = lab.topic(4), f"g-{uuid.uuid4().hex[:8]}"
    first = lab.consumer(group, topic)
    poll_until_assigned(first, 4)
    second = lab.consumer(group, topic)
    # A join whose heartbeats got lost costs a session timeout of ten seconds, and now and then there are several in a row.
    deadline = time.monotonic() + 120
    while not len(first.assignment()) == len(second.assignment()) == 2:
        assert time.monotonic() < deadline, (first.assignment(), second.assignment())
        first.poll(timeout_seconds=0.1, max_records=1)
        second.poll(timeout_seconds=0.1, max_records=1)

    assert first.assignment() | second.assignment() == {Partition(topic, n) for n in range(4)}
