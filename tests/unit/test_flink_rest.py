"""What Flink's REST API says of a stop and of counters, read rightly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from signalbox.local_stack.flink_rest import FlinkRest, created_savepoint, innermost_cause
from tests.support.job_manager import JobManager

STOPPING_FAILED = (
    "java.util.concurrent.CompletionException: org.apache.flink.runtime.scheduler.stopwithsavepoint."
    "StopWithSavepointStoppingException: A savepoint has been created at: file:/home/state/savepoints/savepoint-1c28ae-e8, "
    "but the corresponding job 1c28ae failed during stopping. The savepoint is consistent, but might have uncommitted "
    "transactions. If you want to commit the transaction please restart a job from this savepoint."
)


def test_savepoint_of_a_job_that_failed_while_stopping_is_found():
    """The savepoint that was written is used, although Flink reports a failure."""
    assert created_savepoint(STOPPING_FAILED) == "/home/state/savepoints/savepoint-1c28ae-e8"


def test_savepoint_that_was_not_written_is_none():
    """Any other failure names no savepoint."""
    assert created_savepoint("java.util.concurrent.TimeoutException: checkpoint expired") is None


def test_innermost_cause_is_what_began_it_in_one_line():
    """Of a Java stack trace the last cause; of anything else its first line; never a page."""
    trace = "a.B: outer\n\tat x\nCaused by: c.D: inner\n\tat y\nCaused by: java.io.IOException: No space left\n\tat z\n"

    assert innermost_cause(trace) == "java.io.IOException: No space left"
    assert innermost_cause("one\ntwo") == "one"
    assert innermost_cause("") == ""
    assert len(innermost_cause("x" * 1000)) == 300


@pytest.fixture
def cluster() -> Iterator[JobManager]:
    """A JobManager's answers, over real HTTP."""
    with JobManager() as manager:
        yield manager


def counted(cluster: JobManager, name: str) -> int | None:
    """What the client says of a counter of the job `j`."""
    rest = FlinkRest(cluster.url)
    try:
        return rest.counter("j", name)
    finally:
        rest.close()


def test_counter_is_the_sum_over_subtasks_and_tasks(cluster):
    """Each task that has the counter is asked for its sum over subtasks; names that only end alike are another counter."""
    cluster.counters = {
        "source": {"Source.numRecordsIn": 5},
        "decide": {"0.decide.signalbox.stuck_steps": 2, "0.decide.signalbox.not_stuck_steps": 50},
        "watch": {"0.watch.signalbox.stuck_steps": 1},
    }

    assert counted(cluster, "signalbox.stuck_steps") == 3


def test_counter_that_no_task_has_is_not_known(cluster):
    """A job that has not counted yet says nothing, which is not the same as none."""
    cluster.counters = {"source": {"Source.numRecordsIn": 5}}

    assert counted(cluster, "signalbox.stuck_steps") is None


def test_counter_of_a_job_that_is_gone_is_an_error(cluster):
    """Whoever asks is told that nothing answers for it, and by which address."""
    with pytest.raises(OSError, match=r"/jobs/j: .*404"):
        counted(cluster, "signalbox.stuck_steps")
