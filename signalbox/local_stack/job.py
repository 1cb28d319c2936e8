"""A Flink job that is kept running: submitted from its newest state, watched, submitted again when the cluster lost it."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from signalbox.errors import StackError
from signalbox.local_stack.backoff import Backoff
from signalbox.local_stack.checkpoints import newest_checkpoint, remember, restore_point
from signalbox.local_stack.flink_rest import FlinkJob, FlinkRest
from signalbox.local_stack.process import ManagedProcess, ProcessSpec, log_tail
from signalbox.local_stack.state_file import JobRecord

SUBMIT_SECONDS: Final = 240.0
CHECKPOINTS_EVERY_SECONDS: Final = 2.0
LOOKS_IN_TROUBLE: Final = 2
_MAX_SAID_BYTES: Final = 256 * 1024
_CANNOT_RESTORE: Final = re.compile(
    r"Failed to rollback to checkpoint/savepoint|Cannot find (meta data|checkpoint|savepoint)|"
    r"Exception while creating StreamOperatorStateContext|"
    r"at org\.apache\.flink\.runtime\.checkpoint\.(Checkpoints\.load|CheckpointCoordinator\.restore)|"
    r"BackendRestorerProcedure\.createAndRestore"
)
"""What a stack trace of Flink's holds when a checkpoint or savepoint cannot be used."""
_DOES_NOT_FIT: Final = re.compile(r"[^\n]*(to the new program|StateMigrationException)[^\n]*")
"""What it says when the state is whole and the job is another one: then an earlier state is no way out."""

JobState = Literal["waiting", "submitting", "starting", "running", "lost"]


@dataclass(frozen=True)
class JobPlan:
    """A job and how it is submitted. `submission` gets what to restore from (or None) and returns the client process."""

    name: str
    submission: Callable[[str | None], ProcessSpec]
    checkpoints: Path


