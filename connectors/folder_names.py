"""Names of files in a drop folder, which strangers choose: any bytes, as long as a file system takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from connectors.lead_file import SUFFIXES, FileError

_NAME_BYTES: Final = 220
"""A file system takes 255; a number, `.errors` and what marks it as unfinished may be added."""


def require_utf8(name: str) -> None:
    """Check a name.

    Raises:
        FileError: it has bytes that are not UTF-8.
    """
    # How far a file was read is kept as JSON under its name, and its dead letters name it.
    try:
        name.encode()
    except UnicodeEncodeError:
        msg = "its name is not UTF-8; rename it and drop it again"
        raise FileError(msg) from None


def printable(name: str) -> str:
    """Return `name` with everything escaped that would break a line, a log or JSON."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def cut_name(name: str) -> str:
    """Return `name`, shortened before its suffix where it is too long for what is added to it."""
    if len(os.fsencode(name)) <= _NAME_BYTES:
        return name
    suffix = Path(name).suffix if Path(name).suffix.lower() in SUFFIXES else ""
    room = _NAME_BYTES - len(suffix)
    return os.fsencode(name)[:room].decode("utf-8", "ignore") + suffix


def free_path(path: Path) -> Path:
    """Return `path`, or a numbered one beside it: what was put away earlier is never overwritten."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return free
