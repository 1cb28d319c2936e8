"""What a subtask remembers of a shard: deadlines in order, and nothing of what is long over."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flink_jobs.operators.shard_memory import DueTimes, ShardMemory
from signalbox.routing.state import Conversation

HOUR_MS = 3_600_000
NAMES = st.sampled_from([f"c-{number}" for number in range(8)])
CHANGES = st.lists(
    st.tuples(NAMES, st.one_of(st.none(), st.integers(min_value=1, max_value=100))), max_size=400
)


@given(changes=CHANGES, now_ms=st.integers(min_value=0, max_value=100))
@settings(max_examples=200, deadline=None)
def test_due_times_give_what_is_due_whatever_was_moved_and_dropped(
    changes: list[tuple[str, int | None]], now_ms: int
) -> None:
    """After any moves and drops exactly the entries that have passed come out."""
    due, expected = DueTimes(), dict[str, int]()
    for name, at in changes:
        if at is None:
            due.drop(name)
            expected.pop(name, None)
        else:
            due.set(name, at)
            expected[name] = at

    assert set(due.take_due(now_ms)) == {name for name, at in expected.items() if at <= now_ms}


def test_due_times_hold_nothing_of_conversations_that_are_over() -> None:
    """A hundred thousand conversations that end before their deadlines leave no entry each until then."""
    due = DueTimes()
    for number in range(100_000):
        due.set(f"c-{number}", HOUR_MS)
        due.drop(f"c-{number}")

    assert len(due._heap) < 200


def test_memory_forgets_a_conversation_an_hour_after_its_state_expired_at_the_latest() -> None:
    """Until its state has expired it is known; an hour later it is not."""
    memory = ShardMemory(["old"], {}, 0)
    memory.remember(Conversation(id="new"), 3 * HOUR_MS)

    memory.forget_before(HOUR_MS - 1)
    assert memory.knows("old")
    memory.forget_before(HOUR_MS)
    assert not memory.knows("old")
    assert memory.knows("new")
