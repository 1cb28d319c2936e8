"""The outbox: effects that must happen once, as files named by their key. The file's existence is the effect.

A task may be handled again after a crash between the effect and the commit of its answer; the second time, the file is
there and nothing happens. Works across processes of one machine that share the folder.
"""

from __future__ import annotations

import fcntl
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
    descriptor: int | None = None
    """Open and locked, where that was asked for and this call made the file; whoever asked closes it."""


class Outbox:
    """A folder of effects, two levels: conversation, then step."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, made where it is missing."""
        self._folder = folder

    def path_of(self, conversation_id: str, step: str, suffix: str = ".eml") -> Path:
        """Return where the effect of a key is, or would be."""
        return self._folder / file_name(conversation_id) / f"{file_name(step)}{suffix}"

    def put(
        self,
        conversation_id: str,
        step: str,
        content: bytes,
        *,
        suffix: str = ".eml",
        is_locked: bool = False,
    ) -> Put:
        """Write `content` under the key (`conversation_id`, `step`), once ever.

        The file appears whole or not at all, and is on disk before this returns. A key that is taken keeps its first
        content, whatever comes later. With `is_locked`, a new file is never seen by others without our lock on it.

        Delivery: exactly one file per key, however often and from however many processes it is called.

        Raises:
            OSError: the disk is full or read-only; nothing was written, trying again is safe.
        """
        target = self.path_of(conversation_id, step, suffix)
        folder = target.parent
        if target.exists():
            return Put(target, is_new=False)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
        lock: int | None = None
        is_new = False
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                if is_locked:
                    # A second descriptor of the same open file: the lock stays when this one is closed.
                    lock = os.dup(file.fileno())
                    fcntl.flock(lock, fcntl.LOCK_EX)
            is_new = _link(Path(temporary), target)
        finally:
            Path(temporary).unlink(missing_ok=True)
            if lock is not None and not is_new:
                os.close(lock)
        if is_new:
            sync_folder(folder)
        return Put(target, is_new, lock if is_new else None)


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


def sync_folder(folder: Path) -> None:
    """Return once the names in `folder` are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
