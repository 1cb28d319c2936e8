"""The job `orchestrate` on a real broker and cluster: a message goes through, bad ones do not stop it, a savepoint loses nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from signalbox.contracts.heartbeat import Heartbeat
from signalbox.errors import StackError
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.topics import AGENT_DECISIONS, AGENT_MESSAGES_DLQ, AGENT_REGISTRY
from tests.support.fleets import agent, message
from tests.support.running_job import AGENTS, RunningJob, StubModel

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

BAD_VALUES: dict[str, bytes | None] = {
    "not JSON": b"{nonsense",
    "not UTF-8": b"\xff\xfe\x00",
    "null": None,
    "empty": b"",
    "not an object": b"[1, 2]",
    "no envelope": b'{"id": 1}',
    "too deep": b"[" * 10_000 + b"]" * 10_000,
    "too large": b'{"data": "' + b"x" * 900_000 + b'"}',
}


@pytest.fixture(scope="module")
def job(broker: TemporaryBroker, cluster: TemporaryCluster) -> Iterator[RunningJob]:
    """The job with the embedded model and its definitions applied."""
    with RunningJob(broker, cluster, "job.") as running:
        running.apply(*AGENTS)
        running.start()
        yield running


def test_job_message_that_one_contract_accepts_becomes_decision_and_task(job: RunningJob) -> None:
    """A message goes through decode, contracts and the sink to its agent's topic, with its headers and its key."""
    job.send(message("m-1", {"a": 1}, conversation="contract-1"))
    (record,) = job.wait_for(
        job.tasks("alpha"), lambda found: any(r.key == b"contract-1" for r in found)
    )
    decisions = job.records([AGENT_DECISIONS], 1)

    assert dict(record.headers)["ce_type"] == b"task.assigned"
    assert [(d["agent"], d["path"]) for d in decisions if d["message_id"] == "m-1"] == [
        ("alpha", "contract")
    ]


def test_job_bad_values_become_dead_letters_and_the_partition_goes_on(job: RunningJob) -> None:
    """Whatever bytes come, each is one dead letter with its place, and the message behind them is delivered."""
    job.send(*BAD_VALUES.values(), message("m-after", {"a": 1}, conversation="bad-1"), key="bad-1")
    job.wait_for(job.tasks("alpha"), lambda found: any(r.key == b"bad-1" for r in found))
    letters = job.records([AGENT_MESSAGES_DLQ], len(BAD_VALUES))

    assert len({(letter["partition"], letter["offset"]) for letter in letters}) == len(BAD_VALUES)
    assert {letter["reason"] for letter in letters} == {
        "malformed_json",
        "invalid_envelope",
        "payload_too_large",
    }


def test_job_duplicate_is_dropped(job: RunningJob) -> None:
    """The same id twice, and a message behind it: the agent gets two tasks, not three."""
    first = message("m-2", {"a": 1}, conversation="twice-1")
    job.send(first, first, message("m-3", {"a": 2}, conversation="twice-1"))
    found = job.wait_for(
        job.tasks("alpha"), lambda records: sum(r.key == b"twice-1" for r in records) >= 2
    )

    assert sum(record.key == b"twice-1" for record in found) == 2


def test_job_garbage_in_the_registry_changes_nothing_and_a_new_manifest_is_taken_up(
    job: RunningJob,
) -> None:
    """Broken records and tombstones on `agent_registry` leave the old set active; the next manifest replaces it while running."""
    topic = f"job.{AGENT_REGISTRY}"
    for key, value in (
        (b"manifest", b"{"),
        (b"alpha@x", None),
        (b"x", b"\xff"),
        (b"manifest", None),
    ):
        job.producer.send(topic, key=key, value=value)
    job.producer.flush()
    job.send(message("m-4", {"a": 1}, conversation="registry-1"))
    job.wait_for(job.tasks("alpha"), lambda found: any(r.key == b"registry-1" for r in found))

    job.apply(agent("beta", ["a"]))
    agents = (_decided_by(job, f"registry-2-{number}") for number in range(200))
    assert "beta" in agents
    job.apply(*AGENTS)


