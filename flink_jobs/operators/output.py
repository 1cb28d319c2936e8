"""The last step: rows become a table that the SQL sink `orchestrator_output` writes."""

from __future__ import annotations

from pyflink.common import Row, Types
from pyflink.datastream import DataStream, OutputTag

from flink_jobs.operators.rows import OutputRow

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())

OUTPUT_TYPE = Types.ROW_NAMED(
    ["topic", "conversation_key", "record", "headers"],
    [Types.STRING(), Types.STRING(), BYTES, Types.MAP(Types.STRING(), BYTES)],
)

DEAD_LETTERS = OutputTag("dead_letters", OUTPUT_TYPE)


def as_row(row: OutputRow) -> Row:
    """Return `row` as the Row that `OUTPUT_TYPE` describes."""
    return Row(row.topic, row.key, row.value, dict(row.headers))


def joined(routed: DataStream, decoded: DataStream) -> DataStream:
    """Return everything that is written: what `routed` produced and the dead letters of `decoded`."""
    return routed.union(decoded.get_side_output(DEAD_LETTERS))
