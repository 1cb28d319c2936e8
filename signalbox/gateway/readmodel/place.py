"""Where the read model is: a folder with one file a build, and the name of the one that counts.

A rebuild is another file, and becomes the one that counts at once; a file is never replaced under those who read it, because a
write-ahead log beside it would then be another file's.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from signalbox.settings import Settings

_CURRENT: Final = "current"


class ReadModelPlace:
    """The folder of a read model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, settings: Settings) -> ReadModelPlace:
        """Return the place in the stack's home."""
        return cls(settings.home.absolute() / "readmodel")

    def current(self) -> Path:
        """Return the file that counts; it may not be there yet."""
        try:
            number = int((self.folder / _CURRENT).read_text("ascii"))
        except (FileNotFoundError, ValueError):
            number = 0
        return self._file(number)

    def next(self) -> Path:
        """Return the file for a rebuild; what an unfinished one left there is removed."""
        path = self._file(int(self.current().stem) + 1)
        _remove(path)
        return path

    def choose(self, path: Path) -> None:
        """Make `path` the file that counts."""
        scratch = self.folder / f"{_CURRENT}.{os.getpid()}.tmp"
        scratch.write_text(path.stem, "ascii")
        scratch.replace(self.folder / _CURRENT)

    def remove_others(self) -> None:
        """Remove files of earlier builds; who still reads one reads on."""
        current = self.current()
        for path in self.folder.glob("*.sqlite"):
            if path.stem.isdecimal() and int(path.stem) < int(current.stem):
                _remove(path)

    def remove_current(self) -> None:
        """Remove the file that counts: the next who writes begins anew."""
        _remove(self.current())

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.sqlite"


def _remove(path: Path) -> None:
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(FileNotFoundError):
            each.unlink()
