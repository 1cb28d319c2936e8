"""A supervised process is started, watched, restarted and stopped with all it spawned. Real, small processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from signalbox.errors import StackError
from signalbox.local_stack.backoff import Backoff
from signalbox.local_stack.child import Child
from signalbox.local_stack.process import ManagedProcess, ProcessSpec

SLEEPER = "import time; time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]); {SLEEPER}"


def _spec(folder: Path, code: str, **options: object) -> ProcessSpec:
    return ProcessSpec(
        name="sleeper",
        argv=(sys.executable, "-c", code),
        log_path=folder / "sleeper.log",
        **options,  # type: ignore[arg-type]
    )


def _until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """A child that sleeps, restarted at once after a crash."""
    made = Child("sleeper", "agent", lambda: _spec(tmp_path, PARENT), backoff=Backoff(0.0))
    yield made
    made.stop()


def test_child_killed_is_reported_and_started_again(child: Child) -> None:
    """A process killed from outside is named with its signal and runs again under another pid."""
    child.start()
    assert "is up" in (child.step() or "")
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    _until(lambda: "SIGKILL" in (child.step() or ""))

    _until(lambda: (child.step() or "").startswith("sleeper is up"))

    assert child.process.pid != first
    assert (child.state, child.restarts) == ("running", 1)
    assert child.record().is_alive()


def test_child_killed_takes_what_it_spawned_along(child: Child) -> None:
    """A leader killed with SIGKILL cannot end its workers, so the supervisor does before it starts another."""
    child.start()
    assert child.process is not None
    leader = psutil.Process(child.process.pid)
    _until(lambda: bool(leader.children()))
    worker = leader.children()[0]
    os.kill(leader.pid, signal.SIGKILL)

    _until(lambda: "SIGKILL" in (child.step() or ""))

    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_child_crash_waits_out_its_backoff(tmp_path: Path) -> None:
    """A process that ends at once is started again only when its wait is over."""
    clock = [0.0]
    child = Child(
        "ends", "agent", lambda: _spec(tmp_path, "raise SystemExit(3)"), now=lambda: clock[0]
    )
    child.start()
    assert child.process is not None
    first = child.process
    _until(lambda: "code 3" in (child.step() or ""))
    child.step()
    assert child.process is first

    clock[0] = 1.5
    child.step()

    assert child.process is not first
    child.stop()


def test_child_stopped_is_not_started_again(child: Child) -> None:
    """Who was asked to stop stays stopped."""
    child.start()
    child.ask_to_stop()
    child.stop()

    assert child.step() is None
    assert (child.state, child.process) == ("stopped", None)


def test_process_stop_ends_what_it_spawned(tmp_path: Path) -> None:
    """Nothing of the process group is left, not even a grandchild that ignores its parent's end."""
    process = ManagedProcess.start(_spec(tmp_path, PARENT))
    leader = psutil.Process(process.pid)
    _until(lambda: bool(leader.children()))
    grandchild = leader.children()[0]

    process.stop()

    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
    assert not psutil.pid_exists(process.pid)


def test_process_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    """A process that ignores the stop signal is killed when its time is over."""
    ready = tmp_path / "ready"
    code = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(ready)!r}).touch(); time.sleep(600)"
    )
    process = ManagedProcess.start(_spec(tmp_path, code, stop_seconds=0.2))
    _until(ready.exists)

    process.stop()

    assert process.exit_code() == -signal.SIGKILL


def test_process_that_ends_while_starting_shows_its_log(tmp_path: Path) -> None:
    """The error carries the exit code, the log's place and its last lines."""
    code = "print('no such topic'); raise SystemExit(7)"
    process = ManagedProcess.start(_spec(tmp_path, code, ready=lambda: False))

    with pytest.raises(StackError, match=r"(?s)code 7.*sleeper\.log.*no such topic"):
        process.wait_ready()


def test_process_program_not_there_is_explained(tmp_path: Path) -> None:
    """A missing program is an error of ours that names it."""
    spec = ProcessSpec("ghost", (str(tmp_path / "ghost"),), tmp_path / "ghost.log")

    with pytest.raises(StackError, match="ghost cannot be started"):
        ManagedProcess.start(spec)
