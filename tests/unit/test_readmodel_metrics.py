"""The read model's metrics: hops by the broker's clock, what is open, who is silent, how far it is behind."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path
from typing import get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.broker import BrokerError, ConsumedRecord, LogReader, Partition
from connectors.prometheus import Exposition
from signalbox.cli.dead_letters import entries_of, first_replay
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.contracts.record import from_epoch_ms
from signalbox.gateway.readmodel.follower import MEASURE_EVERY_SECONDS, Follower
from signalbox.gateway.readmodel.hops import Hops
from signalbox.gateway.readmodel.metrics import LOOK_EVERY_SECONDS, OPEN, Measurements
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.queries import Page
from signalbox.gateway.readmodel.schema import open_to_write
from signalbox.metric_names import ReadModelMetric
from signalbox.routing.admit import decode
from signalbox.routing.ticks import Origin
from signalbox.topics import agent_tasks
from tests.support.fleets import message
from tests.support.gateway import caught_up, parts
from tests.support.recorded_run import RecordedRun, Wild
from tests.unit.test_prometheus import samples
from tests.unit.test_readmodel import FLEET


def record(topic: str, at_ms: int, offset: int = 0, **fields: str) -> ConsumedRecord:
    return ConsumedRecord(topic, 0, offset, None, orjson.dumps(fields), {}, at_ms)


def test_a_hop_is_from_the_message_to_each_of_its_tasks() -> None:
    """As `trace` says it: record to record; a message without a task takes no part."""
    hops = Hops("")
    hops.take(
        [
            record("agent_messages", 1_000, id="m-1"),
            record("agent_tasks_a", 1_040, causationid="m-1"),
            record("agent_tasks_b", 1_300, causationid="m-1"),
            record("agent_messages", 2_000, id="m-2"),
        ]
    )

    assert hops.seconds.count == 2
    assert hops.seconds.sum == pytest.approx(0.34)


@given(st.permutations(range(4)))
def test_hops_are_the_same_in_whatever_order_the_topics_are_read(order: list[int]) -> None:
    """A task may be read before the message that it was made of."""
    read = [
        record("x.agent_messages", 1_000, id="m-1"),
        record("x.agent_messages", 1_500, id="m-2"),
        record("x.agent_tasks_a", 1_100, causationid="m-1"),
        record("x.agent_tasks_b", 1_700, causationid="m-2"),
    ]
    hops = Hops("x.")
    for index in order:
        hops.take([read[index]])

    assert (hops.seconds.count, hops.seconds.sum) == (2, pytest.approx(0.3))


def test_a_message_that_came_twice_is_measured_from_the_first() -> None:
    """The job drops the second, so the task is the first one's."""
    hops = Hops("")
    for at_ms in (1_000, 1_900):
        hops.take([record("agent_messages", at_ms, id="m-1")])
    hops.take([record("agent_tasks_a", 2_000, causationid="m-1")])

    assert hops.seconds.sum == pytest.approx(1.0)


def test_what_is_remembered_has_an_end_and_rubbish_is_passed_over() -> None:
    """Memory is bounded; a value that is no message says nothing."""
    hops = Hops("", remembered=2)
    hops.take([record("agent_messages", n, id=f"m-{n}") for n in range(5)])
    hops.take([ConsumedRecord("agent_messages", 0, 9, None, b"{oops", {}, 1)])
    hops.take([record("agent_tasks_a", 9, causationid=f"m-{n}") for n in range(5)])

    assert hops.seconds.count == 2


def measured(folder: Path, run: RecordedRun, seconds: list[float]) -> Measurements:
    return Measurements(
        ReadModelPlace(folder / "readmodel"),
        "",
        active=lambda: ("alpha", "never_started"),
        now=lambda: seconds[0],
        now_ms=lambda: run.now_ms,
    )


def told(made: Measurements) -> dict[str, float]:
    return samples(Exposition(made.families).text().decode())


def test_what_is_open_is_told_and_asked_of_the_tables_now_and_then(tmp_path: Path) -> None:
    """Tasks, dead letters and conversations as the tables have them; a second scrape at once costs no question."""
    run = RecordedRun(FLEET)
    Wild(run, tuple(FLEET.agents), seed=5).go(100)
    run.send(message("m-x", {"lead": 1}, conversation="c-open", target="alpha"))
    for agent in FLEET.agents:
        run.broker.create_topic(agent_tasks(agent), 1)
    for task in (*run.answered, *run.tasks.values()):
        topic = agent_tasks(next(iter(task.targets), "alpha"))
        run.broker.producer().send(topic, key=task.subject.encode(), value=task.to_json())
    caught_up(parts(tmp_path, run.broker), run.broker)
    seconds = [0.0]
    made = measured(tmp_path, run, seconds)

    read_model = parts(tmp_path, run.broker).read_model
    expected = {agent: read_model.task_counts(agent, 0).open for agent in FLEET.agents}
    found = told(made)

    name = "signalbox_readmodel_open_tasks"
    assert {agent: found.get(f"{name}{{agent={agent}}}", 0) for agent in expected} == expected
    assert sum(expected.values()) > 0
    assert found["signalbox_readmodel_open_conversations{}"] > 0
    for reason, count in read_model.dead_letter_counts().items():
        assert found[f"signalbox_readmodel_open_dead_letters{{reason={reason}}}"] == count

    before = found["signalbox_readmodel_open_conversations{}"]
    run.send(message("m-y", {"lead": 1}, conversation="c-open-too", target="beta"))
    run.send(message("m-z", {"lead": 1}, conversation="undecided"))
    caught_up(parts(tmp_path, run.broker), run.broker)
    assert told(made)["signalbox_readmodel_open_conversations{}"] == before
    seconds[0] += LOOK_EVERY_SECONDS
    assert told(made)["signalbox_readmodel_open_conversations{}"] == before + 1


