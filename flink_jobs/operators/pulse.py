"""The pulse: a row every half second reaches every shard, so that a restored job goes on without new input.

After a restore Flink fires processing-time timers only once an element came; without the pulse, calls that were in flight
would hang for ever. It also drives deadlines.
"""

from __future__ import annotations

from collections.abc import Iterator

from flink_jobs.operators.rows import KeyedRow
from flink_jobs.operators.shards import SHARD_KEYS


def to_every_shard() -> Iterator[KeyedRow]:
    """Return a row without a message for each of the 64 shards."""
    return (KeyedRow(key) for key in SHARD_KEYS)
