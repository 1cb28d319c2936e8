"""What the command line calls: `up`, `down`; `status` and `doctor` have modules of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from connectors import jars
from connectors.models import require_model
from signalbox.errors import StackError, UsageError
from signalbox.local_stack import daemon, ports, state_file
from signalbox.local_stack.check import Check
from signalbox.local_stack.doctor import doctor
from signalbox.local_stack.environment import environment_of, inherited
from signalbox.local_stack.fleets import load_fleets
from signalbox.local_stack.java import find_java
from signalbox.local_stack.layout import home_of
from signalbox.local_stack.process import kill_group, log_tail
from signalbox.local_stack.secret_files import with_secrets_in_files
from signalbox.local_stack.state_file import StackState
from signalbox.local_stack.status import StackStatus, status
from signalbox.local_stack.supervisor import Report
from signalbox.local_stack.traces import require_traces
from signalbox.settings import Settings

__all__ = ["Check", "StackStatus", "doctor", "down", "is_running", "kept_state", "status", "up"]

UP_SECONDS: Final = 600.0
DOWN_SECONDS: Final = 45.0
SUPERVISOR_SECONDS: Final = 20.0
LEFTOVER_SECONDS: Final = 8.0
_POLL_SECONDS: Final = 0.1
_KEPT_BY_FRESH: Final = frozenset({"logs", "stack.lock", "gateway-keys.json"})


def is_running(settings: Settings) -> bool:
    """Return whether a supervisor keeps the stack of these settings running."""
    return state_file.read(home_of(settings)).supervisor_is_alive()


def up(
    settings: Settings,
    *,
    detach: bool = False,
    fresh: bool = False,
    report: Report = lambda _: None,
) -> bool:
    """Start the stack; return whether this call started it (False: it was running already).

    With `detach` this returns once messages can flow; without, once the stack was taken down by a signal (Ctrl-C).

    Args:
        settings: what to start.
        detach: leave it running under a supervisor in the background.
        fresh: first remove everything a former stack kept, logs excepted: topics, jobs' state, outboxes.
        report: told what happens, a sentence each.

    Raises:
        StackError: something cannot be started; nothing is left running.
        DefinitionError: a definition is wrong.
        ConfigurationError: the model or the embedder lacks a setting or a package, or weights are not those that were meant.
        UsageError: `fresh` while the stack runs.
    """
    home = home_of(settings)
    state = state_file.read(home)
    if state.supervisor_is_alive():
        if fresh:
            msg = (
                f"a stack runs in {home}; take it down first (`signalbox down`), then `up --fresh`"
            )
            raise UsageError(msg)
        report(_what_runs(state))
        _follow(home, lambda found: found.phase == "running", report, skip=state.event_count)
        return False
    _stop_leftovers(state, report)
    _check_first(settings, report)
    if fresh:
        wipe(home)
    settings = with_secrets_in_files(settings, home)
    if detach:
        _start_daemon(settings, home, report)
    else:
        daemon.supervise(settings, report)
    return True


def down(settings: Settings, *, report: Report = lambda _: None) -> bool:
    """Stop everything `up` started: jobs with a savepoint, agents drained; return whether anything ran.

    Raises:
        StackError: something still ran after 45 s; it was killed then.
    """
    home = home_of(settings)
    state = state_file.read(home)
    supervisor = state.supervisor
    if supervisor is None or not supervisor.is_alive():
        return _stop_leftovers(state, report)
    with contextlib.suppress(ProcessLookupError):
        os.kill(supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_SECONDS
    told = state.event_count
    while supervisor.is_alive():
        told = _tell(state_file.read(home), told, report)
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor.pid, signal.SIGKILL)
            _stop_leftovers(state_file.read(home), report)
            msg = f"the stack did not stop within {DOWN_SECONDS:g} s and was killed; see {home / 'logs'}"
            raise StackError(msg)
        time.sleep(_POLL_SECONDS)
    _tell(state_file.read(home), told, report)
    _stop_leftovers(state_file.read(home), report)
    return True


def kept_state(settings: Settings) -> tuple[str, ...]:
    """Return what `up --fresh` would remove, by the names of files and folders; empty where a stack never ran."""
    home = home_of(settings)
    found = home.iterdir() if home.is_dir() else ()
    return tuple(sorted(path.name for path in found if path.name not in _KEPT_BY_FRESH))


def wipe(home: Path) -> None:
    """Remove what a stopped stack left in its home, except logs."""
    for path in home.iterdir() if home.is_dir() else ():
        if path.name in _KEPT_BY_FRESH:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_first(settings: Settings, report: Report) -> None:
    # All that can be known to be wrong before anything is started.
    load_fleets(settings)
    require_model(settings.model, settings.embedder)
    require_traces(settings)
    find_java()
    if settings.kafka.bootstrap_servers is None:
        ports.require_free(settings.kafka.port, what="Kafka", setting="SIGNALBOX_KAFKA__PORT")
    ports.require_free(settings.flink.rest_port, what="Flink", setting="SIGNALBOX_FLINK__REST_PORT")
    if settings.gateway.enabled:
        port = settings.gateway.port
        ports.require_free(port, what="the gateway", setting="SIGNALBOX_GATEWAY__PORT")
    if missing := jars.missing():
        report(f"downloading {len(missing)} jars (first start only)")
        jars.ensure("kafka")
        jars.ensure("flink")


def _start_daemon(settings: Settings, home: Path, report: Report) -> None:
    log = home / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "signalbox.local_stack.daemon"],
            env={**inherited(), **environment_of(settings)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for_supervisor(home, process, log)
        _follow(home, lambda found: found.phase == "running", report, skip=0)
    except BaseException:
        # Ctrl-C while starting, or a failure: what was started is stopped.
        process.terminate()
        process.wait(DOWN_SECONDS)
        raise


def _wait_for_supervisor(home: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SUPERVISOR_SECONDS
    while True:
        found = state_file.read(home)
        if found.supervisor is not None and found.supervisor.pid == process.pid:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            msg = found.problem or f"the supervisor ended; see {log}:\n{log_tail(log)}"
            raise StackError(msg)
        time.sleep(_POLL_SECONDS)


def _follow(
    home: Path, is_done: Callable[[StackState], bool], report: Report, *, skip: int
) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while True:
        state = state_file.read(home)
        skip = _tell(state, skip, report)
        if is_done(state):
            return
        if not state.supervisor_is_alive():
            msg = state.problem or f"the supervisor ended; see {home / 'logs' / 'supervisor.log'}"
            raise StackError(msg)
        if time.monotonic() > deadline:
            msg = f"the stack was not ready after {UP_SECONDS:g} s; see `signalbox status` and {home / 'logs'}"
            raise StackError(msg)
        time.sleep(_POLL_SECONDS)


def _tell(state: StackState, told: int, report: Report) -> int:
    for event in state.events_after(told):
        report(event.partition(" ")[2])
    return max(told, state.event_count)


def _what_runs(state: StackState) -> str:
    names = ", ".join(
        f"{record.name} (pid {record.pid})" for record in state.processes.values() if record.pid
    )
    supervisor = state.supervisor.pid if state.supervisor else 0
    return f"already {state.phase} under supervisor {supervisor}: {names or 'nothing yet'}"


def _stop_leftovers(state: StackState, report: Report) -> bool:
    """Kill what a supervisor that died left behind; jobs go on from their newest checkpoint next time."""
    left = [record for record in state.processes.values() if record.is_alive()]
    for record in left:
        report(f"{record.name} (pid {record.pid}) was left by a supervisor that died; stopping it")
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(record.pid).terminate()
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while any(record.is_alive() for record in left) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for record in left:
        kill_group(record.pid)
    return bool(left)
