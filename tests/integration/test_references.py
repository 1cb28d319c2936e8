"""The references that `make bench` runs beside the orchestrator: each takes the same arguments and moves every record once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from benchmarks.lab import stub_model
from connectors.topic_reader import read_topics
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from tests.support.sql_topics import Topics

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ROOT: Final = Path(__file__).parents[2]
REFERENCES: Final = ROOT / "benchmarks" / "references"
COUNT: Final = 8


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository on the submitting client's path, as in `make bench`."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def feed(topics: Topics) -> list[str]:
    """Send a handful of records and return the arguments for a reference that takes them."""
    for number in range(COUNT):
        topics.send("incoming_leads", f"k-{number}", json.dumps({"number": number}).encode())
    topics.flush()
    return [
        "--bootstrap-servers",
        topics.settings.kafka.servers,
        "--topic-in",
        f"{topics.prefix}incoming_leads",
        "--topic-out",
        f"{topics.prefix}agent_messages",
    ]


def arrived(topics: Topics) -> dict[str, bytes]:
    """What came out, by key."""
    values = topics.wait_for(COUNT, "agent_messages")
    assert len(values) == COUNT
    records = read_topics(topics.broker, [f"{topics.prefix}agent_messages"])
    return {str(record.key_text): record.value or b"" for record in records}


@pytest.mark.parametrize(
    ("name", "delivery"),
    [
        ("async_datastream", "at_least_once"),
        ("ml_predict", "at_least_once"),
        ("pass_through", "at_least_once"),
        ("pass_through", "exactly_once"),
    ],
)
def test_reference_job_moves_every_record_under_its_key(
    broker: TemporaryBroker, cluster: TemporaryCluster, name: str, delivery: str
) -> None:
    """Every record comes out under its own key: with the model's answer, or as it was where no model is asked."""
    topics = Topics(broker, f"reference-{name}-{delivery}.".replace("_", "-"))
    settings = topics.settings.model_copy(update={"delivery": delivery})
    with stub_model(0.02, 0.5) as url:
        arguments = [*feed(topics), "--model-url", url]
        job = cluster.run(REFERENCES / f"{name}.py", settings, arguments=arguments)
        found = arrived(topics)
        cluster.rest.cancel(job)

    assert set(found) == {f"k-{number}" for number in range(COUNT)}
    if name == "pass_through":
        assert json.loads(found["k-3"]) == {"number": 3}
    else:
        assert {json.loads(value)["agent"] for value in found.values()} == {"left"}


@pytest.mark.parametrize("threads", [1, 4])
def test_reference_loop_moves_every_record_under_its_key(
    broker: TemporaryBroker, threads: int
) -> None:
    """The plain loop answers every record, one after the other or several at once, and ends when told."""
    topics = Topics(broker, f"reference-loop-{threads}.")
    with stub_model(0.02, 0.5) as url:
        arguments = [*feed(topics), "--model-url", url, "--threads", str(threads)]
        arguments += ["--group", f"{topics.prefix}loop"]
        process = subprocess.Popen(
            [sys.executable, str(REFERENCES / "plain_loop.py"), *arguments], env=dict(os.environ)
        )
        try:
            found = arrived(topics)
        finally:
            process.terminate()
            code = process.wait(60)

    assert set(found) == {f"k-{number}" for number in range(COUNT)}
    assert {json.loads(value)["agent"] for value in found.values()} == {"left"}
    assert code == 0
