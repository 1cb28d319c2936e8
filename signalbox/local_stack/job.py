"""A Flink job that is kept running: submitted from its newest state, watched, submitted again when the cluster lost it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from signalbox.local_stack.backoff import Backoff
from signalbox.local_stack.checkpoints import restore_point
from signalbox.local_stack.flink_rest import FlinkJob, FlinkRest
from signalbox.local_stack.process import ManagedProcess, ProcessSpec, log_tail
from signalbox.local_stack.state_file import JobRecord

SUBMIT_SECONDS: Final = 240.0

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
        origin = restore_point(self.plan.checkpoints, self.record)
        # From now on its own id says nothing: until the new job has a checkpoint, this is where its state is.
        self.record.restore_from = origin
        self.record.id = None
        self._client = ManagedProcess.start(self.plan.submission(origin))
        self._submitted_at = self._starting_since = self._now()
        self.state = "submitting"
        where = f"from {Path(origin).name}" if origin else "with no earlier state"
        return f"job {self.name} is being submitted {where}"

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
            return self._lost(f"was not submitted; see {log}, which ends:\n{log_tail(log)}")
        self.record.id = found.id
        self.state = "starting"
        return None

    def _watch_job(self, rest: FlinkRest) -> str | None:
        found = self._find(rest)
        if found is None or found.is_over:
            state = found.state if found else "unknown to the JobManager"
            return self._lost(f"is {state}")
        if self.state == "starting":
            if rest.all_tasks_run(found.id):
                self.state = "running"
                self._running_since = self._now()
                return f"job {self.name} runs ({self._now() - self._starting_since:.1f} s)"
        elif found.state != "RUNNING":
            self.state = "starting"
            self._starting_since = self._now()
            return f"job {self.name} is {found.state}, Flink restarts it"
        return None

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
