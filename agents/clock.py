"""The one clock of the runner, and a manual one for tests."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from signalbox.contracts.record import from_epoch_ms


class Clock(Protocol):
    """Tells the time and wakes. Belongs to the event loop's thread."""

    def now_ms(self) -> int:
        """Return ms since 1970."""

    def call_at(self, due_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once `due_ms` has come; the returned function cancels that."""


def moment(clock: Clock) -> datetime:
    """Return the clock's time in UTC."""
    return from_epoch_ms(clock.now_ms())


class Alarms:
    """Named alarms on a clock; setting one again replaces it."""

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._due: dict[str, tuple[int, Callable[[], None]]] = {}

    def set(self, name: str, due_ms: int | None) -> None:
        """Ring at `due_ms`, or not at all."""
        known = self._due.get(name)
        if known is not None:
            if known[0] == due_ms:
                return
            known[1]()
            del self._due[name]
        if due_ms is not None:
            self._due[name] = (due_ms, self._clock.call_at(due_ms, lambda: self._ring(name)))

    def is_set(self, name: str) -> bool:
        """Say whether the alarm has yet to ring."""
        return name in self._due

    def clear(self) -> None:
        """Cancel all."""
        for name in list(self._due):
            self.set(name, None)

    def _ring(self, name: str) -> None:
        self._due.pop(name, None)
        self._callback()


class SystemClock:
    """The machine's time; timers are the running event loop's."""

    def now_ms(self) -> int:
        """Return ms since 1970."""
        return time.time_ns() // 1_000_000

    def call_at(self, due_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once `due_ms` has come."""
        delay_seconds = max(0, due_ms - self.now_ms()) / 1000
        return asyncio.get_running_loop().call_later(delay_seconds, callback).cancel


class ManualClock:
    """A clock that stands still until `advance`; for tests."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._numbers = itertools.count()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()

    def now_ms(self) -> int:
        """Return the time that was set."""
        return self._now_ms

    def call_at(self, due_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` during the `advance` that reaches `due_ms`."""
        number = next(self._numbers)
        heapq.heappush(self._timers, (due_ms, number, callback))
        return lambda: self._cancelled.add(number)

    def advance(self, milliseconds: int) -> None:
        """Move on and run what has become due, in order."""
        self._now_ms += milliseconds
        while self._timers and self._timers[0][0] <= self._now_ms:
            _, number, callback = heapq.heappop(self._timers)
            if number not in self._cancelled:
                callback()
