"""The pulse: a row every half second reaches every shard, so that a restored job goes on without new input.

After a restore Flink fires processing-time timers only once an element came; without the pulse, calls that were in flight would hang for ever.
It also drives deadlines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import FlatMapFunction

from flink_jobs.operators.shards import SHARD_KEYS


class ToEveryShard(FlatMapFunction):  # type: ignore[misc] # PyFlink is untyped
    """One pulse row → one row of `decode.KEYED_TYPE` per shard, with no message in it."""

    def flat_map(self, value: Any) -> Iterator[Row]:
        """Return a row for each of the 64 shards."""
        for key in SHARD_KEYS:
            yield Row(key, None, None, None, None, None)
