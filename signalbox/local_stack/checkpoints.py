"""Which state a job starts from: its savepoint, else the newest checkpoint it left, else none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from signalbox.local_stack.state_file import JobRecord

_METADATA: Final = "_metadata"
KEPT_SAVEPOINTS: Final = 3


def newest_checkpoint(folder: Path, job_id: str) -> Path | None:
    """Return the newest complete checkpoint of a job (`<folder>/<job id>/chk-<n>`), or None.

    A checkpoint is complete once its `_metadata` is written; one that a crash cut short has none.
    """
    complete = [
        path.parent
        for path in (folder / job_id).glob(f"chk-*/{_METADATA}")
        if path.parent.name.removeprefix("chk-").isdigit()
    ]
    return max(complete, key=lambda path: int(path.name.removeprefix("chk-")), default=None)


def restore_point(folder: Path, job: JobRecord) -> str | None:
    """Return what to restore `job` from, or None to start from the consumer group's offsets.

    The job's own checkpoints are newer than what it was itself restored from.
    """
    if job.id and (checkpoint := newest_checkpoint(folder, job.id)):
        return str(checkpoint)
    if job.restore_from and (Path(job.restore_from) / _METADATA).is_file():
        return job.restore_from
    return None


def remove_outdated(checkpoints: Path, savepoints: Path, jobs: list[JobRecord]) -> None:
    """Remove what no job will be restored from any more; called when every job has stopped with a savepoint."""
    needed = {Path(job.restore_from) for job in jobs if job.restore_from}
    for folder in checkpoints.glob("*"):
        if not any(folder in path.parents for path in needed):
            shutil.rmtree(folder, ignore_errors=True)
    by_age = sorted(savepoints.glob("savepoint-*"), key=lambda path: path.stat().st_mtime)
    for folder in by_age[: -KEPT_SAVEPOINTS * max(len(jobs), 1)]:
        if folder not in needed:
            shutil.rmtree(folder, ignore_errors=True)
