"""Agent processes on the real broker: killed, poisoned, drained, removed; an independent look at the topics decides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from agents.exit_codes import EXIT_RENEWED
from connectors.broker import OutgoingRecord
from connectors.kafka import KafkaBroker
from connectors.registry import publish
from connectors.topic_lag import agents_with_backlog
from connectors.topic_reader import read_topic
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.ids import reply_id
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.kafka_settings import KafkaSettings
from signalbox.local_stack.temporary import TemporaryBroker
from tests.support.fleets import agent

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 90.0


class Stage:
    """One agent `worker` with topics of its own on the shared broker, and its processes."""

    def __init__(self, running: TemporaryBroker, folder: Path) -> None:
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        running.create_topics("worker", prefix=self.prefix)
        self.broker = KafkaBroker(running.bootstrap_servers)
        self.calls = folder / "calls"
        self.calls.touch()
        self.log = folder / "agent.log"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            "CALLS": str(self.calls),
            "PYTHONPATH": str(ROOT),
            "SIGNALBOX_HOME": str(folder),
            "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS": running.bootstrap_servers,
            "SIGNALBOX_KAFKA__TOPIC_PREFIX": self.prefix,
            "SIGNALBOX_KAFKA__GROUP_PREFIX": self.prefix,
        }

    def publish(self, *names: str, **limits: Any) -> None:
        """Make agents of these names the active set."""
        agents = {name: agent(name, ["lead"], limits=limits) for name in names}
        active = ActiveSet.of([Fleet(FleetPolicy(name="test"), agents)])
        publish(self.broker, active, topic_prefix=self.prefix, applied_at=datetime.now(UTC))

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a process of the agent."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    str(ROOT / "tests/support/misbehaving_agent.py"),
                    "worker",
                    *options,
                ],
                env=self._environment,
                cwd=self.calls.parent,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def send(self, *leads: dict[str, Any]) -> None:
        """Write one task per lead; its number names it."""
        producer = self.broker.producer()
        for lead in leads:
            task = Envelope(
                id=f"task-{lead['number']}",
                source="orchestrator",
                type="task.assigned",
                time=datetime.now(UTC),
                subject=f"lead-{lead['number']}",
                data={"lead": lead},
            )
            topic = f"{self.prefix}agent_tasks_worker"
            producer.send(topic, key=task.subject.encode(), value=task.to_json())
        producer.flush(30)
        producer.close()

    def values(self, topic: str) -> list[bytes]:
        """All committed values of a topic."""
        return [r.value or b"" for r in read_topic(self.broker, self.prefix + topic)]

    def replies(self) -> Counter[str]:
        """How often each message id stands on `agent_messages`."""
        return Counter(Envelope.from_json(value).id for value in self.values("agent_messages"))

    def called(self) -> Counter[str]:
        """How often the handler was called for each task."""
        return Counter(self.calls.read_text().split())

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`; fail with the processes' log."""
        deadline = monotonic() + PATIENCE_SECONDS
        while not condition():
            if monotonic() > deadline:
                pytest.fail(self.log.read_text()[-5000:])
            sleep(0.2)


