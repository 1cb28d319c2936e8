"""The records a runner holds: which one to start next. By priority, then by age; one at a time per key, in order.

Pure: time is an argument. A record that waits for its retry keeps its key, so nothing of that conversation overtakes
it, and keeps nothing else: other keys of its partition go on.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.broker import ConsumedRecord, Partition
from signalbox.contracts.envelope import Envelope


@dataclass(eq=False, slots=True)
class Item:
    """One record with what was read in it."""

    record: ConsumedRecord
    envelope: Envelope
    lease: object = None
    """Under which assignment of its partition it was read; a partition lost and gained again is another one."""
    age: int = field(default=0)
    """Order of arrival, given by the backlog."""

    @property
    def key(self) -> str:
        """What keeps its order: the conversation."""
        return self.envelope.subject

    @property
    def partition(self) -> Partition:
        """Where it was read."""
        return self.record.source


class Backlog:
    """Holds items from `add` until `done`; `take` says which one may start."""

    def __init__(self) -> None:
        self._arrivals = itertools.count()
        self._waiting: dict[str, deque[Item]] = {}
        # Keys with an item in `ready`, in `delayed` or taken; their later items are in `waiting`.
        self._busy: set[str] = set()
        self._size = 0
        self._ready: list[tuple[int, int, Item]] = []
        self._delayed: list[tuple[int, int, Item]] = []

    def __len__(self) -> int:
        """How many items have not been taken, or wait for their retry."""
        return self._size

    def add(self, item: Item) -> None:
        """Take an item in, behind the others of its key."""
        item.age = next(self._arrivals)
        self._size += 1
        if item.key in self._busy:
            self._waiting.setdefault(item.key, deque()).append(item)
            return
        self._busy.add(item.key)
        self._push(item)

    def take(self, now_ms: int) -> Item | None:
        """Return the item to start now, or None; its key stays busy until `done`."""
        while self._delayed and self._delayed[0][0] <= now_ms:
            self._push(heapq.heappop(self._delayed)[2])
        if not self._ready:
            return None
        self._size -= 1
        return heapq.heappop(self._ready)[2]

    def put_back(self, item: Item, due_ms: int) -> None:
        """Give a taken item back, to be taken again from `due_ms` on."""
        self._size += 1
        heapq.heappush(self._delayed, (due_ms, item.age, item))

    def done(self, item: Item) -> None:
        """Free the key of a taken item: the next one of that key may start."""
        waiting = self._waiting.get(item.key)
        if not waiting:
            self._busy.discard(item.key)
            return
        following = waiting.popleft()
        if not waiting:
            del self._waiting[item.key]
        self._push(following)

    def next_due_ms(self) -> int | None:
        """Return when the earliest retry is due, or None."""
        return self._delayed[0][0] if self._delayed else None

    def drop(self, is_lost: Callable[[Partition], bool]) -> None:
        """Forget what was not taken of lost partitions; nothing of it was done."""
        for key, items in list(self._waiting.items()):
            kept = deque(item for item in items if not is_lost(item.partition))
            self._size -= len(items) - len(kept)
            if kept:
                self._waiting[key] = kept
            else:
                del self._waiting[key]
        heads = [entry[2] for heap in (self._ready, self._delayed) for entry in heap]
        for heap in (self._ready, self._delayed):
            heap[:] = [entry for entry in heap if not is_lost(entry[2].partition)]
            heapq.heapify(heap)
        for item in heads:
            if is_lost(item.partition):
                self._size -= 1
                self.done(item)

    def _push(self, item: Item) -> None:
        heapq.heappush(self._ready, (item.envelope.priority, item.age, item))