def test_a_dead_letter_that_was_replayed_or_discarded_is_not_open(tmp_path: Path) -> None:
    """An alert on those that are left open ends when the last of them was seen to, in whichever way."""
    run = RecordedRun(FLEET)
    for number in range(3):
        dead = decode(b"{rubbish", Origin("agent_messages", 0, number, "k"), run.now_ms)
        run.broker.producer().send("agent_messages_dlq", key=b"k", value=dead.to_json())
    made = parts(tmp_path, run.broker)
    caught_up(made, run.broker)
    (first, second, _) = entries_of(made.read_model.dead_letters(Page(10)))
    run.send(message(first_replay(first), {"lead": 1}, conversation="c-1"))
    discarded = DeadLetterMark(
        place=second.place, status="discarded", by="ada", at=from_epoch_ms(run.now_ms)
    )
    run.broker.producer().send("dead_letter_marks", key=b"k", value=discarded.to_json())
    caught_up(made, run.broker)

    found = told(measured(tmp_path, run, [0.0]))
    assert found["signalbox_readmodel_open_dead_letters{reason=malformed_json}"] == 1


def test_what_is_open_is_counted_without_looking_at_what_is_closed(tmp_path: Path) -> None:
    """A month of answered tasks is not read anew every few seconds: there is an index of what is open."""
    with closing(open_to_write(tmp_path / "model.sqlite")) as connection:
        for name, index in (
            ("signalbox_readmodel_open_tasks", "task_open"),
            ("signalbox_readmodel_open_conversations", "conversation_by_status"),
        ):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {OPEN[name]}").fetchall()
            assert any(index in row[-1] for row in plan), plan


def test_an_agent_that_never_sent_a_heartbeat_grows_silent_too(tmp_path: Path) -> None:
    """An alert on silence must not need a first sign of life."""
    run = RecordedRun(FLEET)
    run.send(message("m-x", {"lead": 1}, conversation="c-1"))
    caught_up(parts(tmp_path, run.broker), run.broker)
    clock = [run.now_ms]
    made = Measurements(
        ReadModelPlace(tmp_path / "readmodel"),
        "",
        active=lambda: ("never_started",),
        now_ms=lambda: clock[0],
    )
    clock[0] += 42_000

    found = told(made)
    assert found["signalbox_readmodel_heartbeat_age_seconds{agent=never_started}"] == 42


def test_without_tables_there_are_no_numbers_of_them(tmp_path: Path) -> None:
    """None instead of zeros that would look like peace."""
    found = told(measured(tmp_path, RecordedRun(FLEET), [0.0]))

    assert "signalbox_readmodel_records_total{}" in found
    assert not [name for name in found if "readmodel_open" in name or "age_seconds" in name]


def test_behind_is_what_the_topics_have_and_the_read_model_has_not(tmp_path: Path) -> None:
    """By positions, so that a transaction's markers at the end are not behind for ever."""
    made = measured(tmp_path, RecordedRun(FLEET), [0.0])
    one, other = Partition("t", 0), Partition("t", 1)
    made.look({one: 10, other: 5}, {one: 7, other: 5})

    assert told(made)["signalbox_readmodel_behind_records{}"] == 3


def test_every_metric_of_the_list_is_told(tmp_path: Path) -> None:
    """Of a read model that is there."""
    run = RecordedRun(FLEET)
    run.send(message("m-x", {"lead": 1}, conversation="c-1"))
    caught_up(parts(tmp_path, run.broker), run.broker)
    found = {one.name for one in measured(tmp_path, run, [0.0]).families()}

    assert found == {name.removesuffix("_total") for name in get_args(ReadModelMetric)}


def test_a_follower_tells_how_far_it_is_and_whether_the_broker_is_there(tmp_path: Path) -> None:
    """While the broker is away the level falls; when it is back everything is read, and nothing is behind."""
    run = RecordedRun(FLEET)
    for agent in FLEET.agents:
        run.broker.create_topic(agent_tasks(agent), 1)
    run.send(message("m-x", {"lead": 1}, conversation="c-1", target="alpha"))
    task = next(iter(run.tasks.values()))
    run.broker.producer().send(agent_tasks("alpha"), key=b"c-1", value=task.to_json())
    made = measured(tmp_path, run, [0.0])
    seen: list[bool] = []
    refusals = [BrokerError("away")]
    real = run.broker.log_reader

    def flaky() -> LogReader:
        if refusals:
            made.is_up = True  # as if it had been
            raise refusals.pop()
        return real()

    run.broker.log_reader = flaky  # type: ignore[method-assign, assignment]
    Follower(
        run.broker,
        "",
        ReadModelPlace(tmp_path / "readmodel"),
        # Asked of the clock twice a turn: each turn is far behind the one before.
        now=itertools.count(step=MEASURE_EVERY_SECONDS).__next__,
        now_ms=lambda: 0,
        is_stopped=lambda: (
            bool(seen) and made.is_up and made.hops.seconds.count > 0 and made.behind == 0
        ),
        sleep=lambda _: seen.append(made.is_up),
        measured=made,
    ).run()

    found = told(made)
    assert seen == [False]
    assert found["signalbox_readmodel_broker_up{}"] == 1
    assert found["signalbox_readmodel_behind_records{}"] == 0
    assert found["signalbox_readmodel_hop_seconds_count{}"] == 1
    assert found["signalbox_readmodel_records_total{}"] == made.records > 3
