"""One operating system process of the stack: how it is started, known to be ready, and stopped with all it spawned."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from signalbox.errors import StackError
from signalbox.local_stack.environment import inherited

_POLL_SECONDS: Final = 0.05
_LOG_TAIL_LINES: Final = 15
MAX_LOG_BYTES: Final = 20 * 1024 * 1024
"""A log larger than this is moved to `<name>.log.1` before its process is started again."""


@dataclass(frozen=True)
class ProcessSpec:
    """How to run one process.

    `ready` is asked until it returns True; it must not block for long and may raise OSError while nothing listens.
    `stop_signal` asks for an orderly end, after `stop_seconds` the whole process group is killed.
    """

    name: str
    argv: tuple[str, ...]
    log_path: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] = lambda: True
    ready_seconds: float = 120.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0


class ManagedProcess:
    """A started `ProcessSpec`, leader of its own session, so that a terminal's Ctrl-C does not reach it."""

    def __init__(self, spec: ProcessSpec, popen: subprocess.Popen[bytes]) -> None:
        self.spec = spec
        self._popen = popen

    @classmethod
    def start(cls, spec: ProcessSpec) -> ManagedProcess:
        """Start the process; its output goes to the end of `spec.log_path`.

        Raises:
            StackError: the program cannot be executed.
        """
        spec.log_path.parent.mkdir(parents=True, exist_ok=True)
        _rotate(spec.log_path)
        with spec.log_path.open("ab") as log:
            try:
                popen = subprocess.Popen(
                    spec.argv,
                    env={**inherited(), **spec.environ},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                msg = f"{spec.name} cannot be started: {spec.argv[0]}: {error.strerror}"
                raise StackError(msg) from error
        return cls(spec, popen)

    @property
    def pid(self) -> int:
        """Its process id, also its session and process group."""
        return self._popen.pid

    def exit_code(self) -> int | None:
        """Return the exit code, None while it runs; a negative one is the signal that killed it."""
        return self._popen.poll()

    def is_ready(self) -> bool:
        """Ask once whether it is ready."""
        with contextlib.suppress(OSError):
            return self.spec.ready()
        return False

    def wait_ready(self) -> None:
        """Return once `spec.ready` says so.

        Raises:
            StackError: it exited, or was not ready in time; with the end of its log.
        """
        deadline = time.monotonic() + self.spec.ready_seconds
        while not self.is_ready():
            if (code := self.exit_code()) is not None:
                raise StackError(self.trouble(f"ended with code {code} while starting"))
            if time.monotonic() > deadline:
                raise StackError(self.trouble(f"not ready after {self.spec.ready_seconds:g} s"))
            time.sleep(_POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Send the stop signal and return at once; `stop` still has to follow."""
        if self._popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, self.spec.stop_signal)

    def stop(self) -> None:
        """End the process and everything in its group; returns when nothing of it is left."""
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(self.spec.stop_seconds)
        kill_group(self.pid)
        self._popen.wait()

    def trouble(self, what: str) -> str:
        """Return a sentence with the place and the end of the log."""
        tail = log_tail(self.spec.log_path)
        return f"{self.spec.name} {what}; see {self.spec.log_path}" + (
            f", which ends:\n{tail}" if tail else ""
        )


def kill_group(group: int) -> None:
    """Kill whatever is left in a process group and wait until it is gone. No error if nothing is."""
    members = [psutil.Process(pid) for pid in _group_members(group)]
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    psutil.wait_procs(members, timeout=5)


def _group_members(group: int) -> list[int]:
    members = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid != group and os.getpgid(pid) == group:
                members.append(pid)
    return members


def log_tail(path: Path, lines: int = _LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16 * 1024))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _rotate(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_name(path.name + ".1"))
