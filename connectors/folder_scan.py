"""Which files of a folder may be read: plain ones whose writer has finished. And how they are opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from connectors.lead_file import FileError

UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in ns."""


class StandingFiles:
    """The files of `folder` whose size and time have not changed for `settle_seconds`, as seen look by look.

    A file's own time is not trusted: a copy may keep the time of its original while it is still being written.
    """

    def __init__(
        self,
        folder: Path,
        shelves: AbstractSet[str],
        settle_seconds: float,
        now_seconds: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._told = set(shelves)
        self._settle_seconds = settle_seconds
        self._now_seconds = now_seconds
        self._seen: dict[str, tuple[Stamp, float]] = {}
        self._log = structlog.get_logger().bind(source="folder", folder=str(folder))

    @property
    def names(self) -> AbstractSet[str]:
        """All files of the last look, those that still change included."""
        return self._seen.keys()

    def look(self) -> list[str]:
        """Look once; return what stands still, oldest first.

        Raises:
            OSError: the folder cannot be read.
        """
        now = self._now_seconds()
        found: dict[str, tuple[Stamp, float]] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                stamp = self._stamp(entry)
                if stamp is not None:
                    known = self._seen.get(entry.name)
                    found[entry.name] = known if known and known[0] == stamp else (stamp, now)
        self._seen = found
        still = [name for name, (_, since) in found.items() if now - since >= self._settle_seconds]
        return sorted(still, key=lambda name: (found[name][0][1], name))

    def forget(self, name: str) -> None:
        """Take note that a file was moved away."""
        self._seen.pop(name, None)

    def _stamp(self, entry: os.DirEntry[str]) -> Stamp | None:
        if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
            return None
        if entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):  # taken away since it was listed
                seen = entry.stat(follow_symlinks=False)
                return seen.st_size, seen.st_mtime_ns
            return None
        if entry.name not in self._told:
            self._told.add(entry.name)
            detail = "no plain file; links are not followed, folders not entered"
            self._log.warning("file.ignored", file=entry.name, detail=detail)
        return None


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading: no link to somewhere else, no pipe that would never answer.

    Raises:
        FileError: it is something else, or not ours to read.
        FileNotFoundError: it is gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        msg = f"it cannot be opened: {error.strerror}; let this user read it"
        raise FileError(msg) from None
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        msg = "no plain file"
        raise FileError(msg)
    return stream


def stamp_of(stream: BinaryIO) -> Stamp:
    """Return size and time of an open file as they are now."""
    seen = os.fstat(stream.fileno())
    return seen.st_size, seen.st_mtime_ns
