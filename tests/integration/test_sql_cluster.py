"""The SQL on the real broker and cluster, through Flink's own SQL client: the leads job, the questions, the route stream."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import kafka
import pytest

from connectors.kafka import KafkaBroker
from connectors.registry import publish
from connectors.topic_reader import read_topics
from flink_jobs import sql_files
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import Record
from signalbox.contracts.review import Review
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.local_stack import sql_client
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.settings import Settings
from tests.support.fleets import agent, message
from tests.support.lead_values import CASES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

LEADS: Final = "20_incoming_leads_to_agent_messages"
# The client's classes carry no types.
_KafkaProducer: Any = kafka.KafkaProducer
WAIT_SECONDS: Final = 90.0
NOW: Final = datetime.now(UTC)


class Topics:
    """The topics of one test: its own prefix on the shared broker."""

    def __init__(self, broker: TemporaryBroker, prefix: str, *agents: str) -> None:
        broker.create_topics(*agents, prefix=prefix)
        self.prefix = prefix
        self.broker = KafkaBroker(broker.bootstrap_servers)
        self.settings = broker.settings(
            kafka={"topic_prefix": prefix, "group_prefix": prefix}, delivery="exactly_once"
        )
        self._producer = _KafkaProducer(
            bootstrap_servers=broker.bootstrap_servers, max_request_size=2 * 1024 * 1024
        )

    def send(self, topic: str, key: str | None, value: Record | bytes | None) -> None:
        """Write one record; `flush` waits for all."""
        raw = value.to_json() if isinstance(value, Record) else value
        self._producer.send(
            self.prefix + topic, key=None if key is None else key.encode(), value=raw, partition=0
        )

    def flush(self) -> None:
        """Return once the broker has everything."""
        self._producer.flush(30)

    def wait_for(self, count: int, *names: str) -> list[bytes]:
        """Return the values on these topics once there are `count`; committed ones only."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            found = self.values(names)
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.3)

    def values(self, names: Iterable[str]) -> list[bytes]:
        """What is on these topics now."""
        records = read_topics(self.broker, [self.prefix + name for name in names])
        return [record.value for record in records if record.value is not None]


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
    _seed(topics)
    names = [name for name in sql_files.names() if name.startswith("questions/")]
    parameters = {"conversation": "c-1"}
    question = "\n".join(
        sql_files.render(topics.settings, name, mode="adhoc", parameters=parameters)
        for name in names
    )
    answers = sql_client.ask(cluster.plan, topics.settings, tmp_path, question, timeout_seconds=550)
    lines = [re_spaced(line) for line in answers.splitlines()]

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


def test_question_wrong_statement_is_an_error_with_the_clients_words(
    broker: TemporaryBroker, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """A statement that cannot run is an error of ours that says why, not an empty answer."""
    from signalbox.errors import StackError

    settings = broker.settings()
    with pytest.raises(StackError, match="no_such_table"):
        sql_client.ask(cluster.plan, settings, tmp_path, "SELECT * FROM no_such_table;")


def test_route_stream_message_becomes_a_task(
    broker: TemporaryBroker, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """The router as one INSERT puts a message on its agent's topic, and leaves out what goes nowhere."""
    topics = Topics(broker, "stream.", "writer")
    _publish(topics)
    topics.send("agent_messages", "c-1", b"no message")
    topics.send("agent_messages", "c-2", message("m-2", {"other": 1}))
    topics.send("agent_messages", "c-3", message("m-3", {"brief": "b"}, conversation="c-3"))
    topics.flush()
    job = submit(cluster, tmp_path, "21_route_stream", topics.settings)
    values = topics.wait_for(1, "agent_tasks_writer")
    cluster.stop_job(job)
    [task] = [Envelope.from_json(value) for value in values]

    assert (task.subject, task.causationid, task.target, task.hop) == ("c-3", "m-3", "writer", 1)


def re_spaced(line: str) -> str:
    """A table's line with one space where there were many."""
    return " ".join(line.split())


def _publish(topics: Topics) -> None:
    writer = agent("writer", ["brief"])
    active = ActiveSet.of([Fleet(FleetPolicy(name="test"), {"writer": writer})])
    publish(topics.broker, active, topic_prefix=topics.prefix, applied_at=NOW)


def _seed(topics: Topics) -> None:
    _publish(topics)
    for number, (path, model) in enumerate(
        [("contract", None), ("contract", None), ("model", "scripted")], 1
    ):
        said = (
            {"model": model, "tokens_in": 30, "tokens_out": 4, "latency_ms": 250} if model else {}
        )
        conversation = f"c-{number}"
        data = {"other": 1} if number == 2 else {"brief": "b"}
        topics.send(
            "agent_messages", conversation, message(f"m-{number}", data, conversation=conversation)
        )
        topics.send(
            "agent_decisions",
            conversation,
            Decision.model_validate(
                {
                    "message_id": f"m-{number}",
                    "slot": "route",
                    "conversation_id": conversation,
                    "hop": 0,
                    "agent": "writer",
                    "path": path,
                    "reason": "because",
                    "definitions_digest": "d",
                    "decided_at": NOW,
                    **said,
                }
            ),
        )
    task = message(
        "t-1", {"brief": "b"}, conversation="c-1", source="orchestrator", type="task.assigned"
    )
    task = task.evolve(causationid="m-1", target="writer", hop=1, definitions="d")
    topics.send("agent_tasks_writer", "c-1", task)
    answer = message("r-1", {}, conversation="c-1", source="agent/writer", type="writer.done")
    answer = answer.evolve(causationid="t-1", tokensused=5, processingms=7)
    topics.send("agent_messages", "c-1", answer)
    ended = {"status": "completed", "last_agent": "writer", "hops": 1, "tokens": 34}
    moments = {"started_at": NOW, "ended_at": NOW + timedelta(seconds=3)}
    outcome = Outcome.model_validate({"conversation_id": "c-1", "episode": 1, **ended, **moments})
    topics.send("agent_outcomes", "c-1", outcome)
    waiting = {"message": message("m-3", {"brief": "b"}, conversation="c-3"), "reason": "two could"}
    until = {"opened_at": NOW, "deadline": NOW + timedelta(hours=1)}
    topics.send(
        "agent_review", "c-3", Review.model_validate({"conversation_id": "c-3", **waiting, **until})
    )
    letter = DeadLetter.of(b"{", topic="ask.agent_messages", reason="malformed_json", failed_at=NOW)
    topics.send("agent_messages_dlq", "c-4", letter)
    # What is no record must not end a question.
    for topic in (
        "agent_messages",
        "agent_decisions",
        "agent_outcomes",
        "agent_review",
        "agent_messages_dlq",
    ):
        topics.send(topic, "strange", b"\xff{")
        topics.send(topic, "strange", None)
        topics.send(topic, "strange", b"[1]")
    topics.flush()
