"""Processes of the stack are killed and frozen under load; the supervisor and Flink bring them back, the ledger judges."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from signalbox.local_stack.environment import environment_of, inherited
from signalbox.local_stack.ports import free_port
from tests.faults.figures import stall_seconds
from tests.faults.load import message, mixed
from tests.faults.stand import Stand
from tests.faults.verdict import Sent

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(1200)]

MESSAGES = 400
FROZEN_SECONDS = {1: 5, 2: 40, 3: 100}
"""By seed: below, near and beyond what a client waits for one request."""

Tell = Callable[..., None]


@pytest.mark.smoke
def test_f1_taskmanager_killed(stand: Stand, seed: int, tell: Tell) -> None:
    """F1: `kill -9` of the TaskManager at a random moment under load: nothing lost, nothing twice."""
    _kill_under_load(stand, seed, tell, "f1", lambda: stand.signal("taskmanager"))


def test_f2_jobmanager_killed(stand: Stand, seed: int, tell: Tell) -> None:
    """F2: `kill -9` of the JobManager: the supervisor submits the jobs again from their newest checkpoint."""
    told = len(stand.events())
    _kill_under_load(stand, seed, tell, "f2", lambda: stand.signal("jobmanager"))

    said = " ".join(stand.events()[min(told, 100) :])
    assert "job orchestrate is being submitted from chk-" in said


@pytest.mark.smoke
def test_f3_broker_killed(stand: Stand, seed: int, tell: Tell) -> None:
    """F3: `kill -9` of the broker: senders resume, and no id that was acknowledged is lost."""
    _kill_under_load(stand, seed, tell, "f3", lambda: stand.signal("broker"))


def test_f4_broker_frozen(stand: Stand, seed: int, tell: Tell) -> None:
    """F4: the broker stands still for a while, as in a partition or a long pause, and goes on."""
    seconds = FROZEN_SECONDS.get(seed, 5)

    def freeze() -> float:
        pid = stand.pid("broker")
        now = time.time()
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)  # the length of the fault, nothing that is waited for
        finally:
            os.kill(pid, signal.SIGCONT)
        return now

    _kill_under_load(stand, seed, tell, "f4", freeze, frozen_s=seconds)


def test_f6_client_killed_and_retrying_its_ids(stand: Stand, seed: int, tell: Tell) -> None:
    """F6: `signalbox send` is killed while the broker holds its request, and sends the same ids again: one of each."""
    run = stand.name_run("f6", seed)
    file = stand.settings.home / f"{run}.jsonl"
    outgoing = [message(run, number, {"a": number}) for number in range(200)]
    file.write_bytes(b"\n".join(one.value for one in outgoing))
    broker = stand.pid("broker")
    chance = random.Random(seed)
    for _ in range(2):
        client = _client(stand, str(file))
        try:
            time.sleep(chance.uniform(0.5, 2.0))  # the moment of the fault is the seed's
            os.kill(broker, signal.SIGSTOP)
            time.sleep(chance.uniform(0.5, 1.5))
            client.kill()
            client.wait()
        finally:
            os.kill(broker, signal.SIGCONT)
    assert _client(stand, str(file)).wait(120) == 0
    # The command's exit code is the acknowledgement of every line.
    places = {
        record.fields["id"]: record.place
        for record in stand.history.read()
        if record.topic == "agent_messages"
        and record.fields
        and run in str(record.fields.get("id"))
    }
    stand.sent += [Sent(o.id, o.conversation, places.get(o.id, ("none", 0, 0))) for o in outgoing]
    report = stand.settle()

    copies = sum(
        run.encode() in (record.value or b"") and b'"cli"' in (record.value or b"")
        for record in stand.history.records
        if record.topic == "agent_messages"
    )
    tell(report, seed=seed, ids=len(outgoing), copies_on_the_topic=copies)


def test_f7_python_worker_killed(running: Stand, tmp_path: Path, seed: int, tell: Tell) -> None:
    """F7: with operators in processes of their own, `kill -9` of one fails the task, and it is restored."""
    # A stack of its own: savepoints of one execution mode do not fit the other. One cluster at a time.
    running.down()
    stand = Stand(tmp_path, flink={"rest_port": free_port(), "python_execution_mode": "process"})

    def kill() -> float:
        worker = random.Random(seed).choice(stand.python_workers())
        now = time.time()
        worker.kill()
        return now

    try:
        stand.up_first()
        _kill_under_load(stand, seed, tell, "f7", kill)
    finally:
        stand.close()
        running.up()


def test_f14_duplicates_across_a_restart(stand: Stand, seed: int, tell: Tell) -> None:
    """F14: every id three times, the TaskManager killed in between: each is delivered once."""
    run = stand.name_run("f14", seed)
    once = [message(run, number, {"ab"[number % 2]: number}) for number in range(120)]
    sender = stand.send([*once, *once, *once])
    sender.wait_until(random.Random(seed).uniform(0.35, 0.65))
    killed = stand.signal("taskmanager")
    report = stand.settle(sender)

    tell(
        report,
        seed=seed,
        sent=3 * len(once),
        recovery_s=stall_seconds(stand.history.records, run, killed),
    )


def _kill_under_load(
    stand: Stand,
    seed: int,
    tell: Tell,
    case: str,
    fault: Callable[[], float],
    **figures: object,
) -> None:
    run = stand.name_run(case, seed)
    calls = stand.stub.calls()
    sender = stand.send(mixed(run, seed, MESSAGES))
    sender.wait_until(random.Random(seed).uniform(0.3, 0.7))
    in_flight = stand.stub.stats()["in_flight"]
    at = fault()
    report = stand.settle(sender)

    after = stand.stub.calls()
    tell(
        report,
        seed=seed,
        stall_s=stall_seconds(stand.history.records, run, at),
        in_flight_at_fault=in_flight,
        repeated_calls=sum(n - max(1, calls.get(prompt, 0)) for prompt, n in after.items()),
        **figures,
    )


def _client(stand: Stand, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "signalbox.cli", "send", *arguments],
        env={**inherited(), **environment_of(stand.settings)},
        cwd=stand.settings.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_ledger_is_red_when_an_acknowledged_id_is_missing(stand: Stand) -> None:
    """The judge of these runs is awake: an id that was never sent, but is in the log, makes a run red."""
    stand.history.read()
    stand.sent.append(Sent("never-sent", "nobody", ("agent_messages", 0, 0)))
    try:
        report = stand.judge()
    finally:
        stand.sent.pop()

    assert any("never-sent" in sentence for sentence in report.lost)
    assert json.dumps(report.lost)
