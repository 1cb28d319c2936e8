"""An agent's process stops without dying: its heartbeats end, the job says so, and its tasks go to somebody else."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition
from tests.faults.fleet import fault_fleet
from tests.faults.load import message
from tests.faults.stand import Stand

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(1200)]

NOTICED_SECONDS = 90.0


def rerouting() -> ActiveSet:
    """The fault fleet, where beta's and gamma's tasks go to the other one when their agent falls silent."""
    active = fault_fleet()
    agents = {
        name: _with(one, on_silence="reroute") if name in {"beta", "gamma"} else one
        for name, one in active.agents.items()
    }
    return ActiveSet.of([Fleet(active.policies["faults"], agents)])


def _with(one: AgentDefinition, **more: Any) -> AgentDefinition:
    return AgentDefinition.model_validate({**one.as_json(), **more})


def test_a_frozen_agents_tasks_are_rerouted_and_it_recovers(
    stand: Stand, seed: int, tell: Callable[..., None]
) -> None:
    """SIGSTOP: `agent.lifecycle.failed`, no task waits for beta, each is done once; SIGCONT: `recovered`, late answers are `late`."""
    run = stand.name_run("silence", seed)
    stand.apply(rerouting())
    stand.signal("agent beta", signal.SIGSTOP)
    try:
        outgoing = [message(run, number, {"b": number}) for number in range(40)]
        sender = stand.send(outgoing)
        stand.until(lambda: _said(stand, "failed"), "no event of the failure", NOTICED_SECONDS)
        stand.until(
            lambda: len(_ended(stand, run)) == len(outgoing), "a task waits", NOTICED_SECONDS
        )
    finally:
        stand.signal("agent beta", signal.SIGCONT)
    stand.until(lambda: _said(stand, "recovered"), "no event of the recovery", NOTICED_SECONDS)
    report = stand.settle(sender)
    stand.apply(fault_fleet())

    assert {record["status"] for record in _ended(stand, run)} == {"completed"}
    assert {record["last_agent"] for record in _ended(stand, run)} == {"gamma"}
    tell(report, seed=seed, late=report.reasons["late"])


def _said(stand: Stand, kind: str) -> bool:
    return any(
        found.get("type") == f"agent.lifecycle.{kind}" and found["data"]["agent"] == "beta"
        for found in _values(stand, "agent_messages")
    )


def _ended(stand: Stand, run: str) -> list[dict[str, Any]]:
    return [one for one in _values(stand, "agent_outcomes") if run in one["conversation_id"]]


def _values(stand: Stand, topic: str) -> list[dict[str, Any]]:
    stand.history.read_if_possible()
    return [
        record.fields
        for record in stand.history.records
        if record.topic == topic and record.fields is not None
    ]
