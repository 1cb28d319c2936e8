"""Decode: raw records of `agent_messages` become envelopes keyed by shard, or dead letters on a side output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import ProcessFunction

from flink_jobs.operators.output import BYTES, DEAD_LETTERS, as_row
from flink_jobs.operators.rows import Rows
from flink_jobs.operators.shards import key_of
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.routing.admit import decode
from signalbox.routing.ticks import Origin

KEYED_TYPE = Types.ROW([Types.INT(), BYTES, Types.STRING(), Types.INT(), Types.LONG(), Types.STRING()])
"""Shard key; then the envelope (null on a pulse) and where it was read: topic, partition, offset, key."""


class Decode(ProcessFunction):  # type: ignore[misc] # PyFlink is untyped
    """(conversation_key, envelope, topic, partition, offset) → `KEYED_TYPE`; undecodable records go to `DEAD_LETTERS`."""

    def __init__(self, topic_prefix: str) -> None:
        self._rows = Rows(topic_prefix)

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Iterator[Any]:
        """Decode one record; never raises on what it holds."""
        key, raw, topic, partition, offset = value
        origin = Origin(topic, partition, offset, key)
        decoded = decode(raw, origin, time.time_ns() // 1_000_000)
        if isinstance(decoded, DeadLetter):
            yield DEAD_LETTERS, as_row(self._rows.dead_letter(decoded))
        else:
            yield Row(key_of(decoded.subject), decoded.to_json(), topic, partition, offset, key)
