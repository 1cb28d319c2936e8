"""What an error of the tables means: that it may be over soon, that the file is to be made anew, or neither, which is a defect."""

from __future__ import annotations

import sqlite3
from typing import Final

_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    }
)
_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_passing(error: sqlite3.Error) -> bool:
    """Say whether an error is the disk's, or another process's, and may be over soon: a full disk, a lock."""
    return _code(error) in _PASSING


def is_broken(error: sqlite3.Error) -> bool:
    """Say whether an error means that the file is no database, or not a whole one."""
    return _code(error) in _BROKEN


def _code(error: sqlite3.Error) -> int:
    # The lower byte; the rest says more exactly how.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
