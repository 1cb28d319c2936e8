"""The job `orchestrate`: every message of `agent_messages` goes to the agent that acts next.

    agent_messages ─┬─► decode ──► route ──┬─► orchestrator_output: agent_tasks_<agent>,
             pulse ─┘      │         ▲     │   agent_decisions, agent_outcomes, …
            agent_registry ┼─────────┤     │
                           └ dead letters ─┤
    agent_heartbeats, pulse ─► watch ┴─────┘ (who failed · agent.lifecycle.…)

Submit it with `flink run -py flink_jobs/orchestrate.py`; settings come from the environment (`SIGNALBOX_…`).
"""

from __future__ import annotations

from pyflink.common import Types
from pyflink.datastream import DataStream
from pyflink.table import StreamTableEnvironment

from flink_jobs.environment import stream_environment
from flink_jobs.execution_mode import ROUTE_UIDS, execution_mode
from flink_jobs.operators.decode import KEYED_TYPE, Decode
from flink_jobs.operators.output import OUTPUT_TYPE, joined
from flink_jobs.operators.route import REGISTRY, Route
from flink_jobs.operators.watch import BROADCAST_TYPE, WatchAgents, registry_row
from flink_jobs.sql_files import table_ddl
from signalbox.settings import Settings

JOB_NAME = "orchestrate"
TABLES = ("agent_messages", "agent_registry", "orchestrator_output", "pulse", "agent_heartbeats")
MESSAGES = """
    SELECT conversation_key, envelope, topic, partition_id, record_offset FROM agent_messages
    UNION ALL SELECT CAST(NULL AS STRING), CAST(NULL AS BYTES), CAST(NULL AS STRING),
        CAST(NULL AS INT), CAST(NULL AS BIGINT) FROM pulse"""
DEFINITIONS = "SELECT registry_key, record FROM agent_registry"
HEARTBEATS = """
    SELECT agent_key, record FROM agent_heartbeats
    UNION ALL SELECT CAST(NULL AS STRING), CAST(NULL AS BYTES) FROM pulse"""

UID_FORMAT = "table.exec.uid.format"
NUMBERED_UIDS = "<id>_<transformation>"
HEARTBEAT_UIDS = "heartbeats_<id>_<transformation>"
SINK_UIDS = "12_<transformation>"
"""Flink numbers the parts of tables as they come; savepoints know the sink by the number it had before heartbeats were read."""


def main() -> None:
    """Build the job and submit it."""
    settings = Settings()
    env = stream_environment(settings)
    tables = StreamTableEnvironment.create(env)
    for statement in table_ddl(settings, *TABLES):
        tables.execute_sql(statement)

    decoded = decode(read(tables, MESSAGES), settings)
    definitions = read(tables, DEFINITIONS)
    watched = watch(read(tables, HEARTBEATS, uid_format=HEARTBEAT_UIDS), settings)
    routed = route(decoded, told(definitions, watched), settings)
    write(tables, joined(routed, decoded, watched))
    env.execute(JOB_NAME)


def read(
    tables: StreamTableEnvironment, query: str, *, uid_format: str = NUMBERED_UIDS
) -> DataStream:
    """The rows of `query`, as they come. A pulse is a message that was read nowhere."""
    tables.get_config().set(UID_FORMAT, uid_format)
    return tables.to_data_stream(tables.sql_query(query))


def decode(records: DataStream, settings: Settings) -> DataStream:
    """Messages and pulses by shard; what cannot be decoded is a dead letter on the side."""
    operator = Decode(settings.kafka.topic_prefix)
    return records.process(operator, KEYED_TYPE).name("decode").uid("decode")


def watch(heartbeats: DataStream, settings: Settings) -> DataStream:
    """Who failed, for the decisions; what became of each agent, as events on the side."""
    operator = WatchAgents(settings.kafka.topic_prefix, settings.routing.silent_after_seconds)
    watched = heartbeats.key_by(lambda _: 0, Types.INT()).process(operator, BROADCAST_TYPE)
    return watched.name("watch").uid("watch")


def told(definitions: DataStream, watched: DataStream) -> DataStream:
    """What every decision must know: the definitions, and who failed."""
    records = definitions.map(registry_row, BROADCAST_TYPE).name("definitions").uid("definitions")
    return records.union(watched)


def route(decoded: DataStream, definitions: DataStream, settings: Settings) -> DataStream:
    """The decision: which agent acts next, or why none."""
    by_shard = decoded.key_by(lambda row: row[0], Types.INT())
    operator = Route(settings)
    routed = by_shard.connect(definitions.broadcast(REGISTRY)).process(operator, OUTPUT_TYPE)
    return routed.name("route").uid(ROUTE_UIDS[execution_mode(settings)])


def write(tables: StreamTableEnvironment, rows: DataStream) -> None:
    """Every row to the topic it names."""
    tables.get_config().set(UID_FORMAT, SINK_UIDS)
    statements = tables.create_statement_set()
    statements.add_insert("orchestrator_output", tables.from_data_stream(rows))
    statements.attach_as_datastream()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
