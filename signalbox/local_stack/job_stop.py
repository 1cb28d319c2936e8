"""Stopping a job so that the next `up` goes on where it was: with a savepoint, or else from its newest checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from signalbox.errors import StackError
from signalbox.local_stack.checkpoints import remember
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.job import Job

SAVEPOINT_SECONDS: Final = 8.0
SAVEPOINT_RETRY_SECONDS: Final = 0.3


def stop_job(job: Job, rest: FlinkRest, savepoints: Path) -> str | None:
    """Stop `job` with a savepoint in the folder `savepoints`; return what happened as a sentence, None where it did not run."""
    job.abandon_client()
    if job.record.id is None:
        return None
    try:
        savepoint = _savepoint(job.record.id, rest, savepoints)
    except (OSError, StackError) as error:
        return (
            f"job {job.name} has no savepoint ({error}); "
            "the next `up` goes on from its newest checkpoint"
        )
    job.record.restore_from = savepoint
    remember(job.record, savepoint)
    job.record.id = None
    return f"job {job.name} stopped, its state is in {savepoint}"


def _savepoint(job_id: str, rest: FlinkRest, savepoints: Path) -> str:
    deadline = time.monotonic() + SAVEPOINT_SECONDS
    while True:
        try:
            return rest.stop_with_savepoint(
                job_id,
                str(savepoints),
                timeout_seconds=max(1.0, deadline - time.monotonic()),
            )
        except StackError:
            # Tasks that are just starting refuse; they may be there in a moment.
            if time.monotonic() > deadline:
                raise
            time.sleep(SAVEPOINT_RETRY_SECONDS)
