"""Which record starts next: by priority and age, one at a time per conversation."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from agents.backlog import Backlog, Item
from connectors.broker import ConsumedRecord, Partition
from signalbox.contracts.envelope import Envelope

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def item(number: int, key: str, priority: int = 5, partition: int = 0) -> Item:
    """A task of conversation `key`."""
    envelope = Envelope(
        id=f"task-{number}",
        source="orchestrator",
        type="task.assigned",
        time=NOON,
        subject=key,
        priority=priority,
        data={},
    )
    return Item(ConsumedRecord("tasks", partition, number, key.encode(), b"", {}, 0), envelope)


def ids(backlog: Backlog, now_ms: int = 0) -> list[int]:
    """Take and finish everything that may start."""
    taken: list[int] = []
    while (next_item := backlog.take(now_ms)) is not None:
        taken.append(next_item.record.offset)
        backlog.done(next_item)
    return taken


def test_backlog_higher_priority_starts_first_then_older() -> None:
    """Priority 1 goes before 5; equals go by age."""
    backlog = Backlog()
    for number, priority in enumerate([5, 9, 1, 5]):
        backlog.add(item(number, f"lead-{number}", priority))

    assert ids(backlog) == [2, 0, 3, 1]


def test_backlog_same_conversation_waits_for_its_predecessor() -> None:
    """While one task of a conversation is taken, its next one is not, whatever its priority."""
    backlog = Backlog()
    backlog.add(item(0, "lead-1"))
    backlog.add(item(1, "lead-1", priority=1))
    first = backlog.take(0)
    assert first is not None

    blocked = backlog.take(0)
    backlog.done(first)
    second = backlog.take(0)

    assert blocked is None
    assert second is not None
    assert second.record.offset == 1


def test_backlog_retry_blocks_its_conversation_and_no_other() -> None:
    """A task that waits for its retry holds back its own conversation only, until it is due."""
    backlog = Backlog()
    for number, key in enumerate(["lead-1", "lead-1", "lead-2"]):
        backlog.add(item(number, key))
    failed = backlog.take(0)
    assert failed is not None
    backlog.put_back(failed, due_ms=1000)

    before = ids(backlog, now_ms=999)
    after = ids(backlog, now_ms=1000)

    assert (before, after) == ([2], [0, 1])


def test_backlog_dropped_partition_is_forgotten_and_frees_its_keys() -> None:
    """What was not started of a lost partition is gone; the rest goes on, also behind a dropped head."""
    backlog = Backlog()
    backlog.add(item(0, "lead-1", partition=0))
    backlog.add(item(1, "lead-1", partition=1))
    backlog.add(item(2, "lead-2", partition=0))

    backlog.drop(lambda partition: partition == Partition("tasks", 0))

    assert len(backlog) == 1
    assert ids(backlog) == [1]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 10), st.booleans()), max_size=40))
def test_backlog_any_load_keeps_each_conversation_in_order_and_loses_nothing(
    tasks: list[tuple[str, int, bool]],
) -> None:
    """Whatever priorities and retries: every task ends once, in order within its conversation."""
    backlog = Backlog()
    for number, (key, priority, _) in enumerate(tasks):
        backlog.add(item(number, key, priority))
    to_fail = {number for number, (_, _, fails_once) in enumerate(tasks) if fails_once}
    ended: list[int] = []
    now_ms = 0
    while len(backlog):
        taken = backlog.take(now_ms)
        if taken is None:
            now_ms = backlog.next_due_ms() or now_ms
            continue
        number = taken.record.offset
        if number in to_fail:
            to_fail.discard(number)
            backlog.put_back(taken, now_ms + 100)
        else:
            ended.append(number)
            backlog.done(taken)

    assert sorted(ended) == list(range(len(tasks)))
    for key in "abc":
        of_key = [number for number in ended if tasks[number][0] == key]
        assert of_key == sorted(of_key)
