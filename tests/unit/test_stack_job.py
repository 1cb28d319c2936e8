"""A supervised job is submitted from its newest state, watched, and submitted again when the cluster lost it."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from signalbox.errors import StackError
from signalbox.local_stack.backoff import Backoff
from signalbox.local_stack.flink_rest import FlinkJob, FlinkRest
from signalbox.local_stack.job import Job, JobPlan
from signalbox.local_stack.process import ProcessSpec
from signalbox.local_stack.state_file import JobRecord

METADATA = bytes.fromhex("4960672d00000004")


class FakeCluster:
    """Stands for the JobManager: lists what a test says."""

    def __init__(self) -> None:
        self.listed: list[FlinkJob] = []
        self.tasks_run = True
        self.trouble = ""
        self.checkpoints_fail = ""
        self.cancelled: list[str] = []

    def stacktrace(self, job_id: str) -> str:
        """Return the job's exception."""
        return self.trouble

    def cause(self, job_id: str) -> str:
        """Return the innermost cause of it."""
        return self.trouble

    def checkpoint_trouble(self, job_id: str) -> str:
        """Return why the latest checkpoint failed."""
        return self.checkpoints_fail

    def cancel(self, job_id: str) -> None:
        """Note it."""
        self.cancelled.append(job_id)

    def jobs(self) -> tuple[FlinkJob, ...]:
        """Return the jobs."""
        return tuple(self.listed)

    def all_tasks_run(self, job_id: str) -> bool:
        """Return True unless told otherwise: tasks start at once here."""
        return self.tasks_run


class Harness:
    """One job with a client that ends at once, and a fake cluster."""

    def __init__(self, folder: Path, record: JobRecord) -> None:
        self.origins: list[str | None] = []
        self.cluster = FakeCluster()
        self.folder = folder
        plan = JobPlan("orchestrate", self._submission, folder)
        self.job = Job(plan, record, backoff=Backoff(0.0))

    def _submission(self, origin: str | None) -> ProcessSpec:
        self.origins.append(origin)
        argv = (sys.executable, "-c", "print('said the client')")
        return ProcessSpec("client", argv, self.folder / "client.log")

    def step(self) -> str | None:
        """Step once."""
        return self.job.step(cast("FlinkRest", self.cluster))

    def step_until(self, state: str) -> list[str]:
        """Step until the job is in `state`; return what was said."""
        said: list[str] = []
        deadline = time.monotonic() + 20
        while self.job.state != state:
            said.append(self.step() or "")
            assert time.monotonic() < deadline, said
            time.sleep(0.01)
        return said


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """A job that never ran."""
    return Harness(tmp_path, JobRecord(name="orchestrate"))


def _running(job_id: str, state: str = "RUNNING") -> FlinkJob:
    return FlinkJob(job_id, "orchestrate", state, 1)


def test_job_first_submission_has_no_state_and_learns_its_id(harness: Harness) -> None:
    """A job without a past starts empty; its id comes from the cluster."""
    harness.cluster.listed = [_running("first")]

    harness.step_until("running")

    assert harness.origins == [None]
    assert harness.job.record.id == "first"


def test_job_unknown_to_a_new_jobmanager_goes_on_from_its_checkpoint(harness: Harness) -> None:
    """After the JobManager was lost, the job is submitted from the newest checkpoint it left."""
    harness.cluster.listed = [_running("first")]
    harness.step_until("running")
    checkpoint = harness.folder / "first" / "chk-4"
    checkpoint.mkdir(parents=True)
    (checkpoint / "_metadata").write_bytes(METADATA)

    harness.cluster.listed = []
    harness.step_until("submitting")
    harness.cluster.listed = [_running("second")]
    harness.step_until("running")

    assert harness.origins == [None, str(checkpoint)]
    assert harness.job.record.id == "second"
    assert harness.job.record.restore_from == str(checkpoint)


def test_job_lost_before_its_first_checkpoint_keeps_its_origin(harness: Harness) -> None:
    """A job lost again before it had a checkpoint is restored from where it was restored before."""
    savepoint = harness.folder / "savepoint-1"
    savepoint.mkdir()
    (savepoint / "_metadata").write_bytes(METADATA)
    harness.job.record.restore_from = str(savepoint)
    harness.cluster.listed = [_running("first")]
    harness.step_until("running")
    harness.cluster.listed = []
    harness.step_until("submitting")

    assert harness.origins == [str(savepoint), str(savepoint)]


def test_job_client_without_result_shows_what_it_said(harness: Harness) -> None:
    """A submission after which the cluster knows no job is reported with the client's words, and tried again."""
    said = harness.step_until("lost")

    assert any("said the client" in sentence for sentence in said)
    assert harness.job.record.resubmissions == 1


def test_job_restarted_by_flink_is_told_not_resubmitted(harness: Harness) -> None:
    """While Flink restarts the job's tasks, the supervisor only says so."""
    harness.cluster.listed = [_running("first")]
    harness.step_until("running")
    harness.cluster.listed = [_running("first", "RESTARTING")]

    assert "Flink restarts it" in (harness.step() or "")
    assert len(harness.origins) == 1


