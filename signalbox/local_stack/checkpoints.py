"""Which state a job starts from: the newest it left, else an earlier one, else, only if it never had any, none."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from signalbox.errors import StackError
from signalbox.local_stack.state_file import JobRecord

_METADATA: Final = "_metadata"
_MAGIC: Final = bytes.fromhex("4960672d")
"""The first bytes of every checkpoint's and savepoint's metadata (Flink's `Checkpoints.HEADER_MAGIC_NUMBER`)."""
KEPT_SAVEPOINTS: Final = 3
KEPT_EARLIER: Final = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """What a job is restored from (None: nothing, it never had state), and what could not be used, for people."""

    path: str | None
    passed_over: str = ""


def newest_checkpoint(folder: Path, job_id: str) -> Path | None:
    """Return the newest complete checkpoint of a job (`<folder>/<job id>/chk-<n>`), or None."""
    return next(iter(_checkpoints(folder / job_id)), None)


def is_complete(path: Path) -> bool:
    """Say whether a checkpoint or savepoint has its metadata, and they begin as Flink's do.

    They are written last: what a crash or a full disk cut short has none. Whether the rest can be read, Flink says.
    """
    try:
        with (path / _METADATA).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def holds_state(*folders: Path) -> bool:
    """Say whether any complete checkpoint or savepoint is in these folders of them."""
    return any(
        is_complete(path.parent) for folder in folders for path in folder.glob(f"**/{_METADATA}")
    )


def restore_point(folder: Path, job: JobRecord, refused: Collection[str] = ()) -> Origin:
    """Return what to restore `job` from; a job that had state never starts without any.

    Args:
        folder: where checkpoints are.
        job: what is known of it. Its own checkpoints are newer than what it was itself restored from.
        refused: what Flink could not restore it from.

    Raises:
        StackError: it had state, and none of it can be used; says how to go on.
    """
    usable = [
        path for path in _known(folder, job) if path not in refused and is_complete(Path(path))
    ]
    if usable:
        return Origin(usable[0], _passed_over(usable[0], job, refused))
    if job.newest is None and job.restore_from is None:
        return Origin(None)
    lost = job.newest or job.restore_from
    msg = (
        f"job {job.name} had its state in {lost}, which "
        f"{'Flink cannot restore' if lost in refused else 'is gone or damaged'}, and no earlier one can be used. "
        "Starting without it would forget open conversations and known ids. Put the folder back and run "
        "`signalbox up`, or start with nothing: `signalbox up --fresh`"
    )
    raise StackError(msg)


def remember(job: JobRecord, newest: str) -> None:
    """Note that `newest` is the newest state of `job`; what was it before is an earlier one."""
    if job.newest == newest:
        return
    if job.newest is not None and Path(job.newest).parent != Path(newest).parent:
        # Of one run's checkpoints Flink itself keeps the last three, and they are looked for in its folder.
        job.earlier = [job.newest, *(one for one in job.earlier if one != job.newest)]
    elif job.newest is not None and Path(newest).name.startswith("savepoint-"):
        job.earlier = [job.newest, *job.earlier]
    job.earlier = job.earlier[:KEPT_EARLIER]
    job.newest = newest


def remove_outdated(checkpoints: Path, savepoints: Path, jobs: list[JobRecord]) -> None:
    """Remove what no job will be restored from any more; called when every job has stopped with a savepoint."""
    needed = {Path(path) for job in jobs for path in (job.restore_from, *job.earlier) if path}
    for folder in checkpoints.glob("*"):
        if not any(folder in path.parents for path in needed):
            shutil.rmtree(folder, ignore_errors=True)
    by_age = sorted(savepoints.glob("savepoint-*"), key=lambda path: path.stat().st_mtime)
    for folder in by_age[: -KEPT_SAVEPOINTS * max(len(jobs), 1)]:
        if folder not in needed:
            shutil.rmtree(folder, ignore_errors=True)


def _known(folder: Path, job: JobRecord) -> list[str]:
    own = _checkpoints(folder / job.id) if job.id else []
    found = [str(path) for path in own]
    for one in (job.restore_from, job.newest, *job.earlier):
        if one is None:
            continue
        # A checkpoint's elder siblings are as good as it is, only older.
        siblings = _checkpoints(Path(one).parent) if Path(one).name.startswith("chk-") else []
        found += [one, *(str(path) for path in siblings)]
    return list(dict.fromkeys(found))


def _checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints in a job's folder, the newest first."""
    complete = [
        path
        for path in folder.glob("chk-*")
        if path.name.removeprefix("chk-").isdigit() and is_complete(path)
    ]
    return sorted(complete, key=_number, reverse=True)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("chk-"))


def _passed_over(origin: str, job: JobRecord, refused: Collection[str]) -> str:
    newest = job.newest or job.restore_from
    if newest is None or newest == origin:
        return ""
    chosen, expected = Path(origin), Path(newest)
    is_later = (
        chosen.name.startswith("chk-")
        and newest not in refused
        and (chosen.parent != expected.parent or _number(chosen) > _number(expected))
        and (job.id is None or chosen.parent.name == job.id)
    )
    if is_later:
        return ""
    why = "Flink cannot restore it" if newest in refused else "it is gone or damaged"
    return f"{newest} is passed over ({why}): what was done since is done again"
