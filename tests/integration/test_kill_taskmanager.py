"""`kill -9` of the TaskManager under load, exactly once: an independent ledger over the topics finds nothing amiss."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from signalbox.contracts.envelope import Envelope
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.topics import AGENT_DECISIONS, AGENT_MESSAGES_DLQ
from tests.support.fleets import message
from tests.support.running_job import AGENTS, RunningJob, StubModel

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(300)]

MESSAGES = 400
PER_SECOND = 40
MODEL_SHARE = 4
"""Every fourth message is decided by a contract, the others by the model."""
DUPLICATE_EVERY = 20
MALFORMED_EVERY = 50


class Ledger:
    """Where each id ended, from committed records alone; it shares no code with what it judges."""

    def __init__(self, records: Iterable[Any], prefix: str) -> None:
        self.tasks: Counter[str] = Counter()
        self.decisions: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        for record in records:
            value, topic = json.loads(record.value), record.topic.removeprefix(prefix)
            if topic.startswith("agent_tasks_"):
                self.tasks[value["causationid"]] += 1
            elif topic == AGENT_DECISIONS:
                self.decisions[value["message_id"]] += 1
            else:
                self.dead_letters[value["value"]] += 1

    def is_complete(self, accepted: set[str], malformed: set[str]) -> bool:
        """Say whether every id was seen somewhere."""
        return accepted <= set(self.tasks) and malformed <= set(self.dead_letters)

    def faults(self, accepted: set[str], malformed: set[str]) -> dict[str, list[str]]:
        """Return what was lost, what came twice, and what nobody sent; empty lists when all is well."""
        seen = (self.tasks, self.decisions, self.dead_letters)
        return {
            "lost": sorted(
                (accepted - set(self.tasks))
                | (accepted - set(self.decisions))
                | (malformed - set(self.dead_letters))
            ),
            "twice": sorted(key for counter in seen for key, count in counter.items() if count > 1),
            "foreign": sorted(
                (set(self.tasks) | set(self.decisions)) - accepted
                | (set(self.dead_letters) - malformed)
            ),
        }


NOTHING: dict[str, list[str]] = {"lost": [], "twice": [], "foreign": []}


def load() -> tuple[list[Envelope | bytes], set[str], set[str]]:
    """The messages in order, the ids that must be delivered, and the values that must be dead letters."""
    messages: list[Envelope | bytes] = []
    malformed: set[str] = set()
    for number in range(MESSAGES):
        data = {"b": number} if number % MODEL_SHARE else {"a": number}
        one = message(f"m-{number}", data, conversation=f"c-{number % 200}")
        messages.append(one)
        if number % DUPLICATE_EVERY == 0:
            messages.append(one)
        if number % MALFORMED_EVERY == 0:
            malformed.add(f"{{bad {number}")
            messages.append(f"{{bad {number}".encode())
    return messages, {f"m-{number}" for number in range(MESSAGES)}, malformed


def test_taskmanager_killed_under_load_exactly_once_nothing_lost_nothing_twice(
    broker: TemporaryBroker, cluster: TemporaryCluster
) -> None:
    """After two kills in the middle of calls, every id has one decision and one task, every bad value one dead letter."""
    messages, accepted, malformed = load()
    with (
        StubModel(median_seconds=0.3, sigma=0.8) as model,
        RunningJob(
            broker,
            cluster,
            "kill.",
            delivery="exactly_once",
            checkpoint_interval_ms=500,
            model=model.settings(),
        ) as job,
    ):
        job.apply(*AGENTS)
        job.start()
        sender = threading.Thread(target=_send_all, args=(job, messages))
        sender.start()
        for share in (4, 2):
            _wait_for_tasks(job, MESSAGES // share // 2)
            cluster.kill_taskmanager()
            cluster.start_taskmanager()
        sender.join()
        topics = (*job.tasks(), AGENT_DECISIONS, AGENT_MESSAGES_DLQ)
        job.wait_for(
            topics,
            lambda found: Ledger(found, "kill.").is_complete(accepted, malformed),
            timeout_seconds=120,
        )
        # One more message, so that whatever is still on its way has arrived before the count.
        job.send(message("m-last", {"a": 1}, conversation="c-last"))
        found = job.wait_for(topics, lambda records: "m-last" in Ledger(records, "kill.").tasks)

    assert Ledger(found, "kill.").faults(accepted | {"m-last"}, malformed) == NOTHING


def _send_all(job: RunningJob, messages: list[Envelope | bytes]) -> None:
    started = time.monotonic()
    for number, one in enumerate(messages):
        time.sleep(max(0.0, started + number / PER_SECOND - time.monotonic()))
        job.send(one, key="bad")


def _wait_for_tasks(job: RunningJob, count: int) -> None:
    job.wait_for(job.tasks(), lambda found: len(found) >= count, timeout_seconds=90)


class Record:
    """A record as the ledger reads it."""

    def __init__(self, topic: str, **value: Any) -> None:
        self.topic = f"kill.{topic}"
        self.value = json.dumps(value)


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([Record("agent_tasks_a", causationid="m")], "lost"),
        ([Record("agent_decisions", message_id="m")], "lost"),
        (
            [Record("agent_tasks_a", causationid="m"), Record("agent_tasks_b", causationid="m")],
            "twice",
        ),
        ([Record("agent_tasks_a", causationid="x")], "foreign"),
    ],
)
def test_ledger_finds_each_kind_of_fault(records: list[Record], fault: str) -> None:
    """The judge is judged: a record dropped, doubled or invented does not pass."""
    assert Ledger(records, "kill.").faults({"m"}, set())[fault] != []
