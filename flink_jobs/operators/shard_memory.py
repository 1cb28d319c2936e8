"""What a subtask keeps in memory of one shard; all of it can be rebuilt from keyed state.

A miss in keyed state costs a round trip to the JVM, more than everything else done for a message. So memory knows which
conversations state holds, keeps the last ones decoded, and mirrors the deadlines in order.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from flink_jobs.operators.failure_scan import FailureScan
from signalbox.routing.state import Conversation

RECENT: Final = 64
"""Decoded conversations kept per shard: 4,096 in all, a minute of new ones at 50/s."""
_HOUR_MS: Final = 3_600_000
_FEW_STALE: Final = 64


class DueTimes:
    """Conversations by their next deadline. An entry may be earlier than the real deadline, never later."""

    def __init__(self) -> None:
        self._due_ms: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        """How many conversations have a deadline."""
        return len(self._due_ms)

    def __getitem__(self, conversation: str) -> int | None:
        """Return the entry of `conversation` in ms since 1970, None when it has none."""
        return self._due_ms.get(conversation)

    def names(self) -> list[str]:
        """Return every conversation that has a deadline: those that are open."""
        return list(self._due_ms)

    def set(self, conversation: str, due_ms: int) -> None:
        """Enter or move `conversation`."""
        self._due_ms[conversation] = due_ms
        heapq.heappush(self._heap, (due_ms, conversation))

    def drop(self, conversation: str) -> None:
        """Forget `conversation`."""
        self._due_ms.pop(conversation, None)
        # What was dropped or moved stays in the heap until its time: an hour's conversations, where most end in a second.
        if len(self._heap) > 2 * len(self._due_ms) + _FEW_STALE:
            self._heap = [(due_ms, name) for name, due_ms in self._due_ms.items()]
            heapq.heapify(self._heap)

    def take_due(self, now_ms: int) -> Iterator[str]:
        """Return every conversation whose entry has passed; the entries stay until they are set or dropped."""
        while self._heap and self._heap[0][0] <= now_ms:
            due_ms, conversation = heapq.heappop(self._heap)
            if self._due_ms.get(conversation) == due_ms:
                yield conversation


class ShardMemory:
    """The memory of one shard.

    `is_armed` says that a timer is registered; in state it would outlive the timer. `alive_ms` is when state was last told
    that the shard is looked after, 0 while it need not be.
    """

    __slots__ = (
        "_hour",
        "_known",
        "_recent",
        "alive_ms",
        "due",
        "failure_scan",
        "is_armed",
        "waiting_for_definitions",
    )

    def __init__(
        self, conversations: Iterable[str], deadlines: Mapping[str, int], now_ms: int
    ) -> None:
        # By hash, and with one number for all of an hour: a third of the room, and this grows with every conversation. Two of
        # one hash are one miss in state too many, no more.
        self._hour = now_ms // _HOUR_MS
        self._known = dict.fromkeys(map(hash, conversations), self._hour)
        self._recent: OrderedDict[str, Conversation] = OrderedDict()
        self.due = DueTimes()
        for conversation, due_ms in deadlines.items():
            self.due.set(conversation, due_ms)
        self.waiting_for_definitions: set[str] = set()
        self.failure_scan = FailureScan()
        self.is_armed = False
        self.alive_ms = 0

    def knows(self, conversation: str) -> bool:
        """Say whether state may hold `conversation`; False means it cannot."""
        return hash(conversation) in self._known

    def recent(self, conversation: str) -> Conversation | None:
        """Return the conversation as it was last written or read, when it is among the recent ones."""
        state = self._recent.get(conversation)
        if state is not None:
            self._recent.move_to_end(conversation)
        return state

    def remember(self, state: Conversation, now_ms: int | None = None) -> None:
        """Keep `state`; with `now_ms` it was just written to keyed state."""
        if now_ms is not None:
            hour = now_ms // _HOUR_MS
            if hour != self._hour:
                self._hour = hour
            self._known[hash(state.id)] = self._hour
        self._recent[state.id] = state
        self._recent.move_to_end(state.id)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def forget_before(self, moment_ms: int) -> None:
        """Forget conversations last written before `moment_ms`: their state has expired."""
        last_hour = moment_ms // _HOUR_MS
        self._known = {name: hour for name, hour in self._known.items() if hour >= last_hour}
