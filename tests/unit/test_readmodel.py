"""The read model: each record once, whatever comes before what; a rebuild equals what grew; nothing but the topics in it."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest

from connectors.broker import BrokerError, ConsumedRecord, LogReader, Partition
from connectors.memory import MemoryBroker
from connectors.topic_reader import read_topics
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.events import AgentLifecycle, new_event
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.gateway.readmodel import follower as follower_module
from signalbox.gateway.readmodel import store as store_module
from signalbox.gateway.readmodel.follower import FIXED_TOPICS, Follower, rebuild
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.queries import NotReadyError, Page, ReadModel
from signalbox.gateway.readmodel.schema import VERSION, open_to_read
from signalbox.gateway.readmodel.store import Store
from signalbox.gateway.readmodel.trouble import is_passing
from signalbox.topics import agent_tasks
from tests.support.fleets import agent, message
from tests.support.recorded_run import T0, RecordedRun, Wild

AGENTS = (agent("alpha", ["lead"]), agent("beta", ["lead"]), agent("gamma", ["mail"]))
FLEET = ActiveSet.of(
    [Fleet(FleetPolicy.model_validate({"name": "test"}), {one.name: one for one in AGENTS})]
)
NEVER = 0
"""A time before which nothing is to be forgotten."""


@pytest.fixture(scope="module")
def recorded() -> RecordedRun:
    """Everything that can happen to messages, a few hundred times, with tasks, heartbeats and rubbish besides."""
    run = RecordedRun(FLEET)
    Wild(run, [one.name for one in AGENTS], seed=7).go(400)
    producer = run.broker.producer()
    for one in AGENTS:
        run.broker.create_topic(agent_tasks(one.name), 2)
    for task in (*run.answered, *run.tasks.values()):
        name = next(iter(task.targets), "alpha")
        producer.send(agent_tasks(name), key=task.subject.encode(), value=task.to_json())
    for number in range(5):
        producer.send("agent_heartbeats", key=b"alpha", value=beat("alpha", number).to_json())
    for topic in FIXED_TOPICS:
        producer.send(topic, key=b"x", value=b"{rubbish")
        producer.send(topic, key=None, value=None)
    return run


def beat(name: str, active: int) -> Heartbeat:
    return Heartbeat(
        agent=name,
        instance="1",
        active=active,
        max_concurrent=4,
        handled=active,
        failed=0,
        definitions="d",
        at=from_epoch_ms(T0),
    )


def records_of(broker: MemoryBroker) -> list[ConsumedRecord]:
    return list(read_topics(broker, [*FIXED_TOPICS, *(agent_tasks(one.name) for one in AGENTS)]))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "one.sqlite", "") as made:
        yield made


def interleaved(records: Sequence[ConsumedRecord], seed: int) -> list[ConsumedRecord]:
    """Return the records with each partition's order kept and nothing else."""
    dice = random.Random(seed)
    queues: dict[Any, list[ConsumedRecord]] = {}
    for record in records:
        queues.setdefault(record.source, []).append(record)
    mixed = []
    while queues:
        source = dice.choice(sorted(queues))
        mixed.append(queues[source].pop(0))
        if not queues[source]:
            del queues[source]
    return mixed


@pytest.mark.parametrize("seed", range(4))
def test_topics_read_in_any_order_and_batches_come_to_the_same_tables(
    recorded: RecordedRun, tmp_path: Path, seed: int
) -> None:
    """Partitions have an order, topics have none between them: sums, extremes and the later by its own time."""
    records = records_of(recorded.broker)
    with (
        Store(tmp_path / "whole.sqlite", "") as whole,
        Store(tmp_path / "mixed.sqlite", "") as mixed,
    ):
        whole.take(records)
        dice, left = random.Random(seed), interleaved(records, seed)
        while left:
            size = dice.randrange(1, 50)
            mixed.take(left[:size])
            left = left[size:]

        assert mixed.contents() == whole.contents()
        assert len(whole.contents()["record"]) > 200
        assert whole.contents()["task"]


def test_a_record_that_comes_again_counts_nothing(recorded: RecordedRun, store: Store) -> None:
    """Offsets are in the same transaction as the rows, so what was taken is known."""
    records = records_of(recorded.broker)
    assert store.take(records) == len(records)
    before = store.contents()

    assert store.take(records) == 0
    assert store.take(records[:10]) == 0
    assert store.contents() == before


