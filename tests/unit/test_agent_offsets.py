"""The bookkeeping of a partition: what is committed, what rides beside it, what a restart makes of both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.offsets import FIRST_WINDOW, Note, PartitionProgress, decode_note, encode_note
from connectors.broker import MAX_METADATA_BYTES, CommittedOffset

OFFSETS = st.integers(0, 5000)


@given(
    base=st.integers(0, 2**40),
    number=st.integers(0, 2**31),
    below=st.integers(0, 3000),
    finished=st.frozensets(st.integers(0, 300), max_size=60),
    attempts=st.dictionaries(st.integers(0, 300), st.integers(1, 20), max_size=60),
)
def test_note_that_fits_survives_the_text(
    base: int, number: int, below: int, finished: frozenset[int], attempts: dict[int, int]
) -> None:
    """What is written beside an offset is read back the same."""
    note = Note(
        number,
        base + below,
        frozenset(base + n for n in finished),
        {base + n: count for n, count in attempts.items()},
    )

    assert decode_note(base, encode_note(base, note)) == note


@given(
    finished=st.frozensets(OFFSETS, max_size=2000),
    attempts=st.dictionaries(OFFSETS, st.integers(1, 20), max_size=1500),
)
def test_note_too_long_loses_the_far_end_and_never_the_limit(
    finished: frozenset[int], attempts: dict[int, int]
) -> None:
    """A note never exceeds the broker's limit, and what is left is true."""
    text = encode_note(0, Note(1, 0, finished, attempts))
    read = decode_note(0, text)

    assert len(text.encode()) <= MAX_METADATA_BYTES
    assert read.finished <= finished
    assert read.attempts.items() <= attempts.items()


@pytest.mark.parametrize("text", ["", "v2 x", "v1 n f a", "\x00", "v1 n1 s1 f1-2"])
def test_note_unknown_text_is_empty_and_careful(text: str) -> None:
    """Metadata of anybody else counts as nothing known: no finished record, a wide window of possible starts."""
    note = decode_note(7, text)

    assert note == Note(started_below=7 + FIRST_WINDOW)


@given(st.data())
def test_progress_commit_never_passes_unfinished_work(data: st.DataObject) -> None:
    """Whatever the order of ends: each delivered record is finished, or at or behind the committed offset and not noted
    as finished.
    """
    offsets = sorted(data.draw(st.sets(st.integers(0, 60), min_size=1, max_size=40)))
    progress = PartitionProgress(None, end=100)
    for offset in offsets:
        assert progress.accept(offset)
        progress.start(offset)
    order = data.draw(st.permutations(offsets))
    done = order[: data.draw(st.integers(0, len(order)))]
    for offset in done:
        progress.finish(offset)

    committed = progress.to_commit(1, 10)
    restarted = PartitionProgress(committed, end=100)
    again = [offset for offset in offsets if restarted.accept(offset)]

    assert again == [offset for offset in offsets if offset not in set(done)]
    assert all(restarted.starts_before(offset) == 1 for offset in again)
    assert all(restarted.is_suspect(offset) for offset in again)


def test_progress_gaps_in_the_numbers_do_not_stop_the_prefix() -> None:
    """Offsets that markers take are no unfinished records."""
    progress = PartitionProgress(CommittedOffset(5), end=50)
    for offset in (6, 9, 14):
        progress.accept(offset)
        progress.finish(offset)

    assert progress.to_commit(1, 0).offset == 15


def test_progress_record_delivered_twice_is_taken_once() -> None:
    """A rebalance that delivers again what is here changes nothing."""
    progress = PartitionProgress(None, end=0)

    assert [progress.accept(0), progress.accept(1), progress.accept(0)] == [True, True, False]


def test_progress_fresh_records_need_no_note() -> None:
    """What came after the assignment was never started by anybody; its first start costs no commit."""
    progress = PartitionProgress(CommittedOffset(3, encode_note(3, Note(1, 8))), end=5)
    for offset in (3, 4, 5):
        progress.accept(offset)

    assert [progress.is_noted_first(offset) for offset in (3, 4, 5)] == [True, True, False]


def test_progress_second_attempt_is_noted_first() -> None:
    """From the second start on the count is durable before the handler runs."""
    progress = PartitionProgress(None, end=0)
    progress.accept(0)
    first = (progress.is_noted_first(0), progress.start(0))
    second = (progress.is_noted_first(0), progress.start(0))

    assert (first, second) == ((False, 1), (True, 2))
