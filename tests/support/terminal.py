"""A program on a terminal: typed into and read like by a person, on a real pty."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>]|\][^\x07]*\x07)")
_ROWS, _COLUMNS = 50, 200


class Terminal:
    """A context manager; leaving it ends the program by its pid, if it still runs."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self._argv, self._environ = list(argv), {**environ, "TERM": "xterm"}
        self._said = ""
        self._read_to = 0

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            self._argv,
            env=self._environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        """Type `text`; a newline is the Enter key."""
        os.write(self._master, text.replace("\n", "\r").encode())

    def wait_for(self, pattern: str, seconds: float = 120) -> str:
        """Return what was shown since the last call up to the end of `pattern` (a regular expression), once it is there."""
        deadline = time.monotonic() + seconds
        while not (found := re.compile(pattern).search(self._said, self._read_to)):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self._said[-4000:]}"
            assert self._read(), f"it ended without {pattern!r}:\n{self._said[-4000:]}"
        shown = self._said[self._read_to : found.end()]
        self._read_to = found.end()
        return shown

    def exit_code(self, seconds: float = 60) -> int:
        """Return its exit code once it has ended; what it still shows is read."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, f"it still runs:\n{self._said[-4000:]}"
        return self._process.wait(seconds)

    def _read(self) -> bool:
        """Read what comes within a moment; False once nothing will come any more."""
        ready, _, _ = select.select([self._master], [], [], 0.5)
        if not ready:
            return True
        try:
            raw = os.read(self._master, 65_536)
        except OSError:  # the other side of a pty that is closed
            return False
        self._said += _ESCAPES.sub("", raw.decode("utf-8", "replace")).replace("\r", "")
        return bool(raw)
