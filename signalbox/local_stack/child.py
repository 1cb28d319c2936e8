"""A process that is kept running: started, watched until ready, started again with backoff when it ends by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Final, Literal

from signalbox.local_stack.backoff import Backoff
from signalbox.local_stack.process import ManagedProcess, ProcessSpec, kill_group
from signalbox.local_stack.state_file import ChildState, ProcessRecord, record_process

Kind = Literal["broker", "jobmanager", "taskmanager", "sql_gateway", "agent", "source", "gateway"]
_KILLED_EXIT_CODES: Final = {-int(number): number.name for number in signal.Signals}


class Child:
    """One supervised process. `step` is called often, never blocks for long, and returns what is worth reporting.

    Args:
        name: what people call it.
        kind: which part of the stack it is.
        make_spec: how to run it, asked again before each start.
        backoff: the waits between a crash and the next start.
        final_codes: exit codes after which it is not started again: a person must decide first.
        renewal_codes: exit codes by which it asks to be started again at once; no crash.
        now: a monotonic clock, seconds.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        make_spec: Callable[[], ProcessSpec],
        *,
        backoff: Backoff | None = None,
        final_codes: frozenset[int] = frozenset(),
        renewal_codes: frozenset[int] = frozenset(),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.kind: Kind = kind
        self.state: ChildState = "stopped"
        self.restarts = 0
        self.process: ManagedProcess | None = None
        self._make_spec = make_spec
        self._backoff = backoff or Backoff()
        self._final_codes = final_codes
        self._renewal_codes = renewal_codes
        self._now = now
        self._started_at = 0.0
        self._start_at = 0.0
        self._created_at = 0.0

    def start(self) -> None:
        """Start it now.

        Raises:
            StackError: the program cannot be executed.
        """
        self.process = ManagedProcess.start(self._make_spec())
        self._created_at = record_process(self.process.pid)
        self._started_at = self._now()
        self.state = "starting"

    def step(self) -> str | None:
        """Look after it once; return a sentence if something happened."""
        if self.state == "restarting" and self._now() >= self._start_at:
            self.start()
            return None
        if self.process is None or self.state in {"stopped", "restarting"}:
            return None
        if (code := self.process.exit_code()) is not None:
            if code in self._final_codes:
                self.state = "stopped"
                return self.process.trouble(
                    f"ended with {_describe(code)} and is not started again"
                )
            if code in self._renewal_codes:
                kill_group(self.process.pid)
                self.start()
                return f"{self.name} is started again: its definition changed"
            return self._crashed(f"ended with {_describe(code)}")
        if self.state == "starting":
            return self._look_if_ready(self.process)
        return None

    def has_ended(self) -> bool:
        """Whether it ended by itself since `step` looked last."""
        running = self.process if self.state in {"starting", "running"} else None
        return running is not None and running.exit_code() is not None

    def ask_to_stop(self) -> None:
        """Ask it to end and do not start it again; `stop` still has to follow."""
        if self.process is not None and self.state != "restarting":
            self.process.ask_to_stop()
        self.state = "stopped"

    def stop(self) -> None:
        """End it with everything it spawned."""
        if self.process is not None:
            self.process.stop()
        self.process = None
        self.state = "stopped"

    def record(self) -> ProcessRecord:
        """Return it as the state file says it."""
        running = self.process is not None and self.state in {"starting", "running"}
        return ProcessRecord(
            name=self.name,
            kind=self.kind,
            pid=self.process.pid if self.process is not None and running else 0,
            created_at=self._created_at if running else 0.0,
            state=self.state,
            restarts=self.restarts,
            log=str(self.process.spec.log_path) if self.process is not None else "",
        )

    def _look_if_ready(self, process: ManagedProcess) -> str | None:
        waited = self._now() - self._started_at
        if process.is_ready():
            self.state = "running"
            return f"{self.name} is up ({waited:.1f} s)"
        if waited > process.spec.ready_seconds:
            process.stop()
            return self._crashed(f"was not ready after {process.spec.ready_seconds:g} s")
        return None

    def _crashed(self, what: str) -> str:
        assert self.process is not None
        # The leader is gone, what it spawned (Python workers) may not be.
        kill_group(self.process.pid)
        wait = self._backoff.next_seconds(self._now() - self._started_at)
        self._start_at = self._now() + wait
        self.restarts += 1
        self.state = "restarting"
        when = f"in {wait:g} s" if wait else "at once"
        return (
            f"{self.name} {what}; starting it again {when} "
            f"(restart {self.restarts}), see {self.process.spec.log_path}"
        )


def _describe(exit_code: int) -> str:
    name = _KILLED_EXIT_CODES.get(exit_code)
    return f"signal {name}" if name else f"code {exit_code}"
