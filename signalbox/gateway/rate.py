"""How fast each caller may send: a bucket of tokens each, refilled as time passes. The clock is an argument."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_CALLERS: Final = 10_000
"""So many are remembered; the one that was silent longest is forgotten, and begins with a full bucket."""


class RateLimit:
    """At most `per_second` requests of a caller on average, and as many at once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_of(self, caller: str, now: float) -> float:
        """Take a token; return 0, or without one how many seconds pass until there is one again."""
        tokens, at = self._buckets.get(caller, (self._per_second, now))
        tokens = min(self._per_second, tokens + (now - at) * self._per_second)
        is_taken = tokens >= 1
        self._buckets[caller] = (tokens - 1 if is_taken else tokens, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if is_taken else (1 - tokens) / self._per_second
