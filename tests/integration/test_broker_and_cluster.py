"""The broker and the cluster that the fixtures start are real, and end with everything they spawned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kafka
import pytest

from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.topics import AGENT_REGISTRY

pytestmark = pytest.mark.integration

# The client has no types.
_KafkaProducer: Any = kafka.KafkaProducer
_KafkaConsumer: Any = kafka.KafkaConsumer

JOB = """
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import udf

tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.get_config().set("pipeline.name", "trivial")
tables.execute_sql("CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen', 'rows-per-second' = '5')")
tables.execute_sql("CREATE TABLE nowhere (n INT) WITH ('connector' = 'blackhole')")
tables.create_temporary_function("same", udf(lambda n: n, result_type=DataTypes.INT()))
tables.execute_sql("INSERT INTO nowhere SELECT same(n) FROM numbers")
"""


def test_broker_record_written_is_read_back(broker: TemporaryBroker) -> None:
    """A record sent to a topic of the table comes back to a consumer."""
    broker.create_topics(prefix="roundtrip.")
    topic = f"roundtrip.{AGENT_REGISTRY}"
    producer = _KafkaProducer(bootstrap_servers=broker.bootstrap_servers)
    producer.send(topic, key=b"k", value=b"v").get(timeout=20)
    producer.close()
    consumer = _KafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
    )

    assert next(iter(consumer)).value == b"v"
    consumer.close()


def test_broker_topic_created_twice_reports_what_differs(broker: TemporaryBroker) -> None:
    """Creating the topics again creates nothing and finds nothing to warn about."""
    first = broker.create_topics("writer", prefix="twice.")
    second = broker.create_topics("writer", prefix="twice.")

    assert "twice.agent_tasks_writer" in first.created
    assert (second.created, second.warnings) == ((), ())


def test_cluster_python_job_stops_with_savepoint_and_runs_again(
    cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """A job with a Python function runs, stops with a savepoint, and starts again from it."""
    script = tmp_path / "trivial.py"
    script.write_text(JOB)
    savepoint = cluster.stop_job(cluster.run(script))

    assert Path(savepoint, "_metadata").is_file()
    again = cluster.run(script, restore_from=savepoint)
    assert cluster.rest.jobs()[0].state == "RUNNING"
    cluster.stop_job(again)