def test_job_that_failed_for_good_is_submitted_again(harness: Harness) -> None:
    """A job that Flink gave up is submitted again after a wait."""
    harness.cluster.listed = [_running("first")]
    harness.step_until("running")
    harness.cluster.listed = [_running("first", "FAILED")]

    assert "is FAILED; submitting it again" in (harness.step() or "")


def _state(harness: Harness, name: str) -> str:
    folder = harness.folder / name
    folder.mkdir(parents=True)
    (folder / "_metadata").write_bytes(METADATA)
    return str(folder)


def test_job_whose_state_vanished_is_refused(harness: Harness) -> None:
    """A checkpoint that was seen and is gone ends in an error with the remedy, never in an empty start."""
    harness.cluster.listed = [_running("first")]
    _state(harness, "first/chk-1")
    harness.step_until("running")
    shutil.rmtree(harness.folder / "first")
    harness.cluster.listed = []

    with pytest.raises(StackError, match="up --fresh"):
        harness.step_until("submitting")
    assert harness.origins == [None]


@pytest.mark.parametrize("flink_state", ["FAILED", "RESTARTING"])
def test_job_that_flink_cannot_restore_falls_back_to_the_earlier_state(
    harness: Harness, flink_state: str
) -> None:
    """A savepoint that looks whole and is not: the job is cancelled and submitted from the one before, said aloud."""
    earlier, newest = _state(harness, "savepoint-1"), _state(harness, "savepoint-2")
    record = harness.job.record
    record.restore_from = record.newest = newest
    record.earlier = [earlier]
    harness.cluster.listed = [_running("first", flink_state)]
    harness.cluster.tasks_run = False
    harness.cluster.trouble = (
        "Caused by: java.io.EOFException\n"
        "\tat org.apache.flink.runtime.checkpoint.Checkpoints.loadCheckpointMetadata(Checkpoints.java:99)"
    )
    harness.step_until("lost")
    said = harness.step_until("submitting")

    assert harness.origins == [newest, earlier]
    assert f"warning: {newest} is passed over (Flink cannot restore it)" in said[-1]


def test_job_that_fails_for_another_reason_keeps_its_state(harness: Harness) -> None:
    """A broker that is away says nothing about the savepoint."""
    newest = _state(harness, "savepoint-2")
    harness.job.record.restore_from = newest
    harness.cluster.listed = [_running("first", "FAILED")]
    harness.cluster.trouble = "TimeoutException: no broker answers"
    harness.step_until("lost")
    harness.step_until("submitting")

    assert harness.origins == [newest, newest]


def test_job_restarted_by_flink_is_told_with_the_cause(harness: Harness) -> None:
    """What began it is in the sentence, so that nobody has to look for it in a log."""
    harness.cluster.listed = [_running("first")]
    harness.step_until("running")
    harness.cluster.listed = [_running("first", "RESTARTING")]
    harness.cluster.trouble = "TimeoutException: Topic agent_tasks_a not present in metadata"

    assert "(TimeoutException: Topic agent_tasks_a" in (harness.step() or "")


def test_job_that_cannot_write_checkpoints_says_so_once_and_when_it_can_again(
    tmp_path: Path,
) -> None:
    """A full disk is told aloud, with the room that is left; so is its end."""
    seconds = [0.0]
    made = Harness(tmp_path, JobRecord(name="orchestrate"))
    made.job = Job(made.job.plan, made.job.record, now=lambda: seconds[0])
    made.cluster.listed = [_running("first")]
    made.step_until("running")

    def say(trouble: str) -> str | None:
        seconds[0] += 5
        made.cluster.checkpoints_fail = trouble
        return made.step()

    assert say("") is None
    assert say("suspending, while the job restarts") is None
    assert say("") is None
    assert say("No space left on device") is None
    first = say("No space left on device") or ""
    assert "warning: job orchestrate cannot write checkpoints (No space left on device" in first
    assert "MiB free" in first
    assert say("No space left on device") is None
    assert say("") == "job orchestrate writes checkpoints again"


def test_job_whose_state_is_another_job_s_is_refused_and_not_set_back(harness: Harness) -> None:
    """State that does not fit the code or the settings is kept: going back to an older one would lose what is whole."""
    _state(harness, "savepoint-1")
    newest = _state(harness, "savepoint-2")
    record = harness.job.record
    record.restore_from = record.newest = newest
    record.earlier = [str(harness.folder / "savepoint-1")]
    harness.cluster.listed = [_running("first", "FAILED")]
    harness.cluster.trouble = (
        "Caused by: java.lang.IllegalStateException: Failed to rollback to checkpoint/savepoint x. Cannot map "
        "checkpoint/savepoint state for operator 1 to the new program, because the operator is not available"
    )

    with pytest.raises(StackError, match=r"to the new program.*PYTHON_EXECUTION_MODE"):
        harness.step_until("lost")
    assert harness.origins == [newest]
    assert record.newest == newest
