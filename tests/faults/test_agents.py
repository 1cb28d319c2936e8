"""Agent processes die, freeze and multiply under load: one effect per task, everything answered, nobody left waiting."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.figures import stall_seconds
from tests.faults.load import message, mixed
from tests.faults.stand import Stand

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(1200)]

Tell = Callable[..., None]


@pytest.mark.smoke
def test_f5_agent_dies_between_effect_and_commit(stand: Stand, seed: int, tell: Tell) -> None:
    """F5: three agents are killed after their effect and before their answer: the effect is not had again."""
    run = stand.name_run("f5", seed)
    dying = [
        message(run, 1000 + n, {field: n, "do": {"die_once": ("kill", "exit", "segv")[seed % 3]}})
        for n, field in enumerate(("a", "o", "b"))
    ]
    outgoing = list(mixed(run, seed, 300))
    for one, at in zip(dying, (80, 150, 220), strict=True):
        outgoing.insert(at, one)
    started = time.time()
    before = stand.handled()
    report = stand.settle(stand.send(outgoing))

    handled = stand.handled() - before
    again = {task: count for task, count in handled.items() if count > 1}
    assert len(again) >= len(dying), "nobody died"
    effects = stand.effects()
    assert {effects[task] for task in again} == {1}
    tell(
        report,
        seed=seed,
        handled_again=len(again),
        longest_gap_s=stall_seconds(stand.history.records, run, started),
    )


def test_f13_record_that_kills_its_handler_process(stand: Stand, seed: int, tell: Tell) -> None:
    """F13: a record that ends its process at every attempt is a dead letter after the stated attempts; others go on."""
    run = stand.name_run("f13", seed)
    poison = [
        message(run, 1000 + n, {field: n, "do": {"die": how}})
        for n, (field, how) in enumerate((("a", "exit"), ("o", "segv"), ("ping", "kill")))
    ]
    outgoing = list(mixed(run, seed, 200))
    outgoing[60:60] = poison
    report = stand.settle(stand.send(outgoing), seconds=300)

    tasks = {
        record.fields["causationid"]: record.fields["id"]
        for record in stand.history.records
        if record.topic.startswith("agent_tasks_") and record.fields
    }
    letters = {
        record.fields.get("message_id"): record.fields
        for record in stand.history.records
        if record.topic == "agent_messages_dlq" and record.fields
    }
    found = [letters[tasks[one.id]] for one in poison]
    assert [(one["reason"], one["attempts"]) for one in found] == [("handler_failed", 3)] * 3
    of_others = [
        letter
        for letter in letters.values()
        if run in str(letter.get("conversation_id")) and letter not in found
    ]
    assert of_others == []
    tell(report, seed=seed, starts=[stand.handled()[tasks[one.id]] for one in poison])


def test_f20_rebalance_one_four_one(stand: Stand, seed: int, tell: Tell) -> None:
    """F20: alpha goes from one process to four and back under load: one effect per task."""
    run = stand.name_run("f20", seed)
    started = time.time()
    sender = stand.send(mixed(run, seed, 800), per_second=20)
    more = [stand.start_agent("alpha", str(n)) for n in (1, 2, 3)]
    logs = [stand.settings.home / "logs" / f"extra-alpha-{n}.log" for n in (1, 2, 3)]
    stand.until(
        lambda: all("partitions.assigned" in log.read_text() for log in logs),
        "no group of four",
        120,
    )
    more[0].kill()  # one dies, two leave in order
    for process in more[1:]:
        process.terminate()
    report = stand.settle(sender)

    assert [process.wait(60) for process in more[1:]] == [0, 0]
    tell(
        report,
        seed=seed,
        longest_gap_s=stall_seconds(stand.history.records, run, started),
    )


def test_f23_frozen_agent_is_replaced_and_wakes(stand: Stand, seed: int, tell: Tell) -> None:
    """F23: a frozen agent whose place was taken cannot commit when it wakes: it is fenced and ends."""
    run = stand.name_run("f23", seed)
    frozen = stand.pid("agent alpha")
    sender = stand.send(message(run, n, {"a": n, "do": {"sleep": 0.3}}) for n in range(300))
    # It is frozen in the middle of its work, so that it wakes with something to commit.
    stand.until(lambda: stand.handled_of(run) > 60, "alpha does not work", 60)
    os.kill(frozen, signal.SIGSTOP)
    try:
        replacement = stand.start_agent("alpha", "0")
        log = stand.settings.home / "logs" / "extra-alpha-0.log"
        stand.until(lambda: "partitions.assigned" in log.read_text(), "no replacement", 120)
    finally:
        os.kill(frozen, signal.SIGCONT)
    stand.until(lambda: stand.pid("agent alpha") != frozen, "the zombie lives", 120)
    report = stand.settle(sender)

    assert "agent alpha ended with code 3" in " ".join(stand.events())
    # The supervisor's new process has taken the place again, so the replacement is fenced in its turn.
    assert replacement.wait(60) == 3
    tell(report, seed=seed)
