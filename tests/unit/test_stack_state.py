"""The state file, restore points and backoff."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.errors import StackError
from signalbox.local_stack import state_file
from signalbox.local_stack.backoff import Backoff
from signalbox.local_stack.checkpoints import (
    Origin,
    holds_state,
    newest_checkpoint,
    remember,
    remove_outdated,
    restore_point,
)
from signalbox.local_stack.state_file import JobRecord, ProcessRecord, StackState

METADATA = bytes.fromhex("4960672d00000004")


def _checkpoint(folder: Path, job: str, number: int, *, complete: bool = True) -> Path:
    path = folder / job / f"chk-{number}"
    path.mkdir(parents=True)
    if complete:
        (path / "_metadata").write_bytes(METADATA)
    return path


def test_state_file_written_is_read_back(tmp_path: Path) -> None:
    """What the supervisor writes is what others read."""
    state = StackState(phase="running", jobs={"orchestrate": JobRecord(name="orchestrate", id="a")})
    state.say("12:00:00 hello")
    state_file.write(tmp_path, state)

    assert state_file.read(tmp_path) == state
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


def test_state_file_absent_is_a_stopped_stack(tmp_path: Path) -> None:
    """Where there never was a stack, nothing runs."""
    assert state_file.read(tmp_path).phase == "stopped"


def test_state_file_broken_names_the_file(tmp_path: Path) -> None:
    """A file nobody can read is an error that names it."""
    (tmp_path / "stack.json").write_text("{")

    with pytest.raises(StackError, match=r"stack\.json cannot be read"):
        state_file.read(tmp_path)


def test_process_record_recognises_only_its_own_process() -> None:
    """A later process with the same pid is another one."""
    pid = os.getpid()
    ours = ProcessRecord(name="p", kind="agent", pid=pid, created_at=state_file.record_process(pid))

    assert ours.is_alive()
    assert not ours.model_copy(update={"created_at": ours.created_at - 60}).is_alive()
    assert not ProcessRecord(name="p", kind="agent").is_alive()


@given(st.lists(st.text(min_size=1), max_size=300), st.integers(0, 300))
def test_events_after_returns_those_not_told_yet(sentences: list[str], told: int) -> None:
    """A reader that was told `n` events gets the others once, the latest 200 at most."""
    state = StackState()
    for sentence in sentences:
        state.say(sentence)

    new = state.events_after(told)

    assert new == sentences[told:][-state_file.KEPT_EVENTS :]


def test_newest_checkpoint_compares_numbers_and_skips_unfinished(tmp_path: Path) -> None:
    """chk-10 is newer than chk-9; one without metadata is none."""
    _checkpoint(tmp_path, "job", 9)
    newest = _checkpoint(tmp_path, "job", 10)
    _checkpoint(tmp_path, "job", 11, complete=False)

    assert newest_checkpoint(tmp_path, "job") == newest
    assert newest_checkpoint(tmp_path, "other") is None


def test_restore_point_own_checkpoint_is_newer_than_the_savepoint(tmp_path: Path) -> None:
    """A job that ran on from a savepoint continues from its own checkpoint."""
    savepoint = _checkpoint(tmp_path, "savepoint-1", 0)
    job = JobRecord(name="j", id="abc", restore_from=str(savepoint))
    assert restore_point(tmp_path, job) == Origin(str(savepoint))

    checkpoint = _checkpoint(tmp_path, "abc", 3)
    assert restore_point(tmp_path, job) == Origin(str(checkpoint))


def test_restore_point_of_a_job_that_never_had_state_is_none(tmp_path: Path) -> None:
    """A first start, and a start after a crash before the first checkpoint, begin with nothing."""
    assert restore_point(tmp_path, JobRecord(name="j")) == Origin(None)
    assert restore_point(tmp_path, JobRecord(name="j", id="abc")) == Origin(None)


def test_restore_point_gone_without_an_earlier_one_is_refused(tmp_path: Path) -> None:
    """State that was there and is not is never an empty start; the error says the way out."""
    for job in (
        JobRecord(name="j", restore_from=str(tmp_path / "gone")),
        JobRecord(name="j", id="abc", newest=str(tmp_path / "abc" / "chk-7")),
    ):
        with pytest.raises(StackError, match=r"(gone|chk-7), which is gone.*up --fresh"):
            restore_point(tmp_path, job)


@pytest.mark.parametrize("damage", [b"", b"\0" * 100])
def test_restore_point_damaged_falls_back_to_an_earlier_one_and_says_so(
    tmp_path: Path, damage: bytes
) -> None:
    """The newest checkpoint is damaged: the one before is taken, with a sentence about it."""
    earlier = _checkpoint(tmp_path, "abc", 3)
    newest = _checkpoint(tmp_path, "abc", 4)
    (newest / "_metadata").write_bytes(damage)
    origin = restore_point(tmp_path, JobRecord(name="j", id="abc", newest=str(newest)))

    assert origin.path == str(earlier)
    assert str(newest) in origin.passed_over


def test_restore_point_newer_than_the_newest_that_was_seen_is_no_fallback(tmp_path: Path) -> None:
    """Checkpoints that came and went since somebody looked are the ordinary case."""
    newer = _checkpoint(tmp_path, "abc", 9)
    gone = tmp_path / "abc" / "chk-4"

    assert restore_point(tmp_path, JobRecord(name="j", id="abc", newest=str(gone))) == Origin(
        str(newer)
    )


def test_restore_point_that_flink_refused_is_not_tried_again(tmp_path: Path) -> None:
    """What looks whole and cannot be restored is passed over like what is damaged, down to the last one."""
    earlier = _checkpoint(tmp_path, "savepoint-1", 0)
    newest = _checkpoint(tmp_path, "savepoint-2", 0)
    job = JobRecord(name="j", restore_from=str(newest), newest=str(newest), earlier=[str(earlier)])
    origin = restore_point(tmp_path, job, {str(newest)})

    assert origin.path == str(earlier)
    assert "Flink cannot restore it" in origin.passed_over
    with pytest.raises(StackError, match="Flink cannot restore"):
        restore_point(tmp_path, job, {str(newest), str(earlier)})


def test_remember_keeps_what_a_job_may_fall_back_to(tmp_path: Path) -> None:
    """Savepoints and last checkpoints of former runs are kept in order, not each checkpoint of one run."""
    job = JobRecord(name="j")
    for path in ("/s/savepoint-1", "/c/a/chk-1", "/c/a/chk-2", "/s/savepoint-2", "/s/savepoint-3"):
        remember(job, path)

    assert job.newest == "/s/savepoint-3"
    assert job.earlier == ["/s/savepoint-2", "/c/a/chk-2", "/s/savepoint-1"]


def test_holds_state_looks_for_whole_ones(tmp_path: Path) -> None:
    """An empty folder holds no state, a complete checkpoint anywhere below does."""
    _checkpoint(tmp_path, "job", 3, complete=False)
    assert not holds_state(tmp_path)

    _checkpoint(tmp_path, "job", 4)
    assert holds_state(tmp_path)


def test_remove_outdated_keeps_what_a_job_needs(tmp_path: Path) -> None:
    """Old checkpoints and savepoints go, the restore points stay."""
    checkpoints, savepoints = tmp_path / "c", tmp_path / "s"
    needed = _checkpoint(checkpoints, "a", 5)
    _checkpoint(checkpoints, "b", 5)
    for number in range(5):
        (savepoints / f"savepoint-{number}").mkdir(parents=True)
        os.utime(savepoints / f"savepoint-{number}", (number, number))

    remove_outdated(checkpoints, savepoints, [JobRecord(name="j", restore_from=str(needed))])

    assert [path.name for path in checkpoints.iterdir()] == ["a"]
    assert sorted(path.name for path in savepoints.iterdir()) == [
        "savepoint-2",
        "savepoint-3",
        "savepoint-4",
    ]


def test_backoff_grows_to_its_limit_and_forgets_after_a_good_run() -> None:
    """Waits double up to the limit; after a minute of running there is none, and the next crash is the first again."""
    backoff = Backoff(first_seconds=1, most_seconds=5)

    assert [backoff.next_seconds(0) for _ in range(4)] == [1, 2, 4, 5]
    assert backoff.next_seconds(61) == 0
    assert [backoff.next_seconds(0) for _ in range(2)] == [1, 2]


def test_backoff_after_thousands_of_crashes_is_the_limit() -> None:
    """Days of crashing do not overflow."""
    assert Backoff(crashes=100_000).next_seconds(0) == 30
