"""The router as ML_PREDICT, generated from the active definitions, on the real cluster against the stub model."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.lab import stub_model
from flink_jobs import model_sql
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import Envelope
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from tests.support.fleets import message
from tests.support.sql_topics import Topics, publish_writer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

RUN_SQL: Final = Path(__file__).parents[2] / "flink_jobs" / "run_sql.py"
KEY: Final = "sk-only-for-the-server"


def post(model_url: str, path: str) -> None:
    """Tell the stub something."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    address = model_url.removesuffix("/v1") + path
    opener.open(urllib.request.Request(address, method="POST"), timeout=10).close()


def rest_says(cluster: TemporaryCluster, job: str) -> str:
    """What the JobManager tells anybody of a job."""
    paths = (f"/jobs/{job}", f"/jobs/{job}/plan", f"/jobs/{job}/config")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    found: list[Any] = [json.load(opener.open(cluster.rest_url + path)) for path in paths]
    return json.dumps(found)


def test_ml_predict_routes_to_named_agents_only(
    broker: TemporaryBroker, cluster: TemporaryCluster
) -> None:
    """A message goes to the agent that the model names; another name and no message are dead letters; the key
    is neither on the web page nor in a log."""
    topics = Topics(broker, "ml.", "writer")
    publish_writer(topics)
    with stub_model(0.02, 0.5) as url:
        settings = topics.settings.model_copy(
            update={
                "delivery": "at_least_once",
                "model": topics.settings.model.model_copy(
                    update={
                        "provider": "openai",
                        "base_url": url,
                        "name": "stub",
                        "api_key": _secret(),
                    }
                ),
            }
        )
        job = cluster.run(RUN_SQL, settings, arguments=[model_sql.NAME])
        topics.send(
            "agent_messages", "c-1", message("m-1", {"brief": "it's one"}, conversation="c-1")
        )
        topics.send("agent_messages", "c-2", b"no message")
        topics.send("agent_messages", "c-3", b'{"no":"envelope"}')
        topics.flush()
        tasks = topics.wait_for(1, "agent_tasks_writer")
        refused = topics.wait_for(2, "agent_messages_dlq")
        post(url, "/mode/wrong_name")
        topics.send("agent_messages", "c-4", message("m-4", {"brief": "b"}, conversation="c-4"))
        topics.flush()
        refused = topics.wait_for(3, "agent_messages_dlq")
        said = rest_says(cluster, job)
        cluster.rest.cancel(job)
    letters = {item.key: item for item in map(DeadLetter.from_json, refused)}
    [task] = [Envelope.from_json(value) for value in tasks]
    logs = [path.read_text(errors="replace") for path in cluster.plan.logs.glob("*.log*")]

    assert (task.subject, task.causationid, task.target) == ("c-1", "m-1", "writer")
    assert task.data == {"brief": "it's one"}
    assert {key: item.reason for key, item in letters.items()} == {
        "c-2": "malformed_json",
        "c-3": "invalid_envelope",
        "c-4": "model_failed",
    }
    assert "somebody_else" in (letters["c-4"].detail or "")
    assert len(topics.values(["agent_tasks_writer"])) == 1
    assert KEY not in said
    assert logs
    assert not any(KEY in log for log in logs)


def _secret() -> Any:
    from pydantic import SecretStr

    return SecretStr(KEY)
