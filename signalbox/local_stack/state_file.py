"""`<home>/stack.json`: what runs, by pid, and where each job's state is. Written by the supervisor, read by everybody."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signalbox.errors import StackError

FILE_NAME: Final = "stack.json"
KEPT_EVENTS: Final = 200

Phase = Literal["starting", "running", "stopping", "stopped", "failed"]
ChildState = Literal["starting", "running", "restarting", "draining", "stopped"]
"""`draining`: an agent that was removed and works off its tasks."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ProcessRecord(_Part):
    """One process. `created_at` (epoch seconds, of the kernel) tells it from a later process with the same pid."""

    name: str
    kind: Literal[
        "supervisor",
        "broker",
        "jobmanager",
        "taskmanager",
        "sql_gateway",
        "agent",
        "source",
        "gateway",
    ]
    pid: int = 0
    created_at: float = 0.0
    state: ChildState = "starting"
    restarts: int = 0
    log: str = ""

    def is_alive(self) -> bool:
        """Whether exactly this process still runs."""
        if not self.pid:
            return False
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created_at) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class JobRecord(_Part):
    """One Flink job.

    `restore_from` is the newest state known not to be the job's own checkpoints (a savepoint …). `newest` is the newest
    state that was ever seen: a job that has one never starts without. `earlier` are those it may fall back to.
    """

    name: str
    id: str | None = None
    restore_from: str | None = None
    newest: str | None = None
    earlier: list[str] = Field(default_factory=list)
    resubmissions: int = 0
    is_running: bool = False
    """Whether all its tasks run; Flink says RUNNING of a job long before."""


class StackState(_Part):
    """The whole file. `events` are the last sentences reported; `event_count` counts all of them."""

    phase: Phase = "stopped"
    problem: str = ""
    supervisor: ProcessRecord | None = None
    bootstrap_servers: str = ""
    rest_url: str = ""
    sql_gateway_url: str = ""
    """Where a SQL Gateway listens, once somebody asked for one."""
    processes: dict[str, ProcessRecord] = Field(default_factory=dict)
    jobs: dict[str, JobRecord] = Field(default_factory=dict)
    events: list[str] = Field(default_factory=list)
    event_count: int = 0

    def say(self, sentence: str) -> None:
        """Add an event."""
        self.events = [*self.events, sentence][-KEPT_EVENTS:]
        self.event_count += 1

    def events_after(self, count: int) -> list[str]:
        """Return the events that followed the first `count`."""
        new = self.event_count - count
        return self.events[-new:] if new > 0 else []

    def supervisor_is_alive(self) -> bool:
        """Whether somebody keeps the stack running."""
        return self.supervisor is not None and self.supervisor.is_alive()


def record_process(pid: int) -> float:
    """Return the creation time of a process that was just started, 0 if it is gone already."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).create_time()
    return 0.0


def read(home: Path) -> StackState:
    """Return the stack's state; an empty one if there never was a stack in `home`.

    Raises:
        StackError: the file is there and cannot be understood.
    """
    path = home / FILE_NAME
    try:
        return StackState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return StackState()
    except (OSError, ValidationError) as error:
        msg = f"{path} cannot be read ({type(error).__name__}); if nothing of the stack runs, remove it"
        raise StackError(msg) from error


def write(home: Path, state: StackState) -> None:
    """Replace the file at once, so that a reader sees the old or the new one whole."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / FILE_NAME
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(state.model_dump_json(indent=2), encoding="utf-8")
    scratch.replace(path)
