"""Answers that cost something, kept for a while: one caller asks anew, the others have what was known before."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Answers by key, asked at most every `seconds` each, one after the other, once for everybody. Thread-safe.

    Args:
        ask: returns the answer of a key; what it raises reaches whoever had to ask.
        seconds: how long an answer is given without being asked for anew.
        shown_seconds: how old one may be that is given while somebody else asks; older ones are waited for, and forgotten.
        now: seconds of a clock that does not go back.
    """

    def __init__(
        self,
        ask: Callable[[Key], Value],
        seconds: float,
        *,
        shown_seconds: float = math.inf,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._shown_seconds = shown_seconds
        self._now = now
        self._lock = Lock()
        self._kept: dict[Key, tuple[float, Value]] = {}

    def get(self, key: Key) -> Value:
        """Return the answer of `key`; while somebody asks for new ones, the one that was known before."""
        kept = self._shown().get(key)
        if not self._lock.acquire(blocking=kept is None) and kept is not None:
            # Whoever answers may be slow, or stand still: every thread that pages are served by would wait for it.
            return kept[1]
        try:
            kept = self._kept.get(key)
            if kept is None or self._now() - kept[0] >= self._seconds:
                answer = self._ask(key)
                # From the answer on, or one that took longer than it is kept would be nobody else's.
                kept = (self._now(), answer)
                self._kept = {**self._shown(), key: kept}
            return kept[1]
        finally:
            self._lock.release()

    def _shown(self) -> dict[Key, tuple[float, Value]]:
        since = self._now() - self._shown_seconds
        return {key: kept for key, kept in self._kept.items() if kept[0] >= since}
