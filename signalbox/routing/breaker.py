"""The circuit breaker of one model: a value that changes by what calls came to; time is an argument, in ms.

Closed until `TRIP_AFTER` calls in a row failed; then open: nothing is called, calls wait. After `open_ms` it is half open and lets
one call through, which closes it or opens it again for twice as long, at most `MAX_OPEN_MS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

TRIP_AFTER: Final = 5
FIRST_OPEN_MS: Final = 1_000
MAX_OPEN_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class Breaker:
    """One model's breaker. `open_until_ms` is 0 while it is closed."""

    failures: int = 0
    open_until_ms: int = 0
    open_ms: int = FIRST_OPEN_MS
    is_probing: bool = False

    def may_call(self, now_ms: int) -> bool:
        """Say whether a call may start now."""
        if self.open_until_ms == 0:
            return True
        return now_ms >= self.open_until_ms and not self.is_probing

    def started(self) -> Self:
        """Return the breaker after a call started; a half-open one waits for that call alone."""
        return self if self.open_until_ms == 0 else replace(self, is_probing=True)

    def succeeded(self) -> Self:
        """Return the breaker after the model answered, whatever it said: it is there."""
        return type(self)()

    def failed(self, now_ms: int, *, was_probe: bool) -> Self:
        """Return the breaker after a call failed in a way that says the model is down.

        Args:
            now_ms: ms since 1970.
            was_probe: the call was the one let through while half open. Calls begun before the breaker opened
                may fail after it; they do not lengthen the wait.
        """
        if was_probe:
            open_ms = min(self.open_ms * 2, MAX_OPEN_MS)
            return replace(self, open_until_ms=now_ms + open_ms, open_ms=open_ms, is_probing=False)
        if self.open_until_ms:
            return self
        failures = self.failures + 1
        if failures < TRIP_AFTER:
            return replace(self, failures=failures)
        return replace(self, failures=failures, open_until_ms=now_ms + self.open_ms)

    def released(self) -> Self:
        """Return the breaker after a probe ended without saying anything about the model (cancelled, or served from the cache)."""
        return replace(self, is_probing=False)
