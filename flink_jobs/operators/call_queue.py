"""Which model call starts next: by priority, aged, then by age; a tenth of the slots is kept for the urgent.

Pure: time is an argument. Ageing by one level per 10 s lifts every waiting call alike, so two calls never change order:
it is the order of `priority × 10 s + submitted`, and a heap is enough.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any, Final

from signalbox.routing.commands import AskModel

AGEING_MS: Final = 10_000
URGENT_PRIORITY: Final = 3
RESERVED_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class CallKey:
    """Which call: the shard key that owns it, the conversation and the message's sequence in it."""

    shard: int
    conversation: str
    sequence: int


@dataclass(eq=False, slots=True)
class Call:
    """One question to the model. `context` travels with it and comes back with its result."""

    key: CallKey
    ask: AskModel
    submitted_ms: int
    context: Any = None
    is_cancelled: bool = field(default=False)

    def level(self, now_ms: int) -> float:
        """Its priority now: 1 is first, and every 10 s of waiting count as one level."""
        return self.ask.priority - (now_ms - self.submitted_ms) / AGEING_MS


class CallQueue:
    """Calls that wait for their time (`not_before_ms`) and for a slot."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._reserved = slots // RESERVED_SHARE
        self._ready: list[tuple[int, int, Call]] = []
        self._delayed: list[tuple[int, int, Call]] = []
        self._added = 0
        self._waiting = 0

    def __len__(self) -> int:
        """How many calls wait, cancelled ones left out."""
        return self._waiting

    def add(self, call: Call, now_ms: int) -> None:
        """Let `call` wait."""
        self._added += 1
        self._waiting += 1
        if call.ask.not_before_ms > now_ms:
            heapq.heappush(self._delayed, (call.ask.not_before_ms, self._added, call))
        else:
            self._make_ready(call, self._added)

    def cancel(self, call: Call) -> None:
        """Forget a call that still waits."""
        if not call.is_cancelled:
            call.is_cancelled = True
            self._waiting -= 1

    def take(self, now_ms: int, in_flight: int) -> Call | None:
        """Return the call to start now, or None when none may: nothing is due, or no slot is free for the first one."""
        while self._delayed and self._delayed[0][0] <= now_ms:
            _, number, call = heapq.heappop(self._delayed)
            self._make_ready(call, number)
        while self._ready and self._ready[0][2].is_cancelled:
            heapq.heappop(self._ready)
        if not self._ready:
            return None
        # The first call is the most urgent one, so when it may not use the reserve, none may.
        is_urgent = self._ready[0][2].level(now_ms) <= URGENT_PRIORITY
        if in_flight >= (self._slots if is_urgent else self._slots - self._reserved):
            return None
        self._waiting -= 1
        return heapq.heappop(self._ready)[2]

    def next_due_ms(self) -> int | None:
        """Return when the next delayed call is due, None when none is delayed."""
        while self._delayed and self._delayed[0][2].is_cancelled:
            heapq.heappop(self._delayed)
        return self._delayed[0][0] if self._delayed else None

    def _make_ready(self, call: Call, number: int) -> None:
        heapq.heappush(
            self._ready, (call.ask.priority * AGEING_MS + call.submitted_ms, number, call)
        )