@pytest.fixture
def stage(broker: TemporaryBroker, tmp_path: Path) -> Iterator[Stage]:
    """A stage whose processes are gone when the test ends."""
    made = Stage(broker, tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def expected(count: int) -> Counter[str]:
    """Each of `count` tasks answered once."""
    return Counter(reply_id(f"task-{number}", 0) for number in range(count))


def test_agent_killed_three_times_answers_everything_once(stage: Stage) -> None:
    """kill -9 in the middle of the work: every task is answered, none twice, for a reader of committed records."""
    count = 600
    stage.publish("worker", max_concurrent=20, max_attempts=10)
    stage.send(*({"number": n, "seconds": 0.02} for n in range(count)))
    for share in (0.2, 0.45, 0.7):
        process = stage.start()
        stage.until(lambda done=share: len(stage.replies()) >= count * done)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait()

    stage.start()
    stage.until(lambda: len(stage.replies()) >= count)

    assert stage.replies() == expected(count)
    assert stage.values("agent_messages_dlq") == []


def test_agent_ended_by_one_record_gives_it_up_and_answers_the_others(stage: Stage) -> None:
    """A handler that ends the process on one record: a dead letter after max_attempts, every other task answered."""
    stage.publish("worker", max_attempts=2)
    stage.send(*({"number": n, "kills": n == 7} for n in range(40)))

    process = stage.start()

    def is_over() -> bool:
        nonlocal process
        if process.poll() is not None:
            process = stage.start()
        return sum(stage.replies().values()) >= 40

    stage.until(is_over)
    (letter,) = [DeadLetter.from_json(value) for value in stage.values("agent_messages_dlq")]
    assert (letter.reason, letter.message_id, letter.attempts) == ("handler_failed", "task-7", 2)
    assert stage.replies() == expected(40)
    # One start may go unrecorded: the first one of a record that came while the process was running.
    assert stage.called()["task-7"] in {2, 3}


def test_agent_terminated_finishes_what_runs_and_exits_cleanly(stage: Stage) -> None:
    """SIGTERM: the running task is answered, the exit code is 0, and nothing is handled twice afterwards."""
    stage.publish("worker", max_concurrent=1)
    process = stage.start()
    stage.send({"number": 0, "seconds": 1.0}, {"number": 1})
    stage.until(lambda: bool(stage.called()["task-0"]))

    process.send_signal(signal.SIGTERM)

    assert process.wait(PATIENCE_SECONDS) == 0
    assert stage.replies()[reply_id("task-0", 0)] == 1
    stage.start()
    stage.until(lambda: len(stage.replies()) == 2)
    assert stage.called()["task-0"] == 1


def test_agent_waits_for_its_definition_and_ends_when_it_is_removed(stage: Stage) -> None:
    """A process started early waits for its definition; taken out, it answers what its topic holds and exits with 0."""
    process = stage.start()
    stage.until(lambda: "agent.waiting" in stage.log.read_text())
    stage.publish("worker", "other", max_concurrent=1)
    stage.send(*({"number": n, "seconds": 0.3} for n in range(5)))
    stage.until(lambda: len(stage.replies()) == 1)

    stage.publish("other")

    assert process.wait(PATIENCE_SECONDS) == 0
    assert stage.replies() == expected(5)
    heartbeats = [Heartbeat.from_json(v) for v in stage.values("agent_heartbeats")]
    assert (heartbeats[0].agent, heartbeats[0].instance) == ("worker", "0")
    assert [heartbeats[0].draining, heartbeats[-1].draining] == [False, True]


def test_agent_removed_where_it_would_be_started_again_stays_and_serves_what_comes_late(
    stage: Stage,
) -> None:
    """`--when-removed wait` (Kubernetes): no end and no loop of starts; it says that it may go, and SIGTERM ends it."""
    stage.publish("worker", "other")
    stage.publish("other")
    process = stage.start("--when-removed", "wait")
    stage.until(lambda: "agent.drained" in stage.log.read_text())

    stage.send({"number": 0})
    stage.until(lambda: len(stage.replies()) == 1)

    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0


def test_agent_whose_code_may_have_changed_ends_for_a_new_process_and_nothing_is_done_twice(
    stage: Stage,
) -> None:
    """It answers what it has in hand, exits with 4, and the next process does the rest under the new definition."""
    stage.publish("worker", max_concurrent=1)
    first = stage.start()
    stage.send({"number": 0, "seconds": 2.0}, *({"number": n} for n in range(1, 6)))
    stage.until(lambda: bool(stage.called()["task-0"]))

    stage.publish("worker", max_concurrent=7)
    assert first.wait(PATIENCE_SECONDS) == EXIT_RENEWED
    answered = set(stage.replies())
    stage.start()
    stage.until(lambda: len(stage.replies()) == 6)

    assert reply_id("task-0", 0) in answered
    assert stage.replies() == expected(6)
    assert set(stage.called().values()) == {1}
    stage.until(
        lambda: Heartbeat.from_json(stage.values("agent_heartbeats")[-1]).max_concurrent == 7
    )


def test_agents_with_backlog_are_those_with_records_behind_their_commits(
    stage: Stage, broker: TemporaryBroker
) -> None:
    """A task nobody took counts, one that was answered does not, nor do the markers of transactions after it."""
    kafka = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=stage.prefix,
        group_prefix=stage.prefix,
    )
    assert agents_with_backlog(kafka, ["worker"]) == frozenset()
    stage.send({"number": 0})
    assert agents_with_backlog(kafka, ["worker", "other"]) == {"worker"}

    stage.publish("worker")
    stage.start()
    stage.until(lambda: agents_with_backlog(kafka, ["worker"]) == frozenset())

    assert len(stage.replies()) == 1
    producer = stage.broker.transactional_producer(f"{stage.prefix}aborts")
    producer.begin()
    producer.send(OutgoingRecord(f"{stage.prefix}agent_tasks_worker", b"k", b"never"))
    producer.abort()
    producer.close()
    assert agents_with_backlog(kafka, ["worker"]) == frozenset()


def test_agent_replaced_while_stopped_is_fenced_and_ends(stage: Stage) -> None:
    """A frozen process whose place was taken ends by itself when it wakes, and its work is not doubled."""
    stage.publish("worker")
    old = stage.start()
    stage.send({"number": 0, "seconds": 0.5})
    stage.until(lambda: bool(stage.called()["task-0"]))
    old.send_signal(signal.SIGSTOP)
    stage.start()
    stage.until(lambda: len(stage.replies()) == 1)

    old.send_signal(signal.SIGCONT)

    assert old.wait(PATIENCE_SECONDS) == 3
    assert stage.replies() == expected(1)


@pytest.mark.faults
def test_agent_and_the_brokers_death_lose_nothing(tmp_path: Path) -> None:
    """kill -9 of the broker under work: started again where it ended, the agent goes on without loss or doubles."""
    (tmp_path / "broker").mkdir()
    with TemporaryBroker(tmp_path / "broker") as mortal:
        stage = Stage(mortal, tmp_path)
        stage.publish("worker", max_concurrent=10, max_attempts=10)
        stage.send(*({"number": n, "seconds": 0.02} for n in range(300)))
        process = stage.start()

        def is_over() -> bool:
            nonlocal process
            if process.poll() is not None:
                process = stage.start()
            return sum(stage.replies().values()) >= 300

        try:
            stage.until(lambda: sum(stage.replies().values()) > 50)
            mortal.kill()
            mortal.start()
            stage.until(is_over)
        finally:
            process.kill()
            process.wait()

        assert stage.replies() == expected(300)
        assert stage.values("agent_messages_dlq") == []
