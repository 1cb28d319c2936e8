"""The outbox's side of sending: what is known about each mail, as files beside each other under one key.

`<step>.sending`: being handed over, or nobody knows; `<step>.eml`: the server has it; `<step>.later`: waits for its day;
`<step>.failed`: the server will never take it. A mail is recorded as `.sending`, on disk, before the first word with the
server, and the process that hands it over holds a lock on it that ends with the process. So a `.sending` without a
lock is one whose process died in between: the one case in which nobody knows.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from agents.outbox import Outbox, sync_folder

SENT: Final = ".eml"
SENDING: Final = ".sending"
LATER: Final = ".later"
FAILED: Final = ".failed"

Holding = Literal["ours", "sent", "later", "failed", "busy", "uncertain"]


class Claim:
    """One mail in this process's hands. `holding` says how it stands; only where it is `ours` may it be sent.

    Leave the `with` without having called one of the three ends, and it stays `.sending`: nobody knows.
    """

    def __init__(
        self, path: Path, holding: Holding, content: bytes = b"", origin: str = ""
    ) -> None:
        self.path = path
        self.holding: Holding = holding
        self.content = content
        self._origin = origin

    def sent(self) -> Path:
        """Record that the server has taken it."""
        return self._end(SENT)

    def refused(self) -> Path:
        """Record that the server will never take it."""
        return self._end(FAILED)

    def not_sent(self) -> None:
        """Record that it was certainly not taken: it may be sent again, from where it came."""
        if self._origin:
            self._end(self._origin)
        else:
            self.path.unlink()
            sync_folder(self.path.parent)

    def claim_uncertain(self) -> None:
        """Take the risk of a second mail: what nobody knows about is sent again."""
        self.holding = "ours"

    def _end(self, suffix: str) -> Path:
        target = self.path.with_suffix(suffix)
        self.path.rename(target)
        sync_folder(target.parent)
        return target


@contextmanager
def claim(outbox: Outbox, conversation_id: str, step: str, content: bytes) -> Iterator[Claim]:
    """Take the mail (`conversation_id`, `step`) in hand; `content` counts only for the first who ever asks.

    Raises:
        OSError: the disk is full or read-only; nothing was recorded.
    """
    ended = _ended(outbox, conversation_id, step)
    if ended is not None:
        yield ended
        return
    put = outbox.put(conversation_id, step, content, suffix=SENDING, is_locked=True)
    try:
        # Another process may have ended it between the look and the put: then this new one is nothing's.
        ended = _ended(outbox, conversation_id, step) if put.is_new else None
        if ended is not None:
            put.path.unlink()
            yield ended
            return
        with _held(put.path, put.descriptor) as mail:
            if put.is_new:
                mail.claim_uncertain()
            yield mail
    finally:
        if put.descriptor is not None:
            os.close(put.descriptor)


def _ended(outbox: Outbox, conversation_id: str, step: str) -> Claim | None:
    for suffix, holding in _ENDS:
        path = outbox.path_of(conversation_id, step, suffix)
        if path.exists():
            return Claim(path, holding)
    return None


@contextmanager
def claim_due(path: Path) -> Iterator[Claim]:
    """Take a mail that waited (`<step>.later`) in hand: from now on it is being sent."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if not _lock(descriptor):
            yield Claim(path, "busy")
            return
        sending = path.with_suffix(SENDING)
        path.rename(sending)
        sync_folder(path.parent)
        yield Claim(sending, "ours", sending.read_bytes(), LATER)
    finally:
        os.close(descriptor)


@contextmanager
def _held(path: Path, descriptor: int | None) -> Iterator[Claim]:
    """Yield a `.sending` as uncertain, locked; as busy where its process lives."""
    mine = descriptor is not None
    try:
        opened = descriptor if descriptor is not None else os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        # It ended since we looked; the next attempt sees how.
        yield Claim(path, "busy")
        return
    try:
        is_same = _lock(opened) and _is_file(opened, path)
        yield Claim(path, "uncertain", path.read_bytes()) if is_same else Claim(path, "busy")
    finally:
        if not mine:
            os.close(opened)


def _lock(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


_ENDS: Final[tuple[tuple[str, Holding], ...]] = (
    (SENT, "sent"),
    (LATER, "later"),
    (FAILED, "failed"),
)
