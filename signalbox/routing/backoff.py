"""The one retry policy: exponential with jitter, bounded, and never earlier than the other side asked for."""

from __future__ import annotations

import hashlib


def backoff_ms(
    attempt: int,
    *,
    base_seconds: float,
    cap_seconds: float,
    seed: str,
    retry_after_seconds: float | None = None,
) -> int:
    """Return how long to wait before the next attempt, in ms.

    Args:
        attempt: the attempt that failed, from 1.
        base_seconds: the wait after the first failure, before jitter.
        cap_seconds: the longest wait of our own; a larger `retry_after_seconds` is honoured all the same.
        seed: what makes the jitter differ between messages; a pure function has no dice.
        retry_after_seconds: the server's wish, as of `Retry-After` (RFC 9110 §10.2.3).
    """
    ceiling = min(cap_seconds, base_seconds * 2 ** min(attempt - 1, 32))
    byte = hashlib.blake2b(f"{seed}:{attempt}".encode(), digest_size=2).digest()
    share = 0.5 + int.from_bytes(byte, "big") / 65535 / 2
    return int(max(ceiling * share, retry_after_seconds or 0.0) * 1000)
