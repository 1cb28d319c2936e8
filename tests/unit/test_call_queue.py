"""The queue of model calls: priority, age, the reserve, times not to be before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.operators.call_queue import AGEING_MS, Call, CallKey, CallQueue
from signalbox.contracts.chat import ChatRequest
from signalbox.routing.commands import AskModel

REQUEST = ChatRequest(system="s", user="u", schema={}, schema_name="n")


def call(name: str, *, priority: int = 5, at: int = 0, not_before: int = 0) -> Call:
    """A call submitted at `at` ms."""
    ask = AskModel(0, REQUEST, priority, not_before, 30.0)
    return Call(CallKey(0, name, 0), ask, at)


def queue_of(*calls: Call, slots: int = 1) -> CallQueue:
    """A queue that holds `calls`."""
    queue = CallQueue(slots)
    for one in calls:
        queue.add(one, one.submitted_ms)
    return queue


def order(queue: CallQueue, now_ms: int = 0) -> list[str]:
    """The names in the order in which calls start when slots are free."""
    taken = []
    while (one := queue.take(now_ms, 0)) is not None:
        taken.append(one.key.conversation)
    return taken


def test_queue_different_priorities_the_lower_number_starts_first() -> None:
    """Priority 1 starts before 5, 5 before 10, whatever came first."""
    queue = queue_of(call("low", priority=10), call("normal"), call("urgent", priority=1))

    assert order(queue) == ["urgent", "normal", "low"]


def test_queue_equal_priorities_the_older_starts_first() -> None:
    """Among equals age decides, and among equal ages the order of arrival."""
    queue = queue_of(call("b", at=2), call("a", at=1), call("c", at=2))

    assert order(queue, 10) == ["a", "b", "c"]


def test_queue_call_that_waited_ten_seconds_counts_one_level_more() -> None:
    """A call of priority 6 that waited just over 10 s starts before a fresh one of priority 5; just under, after it."""
    late, early = AGEING_MS + 1, AGEING_MS - 1

    assert order(queue_of(call("old", priority=6), call("new", at=late)), late) == ["old", "new"]
    assert order(queue_of(call("old", priority=6), call("new", at=early)), early) == ["new", "old"]


def test_queue_last_tenth_of_the_slots_is_for_the_urgent() -> None:
    """With 18 of 20 slots taken a normal call waits and an urgent one starts, up to the twentieth."""
    assert queue_of(call("normal"), slots=20).take(0, 18) is None
    assert queue_of(call("urgent", priority=3), slots=20).take(0, 19) is not None
    assert queue_of(call("urgent", priority=3), slots=20).take(0, 20) is None


def test_queue_call_that_aged_to_urgent_may_use_the_reserve() -> None:
    """A call of priority 5 that waited 20 s counts as urgent."""
    queue = queue_of(call("normal"), slots=20)

    assert queue.take(2 * AGEING_MS - 1, 18) is None
    assert queue.take(2 * AGEING_MS, 18) is not None


def test_queue_call_not_due_yet_waits_and_does_not_block_others() -> None:
    """A retry that waits for its time lets others pass and starts when it is due."""
    queue = queue_of(call("retry", priority=1, not_before=500), call("normal"))

    assert order(queue, 499) == ["normal"]
    assert queue.next_due_ms() == 500
    assert order(queue, 500) == ["retry"]


def test_queue_cancelled_call_never_starts_and_does_not_count() -> None:
    """Cancelling removes a ready call and a delayed one alike."""
    ready, delayed = call("ready"), call("delayed", not_before=100)
    queue = queue_of(ready, delayed, call("other"))
    queue.cancel(ready)
    queue.cancel(delayed)

    assert len(queue) == 1
    assert queue.next_due_ms() is None
    assert order(queue, 1_000) == ["other"]


@given(
    st.lists(
        st.tuples(st.integers(1, 10), st.integers(0, 60_000), st.integers(0, 90_000)), max_size=30
    )
)
def test_queue_any_calls_all_start_once_in_the_order_of_their_levels(
    facts: list[tuple[int, int, int]],
) -> None:
    """Whatever was added, everything due comes out exactly once, most urgent level first."""
    calls = [
        call(str(number), priority=priority, at=at, not_before=not_before)
        for number, (priority, at, not_before) in enumerate(facts)
    ]
    queue = queue_of(*calls)
    taken = order(queue, 100_000)
    levels = [calls[int(name)].level(100_000) for name in taken]

    assert sorted(taken, key=int) == [str(number) for number in range(len(calls))]
    assert levels == sorted(levels)
    assert len(queue) == 0
