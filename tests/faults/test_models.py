"""The model hangs, is slow, refuses, talks nonsense, loses its connection; agents talk in circles: every message ends."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psutil
import pytest

from tests.faults.fleet import TAKES
from tests.faults.history import Stored
from tests.faults.load import message, mixed
from tests.faults.stand import Stand

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(1200)]

Tell = Callable[..., None]
UNUSABLE = ("garbage", "wrong_name")
"""Whole answers that choose nobody: one repair, then a person."""
FAILING = ("truncated", "empty", "huge", "reset", "error", "not_json_body")
"""No answer: tried again, then a dead letter."""


@pytest.mark.smoke
def test_f8_model_hangs_for_some(stand: Stand, seed: int, tell: Tell) -> None:
    """F8: calls that hang end as dead letters at their deadline, with their sockets closed; the others go on."""
    run = stand.name_run("f8", seed)
    calm = stand.name_run("f8calm", seed)
    stand.settle(stand.send(mixed(calm, seed, 200)))
    abandoned = stand.stub.stats()["abandoned"]
    hanging = [message(run, 1000 + n, {"b": n, "text": "stub-mode=hang"}) for n in range(10)]
    outgoing = list(mixed(run, seed, 300))
    for n, one in enumerate(hanging):
        outgoing.insert(20 * n, one)
    report = stand.settle(stand.send(outgoing))

    assert _reasons(stand, [one.id for one in hanging]) == ["model_failed"] * len(hanging)
    stats = stand.stub.stats()
    assert stats["in_flight"] == 0
    assert stats["abandoned"] - abandoned >= len(hanging)
    p50, p99 = _latencies_ms(stand.history.records, run, leave_out="stub-mode")
    calm_p50, calm_p99 = _latencies_ms(stand.history.records, calm)
    tell(
        report,
        seed=seed,
        p50_ms=p50,
        p99_ms=p99,
        calm_p50_ms=calm_p50,
        calm_p99_ms=calm_p99,
        sockets_closed=stats["abandoned"] - abandoned,
    )


def test_f9_model_ten_times_slower(stand: Stand, seed: int, tell: Tell) -> None:
    """F9: with an open loop of messages and a slow model, calls in flight stay within their bound and all end."""
    run = stand.name_run("f9", seed)
    rss = [_taskmanager_mib(stand)]
    stand.stub.mode("slow")
    sender = stand.send(mixed(run, seed, 1200, model_share=0.9))
    for share in (0.3, 0.6, 0.9):
        sender.wait_until(share)
        rss.append(_taskmanager_mib(stand))
    most = stand.stub.stats()["max_in_flight"]
    stand.stub.mode("ok")
    report = stand.settle(sender)

    assert most <= stand.settings.model.max_in_flight
    tell(report, seed=seed, max_in_flight=most, taskmanager_rss_mib=[round(one) for one in rss])


def test_f10_model_refuses_and_fails_in_bursts(stand: Stand, seed: int, tell: Tell) -> None:
    """F10: 429 with Retry-After and 500 in bursts: retries stay within their budget, and there is no storm."""
    run = stand.name_run("f10", seed)
    before = stand.stub.stats()
    stand.stub.schedule([(0.5, "rate_limited"), (3.5, "error"), (6.5, "ok")])
    sender = stand.send(mixed(run, seed, 400, model_share=0.8))
    report = stand.settle(sender)

    stats = stand.stub.stats()
    asked = sum(b'"b"' in one.value for one in sender._outgoing)
    calls = stats["calls"] - before["calls"]
    assert calls <= asked * stand.settings.model.max_attempts
    refused = {
        status: count - before["statuses"].get(status, 0)
        for status, count in stats["statuses"].items()
        if status != "200"
    }
    tell(report, seed=seed, questions=asked, calls=calls, refused=refused)


@pytest.mark.smoke
def test_f11_model_talks_nonsense(stand: Stand, seed: int, tell: Tell) -> None:
    """F11: garbage, cut JSON, unknown names, a megabyte, resets: a person is asked or a dead letter says why."""
    run = stand.name_run("f11", seed)
    marked = {
        mode: message(run, 1000 + n, {"b": n, "text": f"stub-mode={mode}"})
        for n, mode in enumerate((*UNUSABLE, *FAILING))
    }
    outgoing = list(mixed(run, seed, 200))
    for n, one in enumerate(marked.values()):
        outgoing.insert(20 * n, one)
    report = stand.settle(stand.send(outgoing))

    ended = {mode: _ending(stand, one.id) for mode, one in marked.items()}
    assert {mode: ended[mode] for mode in UNUSABLE} == dict.fromkeys(UNUSABLE, "review")
    assert {mode: ended[mode] for mode in FAILING} == dict.fromkeys(FAILING, "model_failed")
    written = {r.topic for r in stand.history.records if r.topic.startswith("agent_tasks_")}
    assert written <= {f"agent_tasks_{name}" for name in TAKES}
    tell(report, seed=seed, ended=ended)

    # What was parked is decided by a person and goes on.
    resolved = [
        message(
            run,
            2000 + n,
            {"message_id": marked[mode].id, "agent": "beta", "resolved_by": "a person"},
            conversation=marked[mode].conversation,
            type="review.resolved",
        )
        for n, mode in enumerate(UNUSABLE)
    ]
    sender = stand.send(resolved)
    stand.sent += sender.finish()
    causes = {marked[mode].id for mode in UNUSABLE}
    stand.history.until(
        lambda records: (
            causes
            <= {
                r.fields["causationid"]
                for r in records
                if r.topic == "agent_tasks_beta" and r.fields
            }
        ),
        seconds=60,
        what="the resolved messages were not dispatched",
    )


def test_f21_agents_in_a_circle(stand: Stand, seed: int, tell: Tell) -> None:
    """F21: ping and pong hand each other changed data until the hop budget; an agent that repeats itself is a loop."""
    run = stand.name_run("f21", seed)
    circles = [message(run, n, {"ping": 0, "step": 1}) for n in range(10)]
    selves = [message(run, 100 + n, {"pong": 0, "step": 0, "self": True}) for n in range(10)]
    report = stand.settle(stand.send([*circles, *selves, *mixed(f"{run}x", seed, 100)]))

    assert _outcomes(stand, [one.conversation for one in circles]) == ["hop_budget"] * 10
    assert _outcomes(stand, [one.conversation for one in selves]) == ["loop"] * 10
    tell(report, seed=seed)


def test_link_to_the_model_misbehaves(stand: Stand, seed: int, tell: Tell) -> None:
    """Delay, lost bytes, half-open connections and resets between the operator and the model: every message ends."""
    run = stand.name_run("link", seed)
    sender = stand.send(mixed(run, seed, 500, model_share=0.8))
    for share, fault in ((0.1, "delay"), (0.3, "drop"), (0.5, "half_open"), (0.7, "reset")):
        sender.wait_until(share)
        stand.link.heal()
        stand.link.set(fault, delay_seconds=0.3)  # type: ignore[arg-type]
    sender.wait_until(0.9)
    stand.link.heal()
    report = stand.settle(sender)

    tell(report, seed=seed, connections=stand.link.connections)


def _fields(records: Sequence[Stored], topic: str) -> list[dict[str, Any]]:
    return [record.fields for record in records if record.topic == topic and record.fields]


def _reasons(stand: Stand, ids: list[str]) -> list[str]:
    letters = {one.get("message_id"): one["reason"] for one in _letters(stand)}
    return [letters.get(one, "none") for one in ids]


def _letters(stand: Stand) -> list[dict[str, Any]]:
    return _fields(stand.history.records, "agent_messages_dlq")


def _ending(stand: Stand, message_id: str) -> str:
    if message_id in {
        one["message"]["id"] for one in _fields(stand.history.records, "agent_review")
    }:
        return "review"
    return _reasons(stand, [message_id])[0]


def _outcomes(stand: Stand, conversations: list[str]) -> list[str]:
    found = {
        one["conversation_id"]: one["status"]
        for one in _fields(stand.history.records, "agent_outcomes")
    }
    return [found.get(one, "none yet") for one in conversations]


def _taskmanager_mib(stand: Stand) -> float:
    taskmanager = psutil.Process(stand.pid("taskmanager"))
    everyone = [taskmanager, *taskmanager.children(recursive=True)]
    return sum(one.memory_info().rss for one in everyone) / 2**20


def _latencies_ms(
    records: Sequence[Stored], run: str, leave_out: str = "\0"
) -> tuple[float, float]:
    """p50 and p99 of written → decided, of the run's first messages."""
    written = {}
    for record in records:
        if record.topic == "agent_messages" and record.fields:
            text = (record.value or b"").decode("utf-8", "replace")
            if run in str(record.fields.get("id")) and leave_out not in text:
                written.setdefault(record.fields["id"], record.written_ms)
    found = []
    for one in _fields(records, "agent_decisions"):
        if one["message_id"] in written:
            decided = datetime.fromisoformat(one["decided_at"]).timestamp() * 1000
            found.append(decided - written[one["message_id"]])
    cuts = statistics.quantiles(found, n=100)
    assert json.dumps(cuts)
    return cuts[49], cuts[98]