class Job:
    """One supervised job. Like a child, `step` is called often and returns what is worth reporting."""

    def __init__(
        self,
        plan: JobPlan,
        record: JobRecord,
        *,
        backoff: Backoff | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.record = record
        self.state: JobState = "waiting"
        self._backoff = backoff or Backoff()
        self._now = now
        self._client: ManagedProcess | None = None
        self._log_starts_at = 0
        self._refused: dict[str, str] = {}
        self._look_at_checkpoints_at = 0.0
        self._looks_in_trouble = 0
        self._has_checkpoint_trouble = False
        self._submitted_at = 0.0
        self._starting_since = 0.0
        self._running_since = 0.0
        self._submit_at = 0.0

    @property
    def name(self) -> str:
        """The job's name in the cluster."""
        return self.plan.name

    def step(self, rest: FlinkRest) -> str | None:
        """Look after it once, while the JobManager answers.

        Raises:
            OSError: the JobManager does not answer.
            StackError: the state it had cannot be used, and it must not start without.
        """
        if self.state in {"waiting", "lost"}:
            return self._submit() if self._now() >= self._submit_at else None
        if self.state == "submitting":
            return self._watch_client(rest)
        return self._watch_job(rest)

    def abandon_client(self) -> None:
        """End a submission under way."""
        if self._client is not None:
            self._client.stop()
            self._client = None

    def _submit(self) -> str:
        chosen = restore_point(self.plan.checkpoints, self.record, self._refused)
        origin = chosen.path
        # From now on its own id says nothing: until the new job has a checkpoint, this is where its state is.
        self.record.restore_from = origin
        self.record.id = None
        spec = self.plan.submission(origin)
        # A log may hold what former submissions said.
        self._log_starts_at = spec.log_path.stat().st_size if spec.log_path.exists() else 0
        self._client = ManagedProcess.start(spec)
        self._submitted_at = self._starting_since = self._now()
        self.state = "submitting"
        where = f"from {Path(origin).name}" if origin else "with no earlier state"
        warning = f"warning: {chosen.passed_over}; " if chosen.passed_over else ""
        return f"{warning}job {self.name} is being submitted {where}"

    def _watch_client(self, rest: FlinkRest) -> str | None:
        assert self._client is not None
        if self._client.exit_code() is None:
            if self._now() - self._submitted_at < SUBMIT_SECONDS:
                return None
            self.abandon_client()
            return self._lost(f"was not submitted within {SUBMIT_SECONDS:g} s")
        log = self._client.spec.log_path
        self.abandon_client()
        found = self._find(rest)
        if found is None or found.is_over:
            failure = rest.stacktrace(found.id) if found else ""
            self._refuse_origin(failure + self._said_by_client(log))
            return self._lost(f"was not submitted; see {log}, which ends:\n{log_tail(log)}")
        self.record.id = found.id
        self.state = "starting"
        return None

    def _watch_job(self, rest: FlinkRest) -> str | None:
        found = self._find(rest)
        if found is None or found.is_over:
            state = found.state if found else "unknown to the JobManager"
            if found is not None and self.state == "starting":
                self._refuse_origin(rest.stacktrace(found.id))
            return self._lost(f"is {state}")
        if checkpoint := newest_checkpoint(self.plan.checkpoints, found.id):
            remember(self.record, str(checkpoint))
        if self.state == "starting":
            if rest.all_tasks_run(found.id):
                self.state = "running"
                self._running_since = self._now()
                return f"job {self.name} runs ({self._now() - self._starting_since:.1f} s)"
            if checkpoint is None and self._refuse_origin(rest.stacktrace(found.id)):
                # Flink would try the same again for ever.
                rest.cancel(found.id)
                return self._lost("cannot be restored")
        elif found.state != "RUNNING":
            self.state = "starting"
            self._starting_since = self._now()
            cause = rest.cause(found.id)
            why = f" ({cause})" if cause else ""
            return f"job {self.name} is {found.state}, Flink restarts it{why}"
        return self._watch_checkpoints(rest, found.id) if self.state == "running" else None

    def _watch_checkpoints(self, rest: FlinkRest, job_id: str) -> str | None:
        """Say when checkpoints begin to fail, and when they are written again."""
        if self._now() < self._look_at_checkpoints_at:
            return None
        self._look_at_checkpoints_at = self._now() + CHECKPOINTS_EVERY_SECONDS
        trouble = rest.checkpoint_trouble(job_id)
        # One that failed alone was caught by a restart, or is the first of many.
        self._looks_in_trouble = self._looks_in_trouble + 1 if trouble else 0
        has_trouble = self._looks_in_trouble >= LOOKS_IN_TROUBLE
        if has_trouble == self._has_checkpoint_trouble or (trouble and not has_trouble):
            return None
        self._has_checkpoint_trouble = has_trouble
        if not trouble:
            return f"job {self.name} writes checkpoints again"
        free = ""
        with contextlib.suppress(OSError):
            mib = shutil.disk_usage(self.plan.checkpoints).free / 2**20
            free = f", {mib:.0f} MiB free in {self.plan.checkpoints}"
        return f"warning: job {self.name} cannot write checkpoints ({trouble}{free})"

    def _said_by_client(self, log: Path) -> str:
        with contextlib.suppress(OSError), log.open("rb") as file:
            file.seek(self._log_starts_at)
            return file.read(_MAX_SAID_BYTES).decode("utf-8", errors="replace")
        return ""

    def _refuse_origin(self, cause: str) -> bool:
        """Note that the job's origin cannot be used, where `cause` says so; raises StackError where the job is another one."""
        origin = self.record.restore_from
        if origin is None or not _CANNOT_RESTORE.search(cause):
            return False
        if misfit := _DOES_NOT_FIT.search(cause):
            msg = (
                f"job {self.name} cannot take up its state in {origin}: {misfit[0].strip()[:500]}. Go back to the code and "
                "settings that wrote it (SIGNALBOX_FLINK__PYTHON_EXECUTION_MODE is one of them), or start with nothing: "
                "`signalbox up --fresh`"
            )
            raise StackError(msg)
        self._refused[origin] = cause
        return True

    def _lost(self, what: str) -> str:
        ran = self._now() - self._running_since if self.state == "running" else 0.0
        wait = self._backoff.next_seconds(ran)
        self._submit_at = self._now() + wait
        self.record.resubmissions += 1
        self.state = "lost"
        return f"job {self.name} {what}; submitting it again in {wait:g} s"

    def _find(self, rest: FlinkRest) -> FlinkJob | None:
        jobs = [job for job in rest.jobs() if job.name == self.name]
        if self.record.id is not None:
            jobs = [job for job in jobs if job.id == self.record.id]
        return jobs[0] if jobs else None
