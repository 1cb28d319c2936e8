"""Decode: raw records of `agent_messages` become envelopes keyed by shard, or dead letters on a side output.

The pulse comes in on the same input, so that it takes no operator, and no Python process, of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import ProcessFunction

from flink_jobs.operators.clock import now_ms
from flink_jobs.operators.output import BYTES, DEAD_LETTERS, flink_row
from flink_jobs.operators.pulse import to_every_shard
from flink_jobs.operators.rows import KeyedRow, Rows
from flink_jobs.operators.shards import key_of
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.routing.admit import decode
from signalbox.routing.ticks import Origin

KEYED_TYPE = Types.ROW(
    [Types.INT(), BYTES, Types.STRING(), Types.INT(), Types.LONG(), Types.STRING()]
)
"""A `rows.KeyedRow`."""


class Decode(ProcessFunction):
    """(conversation_key, envelope, topic, partition, offset) → `KEYED_TYPE`; undecodable records go to `DEAD_LETTERS`.

    A row without a topic is a pulse.
    """

    def __init__(self, topic_prefix: str) -> None:
        self._rows = Rows(topic_prefix)

    def process_element(self, value: Any, ctx: ProcessFunction.Context) -> Iterator[Any]:
        """Decode one record; never raises on what it holds."""
        key, raw, topic, partition, offset = value
        if topic is None:
            yield from map(flink_row, to_every_shard())
            return
        decoded = decode(raw, Origin(topic, partition, offset, key), now_ms())
        if isinstance(decoded, DeadLetter):
            yield DEAD_LETTERS, flink_row(self._rows.dead_letter(decoded))
        else:
            shard = key_of(decoded.subject)
            yield flink_row(KeyedRow(shard, decoded.to_json(), topic, partition, offset, key))
