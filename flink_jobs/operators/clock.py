"""The wall clock, in the unit that ticks and timers use."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return ms since 1970."""
    return time.time_ns() // 1_000_000
