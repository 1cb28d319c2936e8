"""Bookkeeping of one partition: what may be committed, what is finished beyond it, how often each record was started.

Pure. Only the contiguous prefix is committed; the rest rides in the commit's metadata, so a restart neither handles a
finished record again nor forgets how often an unfinished one was started. Kafka's offsets have gaps (transaction
markers, compaction), so 'contiguous' means the order of delivery, not the numbers.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from connectors.broker import MAX_METADATA_BYTES, CommittedOffset

FIRST_WINDOW: Final = 3000
"""Where a group never committed, so many records may have been started by a process that died before its first commit."""

_FORMAT: Final = re.compile(r"^v1 n(\d+) s(\d+) f([\d,-]*) a([\d,:]*)$")


@dataclass(frozen=True, slots=True)
class Note:
    """What rides beside a committed offset; offsets are absolute here, relative in the text.

    `number`: of the commit, so that two different commits never have the same text. `started_below`: no offset from
    here on was started before the next commit. `finished`: done beyond the committed offset. `attempts`: starts of
    what is not done.
    """

    number: int = 0
    started_below: int = 0
    finished: frozenset[int] = frozenset()
    attempts: dict[int, int] = field(default_factory=dict)


def encode_note(base: int, note: Note, limit: int = MAX_METADATA_BYTES) -> str:
    """Write `note` relative to the committed offset `base` in at most `limit` bytes.

    What does not fit is left out from the far end, finished records first: handling one of them again costs work and
    gives the same ids, a forgotten attempt could let a killing record go round for ever.
    """
    attempts = [f"{offset - base}:{count}" for offset, count in sorted(note.attempts.items())]
    ranges = _ranges(sorted(offset - base for offset in note.finished))
    head = f"v1 n{note.number} s{max(0, note.started_below - base)} f"
    room = limit - len(head) - len(" a")
    kept_attempts = _fitting(attempts, room)
    kept_ranges = _fitting(ranges, room - len(kept_attempts))
    return f"{head}{kept_ranges} a{kept_attempts}"


def decode_note(base: int, text: str) -> Note:
    """Read what `encode_note` wrote; any other text is an empty note, as after a change of the format."""
    match = _FORMAT.match(text)
    if match is None:
        return Note(started_below=base + FIRST_WINDOW)
    number, below, ranges, attempts = match.groups()
    finished: set[int] = set()
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        finished.update(range(base + int(first), base + int(last or first) + 1))
    starts = (part.split(":") for part in attempts.split(",") if ":" in part)
    counts = {base + int(offset): int(n) for offset, n in starts}
    return Note(int(number), base + int(below), frozenset(finished), counts)


def _ranges(offsets: list[int]) -> list[str]:
    ranges: list[str] = []
    first = last = -2
    for offset in [*offsets, -2]:
        if offset == last + 1:
            last = offset
            continue
        if first >= 0:
            ranges.append(str(first) if first == last else f"{first}-{last}")
        first = last = offset
    return ranges


def _fitting(parts: Iterable[str], room: int) -> str:
    kept: list[str] = []
    for part in parts:
        room -= len(part) + 1
        if room < 0:
            break
        kept.append(part)
    return ",".join(kept)


class PartitionProgress:
    """What this process knows about one assigned partition, from `accept` over `start` to `finish`."""

    def __init__(self, committed: CommittedOffset | None, end: int) -> None:
        """Take up a partition.

        Args:
            committed: the group's commit, or None where it never committed.
            end: the partition's end now; what comes behind it was never started by anybody.
        """
        base = committed.offset if committed else 0
        note = decode_note(base, committed.metadata if committed else "")
        self._position = base
        self._noted_below = min(end, note.started_below)
        self._finished = set(note.finished)
        self._attempts = dict(note.attempts)
        # Started by a process that is gone: each of them may be what ended it.
        self._suspects = frozenset(note.attempts)
        self._open: deque[int] = deque()
        self._unfinished: set[int] = set()

    def accept(self, offset: int) -> bool:
        """Take a delivered record; False when it is here already or was finished before."""
        if offset < self._position:
            return False
        self._position = offset + 1
        if offset in self._finished:
            return False
        self._open.append(offset)
        self._unfinished.add(offset)
        return True

    def start(self, offset: int) -> int:
        """Count one more start of a record and return its number, from 1."""
        self._attempts[offset] = self._attempts.get(offset, 0) + 1
        return self._attempts[offset]

    def starts_before(self, offset: int) -> int:
        """Return how often the record was started so far, as far as known."""
        return self._attempts.get(offset, 0)

    def is_suspect(self, offset: int) -> bool:
        """Say whether the record was running when a former process ended.

        It then runs alone, so that only the one that kills processes is charged with it.
        """
        return offset in self._suspects

    def is_noted_first(self, offset: int) -> bool:
        """Say whether the start must be committed before the handler runs: it may kill the process, again."""
        return offset < self._noted_below or offset in self._attempts

    def finish(self, offset: int) -> None:
        """Mark a record as done; its results belong into the very next commit."""
        self._unfinished.discard(offset)
        self._attempts.pop(offset, None)
        self._finished.add(offset)
        while self._open and self._open[0] not in self._unfinished:
            self._open.popleft()

    def to_commit(self, number: int, ahead: int) -> CommittedOffset:
        """Return the offset to commit now, with its note.

        Args:
            number: the commit's own.
            ahead: how many records may be delivered before the next commit at most.
        """
        base = self._open[0] if self._open else self._position
        self._finished = {offset for offset in self._finished if offset >= base}
        # Offsets skip markers, at most one to a record where each is its own transaction.
        below = self._position + 2 * ahead
        note = Note(number, below, frozenset(self._finished), self._attempts)
        return CommittedOffset(base, encode_note(base, note))
