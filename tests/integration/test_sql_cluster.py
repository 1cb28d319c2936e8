"""The SQL on the real broker and cluster, through Flink's own SQL client: the leads job, the questions, the route stream."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from flink_jobs import sql_files
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import Envelope
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.settings import Settings
from tests.support.fleets import message
from tests.support.lead_values import CASES
from tests.support.sql_topics import Topics, publish_writer, re_spaced, seed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

LEADS: Final = "20_incoming_leads_to_agent_messages"


def submit(
    cluster: TemporaryCluster, folder: Path, name: str, settings: Settings, head: str = ""
) -> str:
    """Run a file of `sql/` through the SQL client and return the id of the job it started."""
    script = folder / f"{name}.sql"
    script.write_text(head + sql_files.render(settings, name), encoding="utf-8")
    before = {job.id for job in cluster.rest.jobs()}
    said = cluster.sql(script, settings)
    started = [job.id for job in cluster.rest.jobs() if job.id not in before]
    assert len(started) == 1, said[-4000:]
    cluster.wait_running(started[0])
    return started[0]


def test_leads_job_any_bytes_stop_and_resume_lose_and_double_nothing(
    broker: TemporaryBroker, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """Every record ends once, as a message or a dead letter, also across a stop with a savepoint."""
    topics = Topics(broker, "leads.")
    for case in CASES:
        topics.send("incoming_leads", case.key, case.value)
    topics.flush()
    job = submit(cluster, tmp_path, LEADS, topics.settings)
    assert len(topics.wait_for(len(CASES), "agent_messages", "agent_messages_dlq")) == len(CASES)
    savepoint = cluster.stop_job(job)
    for number in range(20):
        topics.send("incoming_leads", f"later-{number}", b'{"name":"later"}')
    topics.flush()
    head = f"SET 'execution.state-recovery.path' = '{savepoint}';\n"
    job = submit(cluster, tmp_path, LEADS, topics.settings, head)
    total = len(CASES) + 20
    topics.wait_for(total, "agent_messages", "agent_messages_dlq")
    cluster.stop_job(job)
    sent = [Envelope.from_json(value) for value in topics.values(["agent_messages"])]
    dead = [DeadLetter.from_json(value) for value in topics.values(["agent_messages_dlq"])]

    assert len({item.id for item in sent}) + len({item.offset for item in dead}) == total
    assert len(sent) + len(dead) == total
    assert len(sent) == sum(case.fate == "message" for case in CASES) + 20
    reasons = sorted(case.fate for case in CASES if case.fate != "message")
    assert sorted(item.reason for item in dead) == reasons


def test_questions_answer_through_the_client(
    broker: TemporaryBroker, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """Every question in one session, over records and over values that are none, ends and says what is there."""
    topics = Topics(broker, "ask.", "writer")
    seed(topics)
    names = [name for name in sql_files.names() if name.startswith("questions/")]
    parameters = {"conversation": "c-1"}
    texts = [
        sql_files.render_session(topics.settings),
        *(
            sql_files.render(topics.settings, name, mode="adhoc", parameters=parameters)
            for name in names
        ),
    ]
    script = tmp_path / "questions.sql"
    script.write_text("\n".join(texts), encoding="utf-8")
    lines = [re_spaced(line) for line in cluster.sql(script).splitlines()]

    assert sum(line.endswith(("row in set", "rows in set", "Empty set")) for line in lines) == len(
        names
    )
    assert "| contract | writer | 2 | 66.7 |" in lines
    assert "| scripted | 1 | 0 | 30 | 4 | 250 | 250 |" in lines
    assert any(line.startswith("| malformed_json | ask.agent_messages | 1 |") for line in lines)
    assert any("| c-3 | m-3 |" in line and "two could" in line for line in lines)
    assert any(line.startswith("| completed | writer | 1 | 1.0 | 34 |") for line in lines)
    assert any(line.startswith("| writer | 1 | 5 | 7 | 7 |") for line in lines)
    assert any("| task | writer | hop 1 |" in line for line in lines)
    assert any("| m-2 |" not in line and "| writer | NONE | contract |" in line for line in lines)


def test_route_stream_message_becomes_a_task(
    broker: TemporaryBroker, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """The router as one INSERT puts a message on its agent's topic, and leaves out what goes nowhere."""
    topics = Topics(broker, "stream.", "writer")
    publish_writer(topics)
    topics.send("agent_messages", "c-1", b"no message")
    topics.send("agent_messages", "c-2", message("m-2", {"other": 1}))
    topics.send("agent_messages", "c-3", message("m-3", {"brief": "b"}, conversation="c-3"))
    topics.flush()
    job = submit(cluster, tmp_path, "21_route_stream", topics.settings)
    values = topics.wait_for(1, "agent_tasks_writer")
    cluster.stop_job(job)
    [task] = [Envelope.from_json(value) for value in values]

    assert (task.subject, task.causationid, task.target, task.hop) == ("c-3", "m-3", "writer", 1)
