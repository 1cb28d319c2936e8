"""The last step: rows become a table that the SQL sink `orchestrator_output` writes."""

from __future__ import annotations

from pyflink.common import Row, Types
from pyflink.datastream import DataStream, OutputTag

from flink_jobs.operators.rows import KeyedRow, OutputRow

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

OUTPUT_TYPE = Types.ROW_NAMED(
    ["topic", "conversation_key", "record", "headers"],
    [Types.STRING(), Types.STRING(), BYTES, Types.MAP(Types.STRING(), BYTES)],
)
"""A `rows.OutputRow`."""

DEAD_LETTERS = OutputTag("dead_letters", OUTPUT_TYPE)


AGENT_EVENTS = OutputTag("agent_events", OUTPUT_TYPE)


def flink_row(row: KeyedRow | OutputRow) -> Row:
    """Return `row` as Flink's own Row."""
    return Row(*row)  # type: ignore[no-untyped-call]


def joined(routed: DataStream, decoded: DataStream, watched: DataStream) -> DataStream:
    """Return everything that is written: what `routed` produced, the dead letters of `decoded`, the events of `watched`."""
    return routed.union(
        decoded.get_side_output(DEAD_LETTERS), watched.get_side_output(AGENT_EVENTS)
    )
