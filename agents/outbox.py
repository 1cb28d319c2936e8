"""The outbox: effects that must happen once, as files named by their key. The file's existence is the effect.

A task may be handled again after a crash between the effect and the commit of its answer; the second time, the file is
there and nothing happens. Works across processes of one machine that share the folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_READABLE_CHARS: Final = 40


@dataclass(frozen=True, slots=True)
class Put:
    """Where the effect is, and whether this call made it."""

    path: Path
    is_new: bool


class Outbox:
    """A folder of effects, two levels: conversation, then step."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, made where it is missing."""
        self._folder = folder

    def put(self, conversation_id: str, step: str, content: bytes, *, suffix: str = ".eml") -> Put:
        """Write `content` under the key (`conversation_id`, `step`), once ever.

        The file appears whole or not at all, and is on disk before this returns. A key that is taken keeps its first
        content, whatever comes later.

        Delivery: exactly one file per key, however often and from however many processes it is called.

        Raises:
            OSError: the disk is full or read-only; nothing was written, trying again is safe.
        """
        folder = self._folder / file_name(conversation_id)
        target = folder / f"{file_name(step)}{suffix}"
        if target.exists():
            return Put(target, is_new=False)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            is_new = _link(Path(temporary), target)
        finally:
            Path(temporary).unlink(missing_ok=True)
        if is_new:
            _sync_folder(folder)
        return Put(target, is_new)


def file_name(key: str) -> str:
    """Return a file name for any text: readable where it can be, unique always, never a path.

    `../../etc/passwd` and its kind lose every character that means something to a file system.
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    readable = _UNSAFE.sub("-", key).strip("-")[:_READABLE_CHARS]
    return f"{readable}-{digest}" if readable else digest


def _link(temporary: Path, target: Path) -> bool:
    # A hard link is the one atomic "create unless it exists" that also brings the content with it.
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
