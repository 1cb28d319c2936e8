"""What a runner holds when partitions come and go; pure, without a broker."""

from __future__ import annotations

from datetime import UTC, datetime

from agents.intake import Standing
from agents.settle import Settled
from agents.workload import Workload
from connectors.broker import CommittedOffset, ConsumedRecord, OutgoingRecord, Partition
from signalbox.contracts.envelope import Envelope
from tests.support.agent_lab import TOPICS

ZERO, ONE = Partition(TOPICS.tasks, 0), Partition(TOPICS.tasks, 1)
BOTH = frozenset({ZERO, ONE})
NOTHING = Standing({}, {ZERO: 0, ONE: 0})


def record(partition: int, offset: int) -> ConsumedRecord:
    """A task with a conversation of its own."""
    task = Envelope(
        id=f"task-{partition}-{offset}",
        source="orchestrator",
        type="task.assigned",
        time=datetime(2026, 1, 1, tzinfo=UTC),
        subject=f"lead-{partition}-{offset}",
        data={},
    )
    return ConsumedRecord(TOPICS.tasks, partition, offset, None, task.to_json(), {}, 0)


def working(*records: ConsumedRecord) -> Workload:
    """A workload on both partitions that holds `records`."""
    work = Workload(TOPICS)
    work.take_over(BOTH, NOTHING)
    work.receive(records, 0)
    return work


def settle_next(work: Workload) -> None:
    """Start the next item and end it with one record that names it."""
    item = work.take(0)
    assert item is not None
    work.begin(item)
    out = OutgoingRecord("out", None, item.envelope.id.encode())
    work.settle(item, Settled((out,), False, "task.replied"))


def test_workload_lost_partition_takes_its_results_and_offsets_along() -> None:
    """What was settled but not committed of a lost partition is not written by this process any more."""
    work = working(record(0, 0), record(1, 0))
    settle_next(work)
    settle_next(work)

    change = work.take_over(frozenset({ONE}), NOTHING)
    batch = work.next_batch(10)

    assert change.lost == {ZERO}
    assert [r.value for r in batch.records] == [b"task-1-0"]
    assert set(batch.offsets) == {ONE}


def test_workload_lost_partition_takes_its_waiting_items_along() -> None:
    """What was not started of a lost partition is not started here."""
    work = working(record(0, 0), record(0, 1), record(1, 0))

    work.take_over(frozenset({ONE}), NOTHING)

    item = work.take(0)
    assert item is not None
    assert item.partition == ONE
    assert work.take(0) is None


def test_workload_kept_partition_keeps_its_work() -> None:
    """A rebalance that leaves a partition here leaves its work here, and what is delivered again is not taken twice."""
    work = working(record(0, 0))
    settle_next(work)

    change = work.take_over(BOTH, NOTHING)
    work.receive([record(0, 0)], 0)

    assert (change.gained, change.lost, change.behind) == (frozenset(), frozenset(), {})
    assert work.take(0) is None
    assert len(work.next_batch(10).records) == 1


def test_workload_partition_that_others_had_in_between_is_read_again() -> None:
    """If the group's commit is not the one this process made, others were here: forget, and go on from theirs."""
    work = working(record(0, 0))
    settle_next(work)
    others = Standing({ZERO: CommittedOffset(7, "")}, {ZERO: 9, ONE: 0})

    change = work.take_over(BOTH, others)

    assert change.lost == {ZERO}
    assert change.behind == {ZERO: 7}
    assert not work.is_commit_needed


def test_workload_item_of_an_earlier_assignment_is_not_ours() -> None:
    """A partition lost and gained again does not make work of the first time valid."""
    work = working(record(0, 0))
    item = work.take(0)
    assert item is not None

    work.take_over(frozenset({ONE}), NOTHING)
    work.take_over(BOTH, NOTHING)

    assert not work.is_ours(item)


def test_workload_batch_that_failed_is_made_again_whole() -> None:
    """Until a batch is committed the next one carries the same records, with a note of its own."""
    work = working(record(0, 0), record(0, 1))
    settle_next(work)
    first = work.next_batch(10)
    settle_next(work)

    second = work.next_batch(10)
    work.committed(second)

    assert second.records[: len(first.records)] == first.records
    assert second.offsets != first.offsets
    assert not work.is_commit_needed
