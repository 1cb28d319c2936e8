"""The supervisor as a process: `python -m signalbox.local_stack.daemon` (what `up --detach` starts), or in this one."""

from __future__ import annotations

import fcntl
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from signalbox.errors import SignalboxError, StackError
from signalbox.local_stack import state_file
from signalbox.local_stack.fleets import load_fleets
from signalbox.local_stack.java import find_java
from signalbox.local_stack.layout import home_of, layout_of
from signalbox.local_stack.supervisor import Report, Supervisor
from signalbox.settings import Settings

_LOCK_NAME: Final = "stack.lock"
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def supervise(settings: Settings, report: Report) -> None:
    """Run the stack in this process until a stop signal; the main thread only.

    Raises:
        SignalboxError: it could not be started; the state file says the same.
    """
    home = home_of(settings)
    with _only_one(home):
        try:
            supervisor = Supervisor(layout_of(settings, find_java()), load_fleets(settings), report)
            with _stopped_by_signals(supervisor):
                supervisor.run()
        except SignalboxError as error:
            state = state_file.read(home)
            state.phase = "failed"
            state.problem = str(error)
            state.supervisor = None
            state_file.write(home, state)
            raise


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    # The kernel lets go of the lock when the process ends, however it ends.
    home.mkdir(parents=True, exist_ok=True)
    with (home / _LOCK_NAME).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            msg = f"another process starts or runs the stack in {home}; see `signalbox status`"
            raise StackError(msg) from None
        yield


@contextmanager
def _stopped_by_signals(supervisor: Supervisor) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.request_stop()

    former = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _print(sentence: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {sentence}\n")
    sys.stdout.flush()


def main() -> int:
    """Supervise the stack of the settings in the environment."""
    try:
        supervise(Settings(), _print)
    except SignalboxError as error:
        _print(f"failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
