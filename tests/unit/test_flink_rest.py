"""What Flink's REST API says of a stop, read rightly."""

from __future__ import annotations

from signalbox.local_stack.flink_rest import created_savepoint, innermost_cause

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
