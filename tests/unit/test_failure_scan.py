"""How a failure reaches the conversations that wait for the agent: by broadcast, in portions, again after a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flink_jobs.operators.failure_scan import PORTION, FailureScan
from signalbox.contracts.liveness import LIVENESS_KEY, failed_json
from tests.support.fleets import agent, message, reply, rulebook
from tests.support.operator_world import OperatorWorld
from tests.unit.test_registry_activation import FIRST, FakeParts, records_of, taken

CONTRACT_FIRST = {"policy": "contract_first"}


def world_of(**more: Any) -> OperatorWorld:
    """An agent whose tasks another one accepts as well, once the data says so."""
    return OperatorWorld(
        rulebook(agent("first", ["x"], **more), agent("second", ["x"]), policy=CONTRACT_FIRST)
    )


def fail(world: OperatorWorld, *agents: str) -> None:
    world.rulebook = replace(world.rulebook, failed=dict.fromkeys(agents, world.now_ms))


def give(world: OperatorWorld, conversation: str) -> None:
    """A conversation whose task the first agent has."""
    world.send(message(f"m-{conversation}", {"x": 1}, conversation=conversation))
    world.calls.choose(conversation, "first")
    world.pulse(conversation)


def test_an_open_task_of_a_failed_agent_is_written_to_another_at_the_next_pulse() -> None:
    """The shard learns of it when it is touched; the task, a new one, is in the other agent's topic; what was kept is gone."""
    world = world_of(on_silence="reroute")
    give(world, "c-1")
    assert len(world.results.everything()) == 1
    fail(world, "first")
    world.pulse("c-1")

    (task,) = world.records("agent_tasks_second")
    assert task["data"] == {"x": 1}
    assert world.results.everything() == {}
    assert world.counts.count("signalbox.tasks_taken_back") == 1


def test_a_restart_between_failure_and_scan_loses_nothing_and_does_nothing_twice() -> None:
    """Memory is gone, the broadcast says it again: what is still open is taken back, what was is left alone."""
    world = world_of(on_silence="reroute")
    give(world, "c-1")
    fail(world, "first")
    world.restart()
    world.pulse("c-1")
    world.restart()
    world.pulse("c-1")

    assert len(world.records("agent_tasks_second")) == 1


def test_many_conversations_are_told_in_portions_not_at_once() -> None:
    """A touch looks at a bounded number, and the following ones at the rest."""
    scan, book = FailureScan(), rulebook(agent("first", ["x"], on_silence="reroute"))
    names = [f"c-{number}" for number in range(PORTION * 2 + 3)]
    book = replace(book, failed={"first": 1})
    portions = [scan.portion(book, lambda: list(names)) for _ in range(5)]

    assert [len(found) for _, found in portions] == [PORTION, PORTION, 3, 0, 0]
    assert {name for _, found in portions for name in found} == set(names)
    assert all(agents == {"first"} for agents, found in portions if found)


def test_a_second_failure_during_a_scan_is_not_missed() -> None:
    """Conversations that were passed already are asked about the other agent as well."""
    both = [agent(name, ["x"], on_silence="reroute") for name in ("first", "second")]
    scan, book = FailureScan(), rulebook(*both)
    names = [f"c-{number}" for number in range(PORTION + 1)]
    scan.portion(replace(book, failed={"first": 1}), lambda: list(names))
    later = replace(book, failed={"first": 1, "second": 2})
    asked = [scan.portion(later, lambda: list(names)) for _ in range(2)]

    told = {(one, name) for agents, found in asked for one in agents for name in found}
    assert {("second", name) for name in names} <= told


def test_no_policy_no_scan() -> None:
    """Agents whose tasks wait cost no look at any conversation; neither does a rulebook that stays as it is."""
    world = world_of()
    give(world, "c-1")
    fail(world, "first")
    reads = world.conversations.reads
    world.pulse("c-1")

    assert world.records("agent_tasks_second") == []
    assert world.conversations.reads == reads


def test_a_failed_agents_answer_after_the_task_was_taken_back_is_late() -> None:
    """It worked after all: a dead letter, never history."""
    world = world_of(on_silence="reroute")
    give(world, "c-1")
    (given,) = world.records("agent_tasks_first")
    fail(world, "first")
    world.pulse("c-1")
    from signalbox.contracts.envelope import Envelope

    world.send(reply(Envelope.model_validate(given), {"done": 1}))

    assert [one["reason"] for one in world.records("agent_messages_dlq")] == ["late"]


def test_the_broadcast_says_who_failed_and_survives_a_restore() -> None:
    """It lies in broadcast state beside the definitions; what is none is ignored."""
    parts = FakeParts()
    definitions = taken(records_of(FIRST), parts)
    definitions.take(LIVENESS_KEY, failed_json({"alpha": 7}), parts)
    definitions.take(LIVENESS_KEY, b"[1]", parts)
    definitions.take(LIVENESS_KEY, b"{", parts)
    assert definitions.rulebook.failed == {"alpha": 7}

    restored = taken([], parts)
    restored.restore(parts)
    assert restored.rulebook.failed == {"alpha": 7}
    assert restored.rulebook.current is not None
    restored.take(LIVENESS_KEY, failed_json({}), parts)
    assert restored.rulebook.failed == {}