def test_job_gives_work_to_the_colleague_that_has_room(job: RunningJob) -> None:
    """Heartbeats say that one of two agents is full: within seconds nearly all goes to the other, and the record says why."""
    alike = [agent(name, ["b"], capability="reading") for name in ("beta", "gamma")]
    job.apply(agent("alpha", ["a"]), *alike)

    def decisions(round_: int) -> list[dict[str, Any]]:
        for name, active in (("beta", 10), ("gamma", 0)):
            job.producer.send("job.agent_heartbeats", key=name.encode(), value=_beat(name, active))
        names = [f"colleague-{round_}-{number}" for number in range(20)]
        job.send(*(message(f"m-{name}", {"b": 1}, conversation=name) for name in names))
        keys = {name.encode() for name in names}
        found = job.wait_for(
            [AGENT_DECISIONS], lambda records: len({r.key for r in records} & keys) == len(keys)
        )
        return [json.loads(record.value) for record in found if record.key in keys]

    for round_ in range(60):
        decided = decisions(round_)
        if all("busy" in one["reason"] and "share 0.50" not in one["reason"] for one in decided):
            break
    agents = Counter(one["agent"] for one in decided)
    assert agents["gamma"] > 3 * agents["beta"], decided
    assert {one["path"] for one in decided} == {"contract"}
    (told,) = {one["reason"] for one in decided if one["agent"] == "gamma"}
    assert told == "gamma was drawn of 2 that do reading: share 0.95 by 0% busy, 100% reliable"
    job.apply(*AGENTS)


def _beat(name: str, active: int) -> bytes:
    beat = Heartbeat(
        agent=name,
        instance="0",
        active=active,
        max_concurrent=10,
        handled=0,
        failed=0,
        definitions="",
        capability="reading",
        busy_ms=0,
        at=datetime.now(UTC),
    )
    return beat.to_json()


def _decided_by(job: RunningJob, conversation: str) -> str:
    """Send a message that alpha, and later beta, accepts; return which of them got it."""
    job.send(message(f"m-{conversation}", {"a": 1}, conversation=conversation))
    key = conversation.encode()
    found = job.wait_for([AGENT_DECISIONS], lambda records: any(r.key == key for r in records))
    decision = json.loads(next(record for record in found if record.key == key).value)
    return str(decision["agent"])


def test_job_messages_before_the_first_manifest_wait_for_it(
    broker: TemporaryBroker, cluster: TemporaryCluster
) -> None:
    """A message that comes before any definition is decided once there is one; it is never NONE."""
    with RunningJob(broker, cluster, "early.") as early:
        early.send(message("m-1", {"a": 1}))
        early.start()
        early.send(b"{")
        early.records([AGENT_MESSAGES_DLQ], 1)
        early.apply(*AGENTS)

        assert early.records(early.tasks("alpha"), 1)[0]["causationid"] == "m-1"


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_job_stopped_with_a_savepoint_takes_up_what_was_in_flight(
    broker: TemporaryBroker, cluster: TemporaryCluster, mode: str
) -> None:
    """Questions open at the savepoint are asked again, once each, on twice the subtasks; duplicates are still known."""
    with (
        StubModel(median_seconds=3600, sigma=0) as slow,
        StubModel(median_seconds=0, sigma=0) as quick,
    ):
        flink = {"python_execution_mode": mode}
        with RunningJob(
            broker, cluster, f"save-{mode}.", model=slow.settings(), flink=flink
        ) as job:
            job.apply(*AGENTS)
            job.start()
            messages = [message(f"m-{n}", {"b": n}, conversation=f"c-{n}") for n in range(20)]
            done = message("m-done", {"a": 1}, conversation="c-0")
            job.send(message("m-known", {"a": 1}, conversation="c-known"), *messages, done)
            job.records(job.tasks("alpha"), 1)
            savepoint = job.stop()
        again = {"model": quick.settings(), "flink": {**flink, "parallelism": 2}}
        with RunningJob(broker, cluster, f"save-{mode}.", **again) as job:
            job.start(restore_from=savepoint)
            job.send(message("m-known", {"a": 1}, conversation="c-known"), *messages)
            job.send(message("m-last", {"a": 2}, conversation="c-known"))
            tasks = job.records(job.tasks(), 23)

    causes = [task["causationid"] for task in tasks]
    assert len(causes) == len(set(causes))
    assert set(causes) == {m.id for m in messages} | {"m-known", "m-done", "m-last"}


def test_job_savepoint_of_the_other_execution_mode_is_refused(
    broker: TemporaryBroker, cluster: TemporaryCluster
) -> None:
    """State that a job could not read stops its start, with Flink's reason, instead of starting it empty."""
    with RunningJob(broker, cluster, "mode.", flink={"python_execution_mode": "thread"}) as job:
        job.apply(*AGENTS)
        job.start()
        job.send(message("m-1", {"a": 1}))
        job.records(job.tasks("alpha"), 1)
        savepoint = job.stop()
    with (
        RunningJob(broker, cluster, "mode.", flink={"python_execution_mode": "process"}) as other,
        pytest.raises(StackError, match="savepoint"),
    ):
        other.start(restore_from=savepoint)