def test_the_read_model_says_how_far_a_partition_was_read(
    recorded: RecordedRun, tmp_path: Path
) -> None:
    """Which is what has to be known of it before something that it does not know is given up."""
    place = ReadModelPlace(tmp_path)
    with Store(place.current(), "") as store:
        store.take(records_of(recorded.broker))
        offsets = store.offsets()

    assert {one: ReadModel(place).read_to(one) for one in offsets} == offsets
    assert ReadModel(place).read_to(Partition("agent_outcomes", 99)) == 0


def test_a_batch_that_fails_leaves_nothing_behind(
    recorded: RecordedRun, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither rows nor offsets; the same batch again is whole."""
    records = records_of(recorded.broker)
    store.take(records[:100])
    before = store.contents()
    with monkeypatch.context() as patch:
        patch.setitem(
            __import__("signalbox.gateway.readmodel.schema", fromlist=["STATEMENTS"]).STATEMENTS,
            "name",
            "INSERT INTO nowhere VALUES (?, ?)",
        )
        with pytest.raises(sqlite3.OperationalError):
            store.take(records[100:])

    assert store.contents() == before
    assert store.take(records) == len(records) - 100


def test_what_is_no_record_changes_nothing(store: Store) -> None:
    """Rubbish, a tombstone and a value that fits another topic: only the place moves on."""
    values = (b"{rubbish", None, b"{}", b"[1]", beat("alpha", 1).to_json())
    for number, value in enumerate(values):
        store.take([ConsumedRecord("agent_messages", 0, number, b"k", value, {}, T0)])

    assert store.contents().pop("source") == [("agent_messages", 0, 5)]
    assert not any(rows for table, rows in store.contents().items() if table != "source")


@pytest.mark.parametrize("episode", [2**63, -(2**63) - 1, 10**400])
def test_a_number_that_no_table_holds_changes_nothing(store: Store, episode: int) -> None:
    """Nobody's record ends the process, or it would be read, and end it, at each start again."""
    fields = {
        "conversation_id": "c-1", "episode": episode, "status": "completed", "hops": 1, "tokens": 0,
        "started_at": "2026-01-02T00:00:00Z", "ended_at": "2026-01-02T00:00:00Z",
    }  # fmt: skip
    store.take(
        [
            ConsumedRecord("agent_outcomes", 0, 0, b"k", json.dumps(fields).encode(), {}, T0),
            ConsumedRecord("agent_messages", 0, 0, b"k", message("m-1", {}).to_json(), {}, T0),
        ]
    )

    assert store.offsets() == {("agent_outcomes", 0): 1, ("agent_messages", 0): 1}
    assert [row[0] for row in store.contents()["record"]] == ["agent_messages"]


def test_an_event_that_nobody_heard_is_no_conversation_that_is_listed(tmp_path: Path) -> None:
    """It would be open for ever; it is there where events are asked for, and where a subscriber had it."""
    place = ReadModelPlace(tmp_path)
    run = RecordedRun(FLEET)
    data = AgentLifecycle(agent="alpha", instances=("1",), since=from_epoch_ms(T0))
    for name in ("event-1", "event-2"):
        run.send(new_event(name, "agent.lifecycle.joined", data, T0))
    run.send(message("m-1", {"mail": 1}, conversation="event-3"))
    heard = run.world.decisions[0].model_copy(
        update={"conversation_id": "event-2", "message_id": "event-2", "path": "subscription"}
    )
    run.broker.producer().send("agent_decisions", key=b"event-2", value=heard.to_json())
    with Store(place.current(), "") as store:
        store.take(read_topics(run.broker, ["agent_messages", "agent_decisions"]))
    model = ReadModel(place)

    def listed(**more: Any) -> set[str]:
        return {row["id"] for row in model.conversations(Page(10), **more)}

    assert listed() == {"event-2", "event-3"}
    assert listed(events=True) == {"event-1", "event-2", "event-3"}
    assert "event-1" not in listed(status="open")


def test_an_answer_counts_for_the_agent_that_had_the_task(store: Store) -> None:
    """Whichever is read first; a claim of another agent is a row of its own."""
    task = message("task-1", {}, type="task.assigned")
    answer = message("a-1", {}, source="agent/alpha", causationid="task-1", type="x.done")
    forged = message("a-2", {}, source="agent/beta", causationid="task-1", type="x.done")
    failed = message("a-3", {}, source="agent/alpha", causationid="task-1", type="task.failed")
    for offset, (one, at_ms) in enumerate(((answer, 50), (forged, 40), (failed, 60))):
        store.take(
            [ConsumedRecord("agent_messages", 0, offset, b"k", one.to_json(), {}, T0 + at_ms)]
        )
    store.take([ConsumedRecord("agent_tasks_alpha", 0, 0, b"k", task.to_json(), {}, T0)])

    assert store.contents()["task"] == [
        ("task-1", "alpha", T0, T0 + 50, 0),
        ("task-1", "beta", None, T0 + 40, 0),
    ]


def test_a_hand_off_counts_once_whichever_topic_is_read_first(store: Store) -> None:
    """What an agent said and the decision about it; again, to nobody, or what came from outside counts nothing."""
    said = message("a-1", {}, source="agent/alpha", type="x.done")
    outside = message("m-1", {}, type="x.asked")

    def decided(about: str, agent: str) -> ConsumedRecord:
        made = Decision(
            message_id=about, slot="route", conversation_id=said.subject, hop=1, agent=agent,
            path="contract", reason="r", definitions_digest="d", decided_at=from_epoch_ms(T0),
        )  # fmt: skip
        return ConsumedRecord("agent_decisions", 0, next(offsets), b"k", made.to_json(), {}, T0)

    def arrived(one: Envelope) -> ConsumedRecord:
        return ConsumedRecord("agent_messages", 0, next(offsets), b"k", one.to_json(), {}, T0)

    offsets = itertools.count()
    second = message("a-2", {}, source="agent/alpha", type="x.done")
    store.take([arrived(said), arrived(outside), decided("m-1", "alpha"), arrived(said)])
    store.take([decided("a-1", "beta"), decided("a-1", "beta")])
    store.take([decided("a-2", "beta"), decided("a-2", "NONE")])
    store.take([arrived(second)])

    assert store.contents()["handoff"] == [("alpha", "beta", 2)]


class Lab:
    """A follower over a broker in memory, in a thread of its own."""

    def __init__(self, broker: MemoryBroker, folder: Path) -> None:
        self.place = ReadModelPlace(folder)
        self.stopping = threading.Event()
        follower = Follower(
            broker,
            "",
            self.place,
            is_stopped=self.stopping.is_set,
            now_ms=lambda: NEVER,
            sleep=self.stopping.wait,
        )
        self._thread = threading.Thread(target=follower.run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def contents(self) -> dict[str, list[Any]]:
        with Store(self.place.current(), "") as store:
            return store.contents()

    def wait_for(self, count: int) -> None:
        """Wait until so many records were read."""
        while not self.stopping.wait(0.01):
            try:
                with closing(open_to_read(self.place.current())) as connection:
                    (read,) = connection.execute("SELECT sum(next_offset) FROM source").fetchone()
            except sqlite3.OperationalError:
                continue
            if (read or 0) >= count:
                return


def test_a_rebuild_equals_what_grew(recorded: RecordedRun, tmp_path: Path) -> None:
    """One command, from offset 0; whoever follows goes on in the new file, and the old one is removed."""
    total = len(records_of(recorded.broker))
    with Lab(recorded.broker, tmp_path) as lab:
        lab.wait_for(total)
        grown, former = lab.contents(), lab.place.current()
        assert rebuild(recorded.broker, "", lab.place) == total
        rebuilt = lab.contents()
        while former.exists():
            lab.stopping.wait(0.01)

    assert rebuilt == grown
    assert lab.place.current() != former


def test_a_follower_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    """Nothing twice, nothing left out; agents that come meanwhile are followed too."""
    run = RecordedRun(FLEET)
    for one in AGENTS:
        run.broker.create_topic(agent_tasks(one.name), 2)
    wild = Wild(run, [one.name for one in AGENTS], seed=3)
    for _ in range(3):
        wild.go(60)
        task = message(f"task-{run.now_ms}", {}, type="task.assigned")
        run.broker.producer().send("agent_tasks_beta", key=b"k", value=task.to_json())
        with Lab(run.broker, tmp_path / "grown") as lab:
            lab.wait_for(len(records_of(run.broker)))
    rebuild(run.broker, "", ReadModelPlace(tmp_path / "built"))

    with Store(ReadModelPlace(tmp_path / "built").current(), "") as built:
        assert lab.contents() == built.contents()


def test_topics_that_were_made_anew_are_read_anew(recorded: RecordedRun, tmp_path: Path) -> None:
    """A topic that ends before the place that was read is another one: what is known of the old ones goes."""
    with Lab(recorded.broker, tmp_path) as lab:
        lab.wait_for(len(records_of(recorded.broker)))
    fresh = RecordedRun(FLEET)
    fresh.send(message("m-new", {"lead": 1}, conversation="new"))
    total = len(list(read_topics(fresh.broker, FIXED_TOPICS)))

    with Lab(fresh.broker, tmp_path) as lab:
        while {row[0] for row in lab.contents()["conversation"]} != {"new"}:
            lab.stopping.wait(0.01)
        lab.wait_for(total)

    assert sum(row[2] for row in lab.contents()["source"]) == total


class Replaced:
    """A reader whose topics are made anew meanwhile: it goes back to their oldest record by itself, as Kafka's does."""

    def __init__(self, former: LogReader, fresh: LogReader) -> None:
        self._reader, self._fresh = former, fresh
        self.assigned: Sequence[Partition] = ()
        self.is_replaced = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def assign(self, partitions: Sequence[Partition]) -> None:
        self.assigned = partitions
        self._reader.assign(partitions)

    def poll(self, **how: Any) -> Sequence[ConsumedRecord]:
        if self.is_replaced.is_set() and self._reader is not self._fresh:
            self._reader = self._fresh
            self._reader.assign(self.assigned)
        return self._reader.poll(**how)


@pytest.mark.parametrize("more", [-1, 40])
def test_topics_made_anew_under_a_follower_are_read_anew(tmp_path: Path, more: int) -> None:
    """Whether they are shorter than what was read, or longer already: nothing of the new ones is missed, nothing old stays."""
    former, fresh = RecordedRun(FLEET), RecordedRun(FLEET)
    for run in (former, fresh):
        for one in AGENTS:
            run.broker.create_topic(agent_tasks(one.name), 2)
    Wild(former, [one.name for one in AGENTS], seed=1).go(60)
    if more > 0:
        Wild(fresh, [one.name for one in AGENTS], seed=2).go(60 + more)
    fresh.send(message("m-new", {"lead": 1}, conversation="new"))
    reader = Replaced(former.broker.log_reader(), fresh.broker.log_reader())
    former.broker.log_reader = lambda: reader  # type: ignore[method-assign, assignment, return-value]
    rebuild(fresh.broker, "", ReadModelPlace(tmp_path / "built"))
    with Store(ReadModelPlace(tmp_path / "built").current(), "") as built:
        expected = built.contents()
    with Lab(former.broker, tmp_path / "grown") as lab:
        lab.wait_for(len(records_of(former.broker)))
        # The agents' own topics are known after a second; whatever is assigned then is looked at anew anyhow.
        while not any(one.topic == agent_tasks("gamma") for one in reader.assigned):
            assert not lab.stopping.wait(0.01)
        reader.is_replaced.set()
        while lab.contents() != expected:
            assert not lab.stopping.wait(0.01)


def test_a_file_that_was_removed_is_made_anew(recorded: RecordedRun, tmp_path: Path) -> None:
    """Who follows notices that nobody can open what it writes."""
    total = len(records_of(recorded.broker))
    with Lab(recorded.broker, tmp_path) as lab:
        lab.wait_for(total)
        former = lab.contents()
        for path in tmp_path.glob("*.sqlite*"):
            path.unlink()
        lab.wait_for(total)
        again = lab.contents()

    assert again == former


@pytest.mark.parametrize("kept", [0, 4096])
def test_a_file_that_is_no_whole_database_is_made_anew(
    recorded: RecordedRun, tmp_path: Path, kept: int
) -> None:
    """All of it is on the topics; a consumer that ends at it would end at each start again."""
    place = ReadModelPlace(tmp_path)
    with Store(place.current(), "") as store:
        store.take(records_of(recorded.broker))
    whole = place.current().read_bytes()
    place.current().write_bytes(whole[:kept] + b"rubbish" * 5000)
    with pytest.raises(NotReadyError):
        ReadModel(place).conversations(Page(10))

    with Lab(recorded.broker, tmp_path) as lab:
        lab.wait_for(len(records_of(recorded.broker)))
        rows = lab.contents()["record"]

    assert len(rows) > 200


def test_as_much_is_forgotten_as_has_to_be(
    recorded: RecordedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small parts, one after the other, not one an hour: what comes faster would fill the disk."""
    for module in (store_module, follower_module):
        monkeypatch.setattr(module, "FORGOTTEN_AT_ONCE", 7)
    turns = itertools.count()
    place = ReadModelPlace(tmp_path)
    with Store(place.current(), "") as store:
        store.take(records_of(recorded.broker))
    Follower(
        recorded.broker,
        "",
        place,
        is_stopped=lambda: next(turns) > 100,
        # Asked some times a turn: all of them are within the hour.
        now=itertools.count().__next__,
        now_ms=lambda: recorded.now_ms + 100 * 24 * 60 * 60 * 1000,
    ).run()

    with Store(place.current(), "") as store:
        assert store.contents()["record"] == []


def test_while_the_disk_is_full_it_is_tried_again(
    recorded: RecordedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process goes on, says that it does not follow, and misses nothing; another error of the tables ends it."""
    errors = [full_disk(), full_disk(), sqlite3.OperationalError("no such table: record")]
    real = Store.take
    waited: list[float] = []

    def take(store: Store, records: Sequence[ConsumedRecord]) -> int:
        if errors and records:
            if len(errors) == 1:
                real(store, records)
            raise errors.pop(0)
        return real(store, records)

    monkeypatch.setattr(Store, "take", take)
    place = ReadModelPlace(tmp_path)
    follower = Follower(
        recorded.broker, "", place, is_stopped=lambda: False, now_ms=lambda: NEVER, sleep=waited.append
    )  # fmt: skip
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        follower.run()

    assert waited == [1.0, 1.0]
    assert stored(place)


def test_a_full_disk_is_told_as_that_and_leaves_nothing_behind(store: Store) -> None:
    """SQLite ends the transaction by itself then; with room again the same batch is whole."""
    connection = store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 5}")
    records = [
        ConsumedRecord(
            "agent_messages", 0, number, b"k", message(f"m-{number}", {"x": "y" * 3000}).to_json(), {}, T0
        )
        for number in range(50)
    ]  # fmt: skip
    with pytest.raises(sqlite3.OperationalError, match="full") as caught:
        store.take(records)

    assert is_passing(caught.value)
    assert store.offsets() == {}
    connection.execute("PRAGMA max_page_count = 100000")
    assert store.take(records) == 50


def full_disk() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def test_tables_of_another_version_are_said_to_be_that(tmp_path: Path) -> None:
    """An old consumer beside a new gateway: which is which, and what to do."""
    place = ReadModelPlace(tmp_path)
    with closing(sqlite3.connect(place.current())) as old:
        old.execute("PRAGMA user_version = 2")

    with pytest.raises(NotReadyError, match=f"version 2, and this gateway reads version {VERSION}"):
        ReadModel(place).conversations(Page(10))


def test_while_the_broker_is_away_it_is_tried_again(tmp_path: Path) -> None:
    """Neither an end nor a loop without a pause; what comes afterwards is read."""
    run = RecordedRun(FLEET)
    run.send(message("m-1", {"lead": 1}, conversation="c"))
    refusals = [BrokerError("away")] * 3
    waited: list[float] = []
    real = run.broker.log_reader

    def flaky() -> Any:
        if refusals:
            raise refusals.pop()
        return real()

    run.broker.log_reader = flaky  # type: ignore[method-assign]
    place = ReadModelPlace(tmp_path)
    follower = Follower(
        run.broker,
        "",
        place,
        is_stopped=lambda: len(waited) == 3 and any(row for row in stored(place)),
        now_ms=lambda: NEVER,
        sleep=waited.append,
    )
    follower.run()

    assert waited == [1.0] * 3


def stored(place: ReadModelPlace) -> list[Any]:
    with Store(place.current(), "") as store:
        return store.contents()["conversation"]


def test_a_file_of_another_version_is_built_anew(tmp_path: Path, recorded: RecordedRun) -> None:
    """It is emptied, its offsets too, so that everything is read again."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE record (other TEXT)")
        old.execute("PRAGMA user_version = 99")

    with Store(path, "") as store:
        assert store.offsets() == {}
        assert store.take(records_of(recorded.broker)) > 0


def test_what_the_topics_do_not_keep_is_forgotten(recorded: RecordedRun, store: Store) -> None:
    """After 31 days nothing is left but definitions; a day after, everything is."""
    store.take(records_of(recorded.broker))
    before = store.contents()
    day_ms = 24 * 60 * 60 * 1000

    store.forget_old(recorded.now_ms - 5 * day_ms)
    assert store.contents() == before

    assert before["handoff"]
    store.forget_old(recorded.now_ms + 100 * day_ms)
    left = {table for table, rows in store.contents().items() if rows}
    assert left <= {"source", "registry", "review"}
