"""The job's graph, built and not run: the parts that have state keep the names under which savepoints know it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from connectors import jars
from signalbox.local_stack.java import find_java

pytestmark = pytest.mark.integration

SCRIPT = """
import json
from pyflink.datastream import StreamExecutionEnvironment
from flink_jobs import orchestrate

def show(env, name=None):
    graph = env._j_stream_execution_environment.getStreamGraph(False)
    print(json.dumps([node.getTransformationUID() for node in graph.getStreamNodes().toArray()]))

StreamExecutionEnvironment.execute = show
orchestrate.main()
"""
STATEFUL = {
    "1_kafka",
    "7_kafka",
    "route",
    "12_sink",
    "Sink Committer: 12_sink",
}
"""Of the first version whose savepoints must be restored. What came later has names of its own."""


def test_parts_with_state_keep_their_names() -> None:
    """A savepoint of the version before fits: its sources, its router and its sink are found, and nothing has a name twice."""
    connector = next(path for path in jars.ensure("flink") if "connector-kafka" in Path(path).name)
    environ = {
        **os.environ,
        "JAVA_HOME": str(find_java().home),
        "SIGNALBOX_FLINK__PYTHON_EXECUTION_MODE": "thread",
        "SIGNALBOX_FLINK__CONF": json.dumps({"pipeline.jars": Path(connector).as_uri()}),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, check=True
    )
    uids = json.loads(done.stdout.splitlines()[-1])
    named = [uid for uid in uids if uid is not None]

    assert set(named) >= STATEFUL | {"watch"}
    assert len(named) == len(set(named))
