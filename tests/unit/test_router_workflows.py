"""Workflows in the operator's router: what keyed state holds of a run, what is read of it, and what a restart changes."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.contracts.envelope import Envelope
from signalbox.routing import ticks as t
from signalbox.routing.reduce import reduce
from signalbox.routing.state import Conversation
from tests.support.fleets import message, reply
from tests.support.operator_world import TTL_MS, OperatorWorld
from tests.support.plans import book_of, planning, task
from tests.support.workflow_world import rules_with, step, workflow

CHAIN = rules_with(
    workflow(
        step("a", undo=True),
        step("b", "a", by="bob", timeout_seconds=20, retries=1, input={"x": "{{ steps.a.x }}"}),
        result={"x": "{{ steps.b.x }}"},
    )
)


def _asked(number: int = 1, conversation: str = "c-1") -> Envelope:
    return message(f"m-{number}", {"n": 1}, conversation=conversation, type="work.asked")


def _task(world: OperatorWorld, agent: str, number: int = -1) -> Envelope:
    rows = [row.value for row in world.rows if row.topic == f"test.agent_tasks_{agent}"]
    task: Envelope = Envelope.from_json(rows[number])
    return task


def _answer(world: OperatorWorld, agent: str, data: dict[str, Any], **more: Any) -> None:
    world.send(reply(_task(world, agent), data, **more))


def test_router_workflow_writes_tasks_and_an_outcome_and_forgets_the_results() -> None:
    """From start to outcome through keyed state alone: each result is written once, read when it is needed, and dropped."""
    world = OperatorWorld(CHAIN)
    world.send(_asked())
    assert sorted(world.results.everything()) == ["0:c-1"]
    _answer(world, "ann", {"x": 5})
    assert _task(world, "bob").data == {"x": 5}
    assert world.pending.everything() == {}
    _answer(world, "bob", {"x": 6})

    (outcome,) = world.records("agent_outcomes")
    assert (outcome["status"], outcome["result"]) == ("completed", {"x": 6})
    assert world.results.everything() == {}
    assert world.deadlines.everything() == {}


def test_router_workflow_goes_on_after_a_restart_between_any_two_messages() -> None:
    """Memory is lost before every message: tasks, results and retries are what they would have been."""
    world = OperatorWorld(CHAIN)
    world.send(_asked())
    world.restart()
    _answer(world, "ann", {"x": 5})
    world.restart()
    world.now_ms += 21_000
    world.pulse("c-1")
    assert world.records("agent_decisions")[-1]["slot"] == "step:b:2"
    world.restart()
    _answer(world, "bob", {"x": 6})

    assert [one["status"] for one in world.records("agent_outcomes")] == ["completed"]
    assert len(world.records("agent_tasks_ann")) == 1


def test_router_workflow_message_again_after_a_restart_changes_nothing() -> None:
    """At least once: the start and the answer come a second time, and nothing is given out twice."""
    world = OperatorWorld(CHAIN)
    for _ in range(2):
        world.send(_asked())
        world.restart()
    answer = reply(_task(world, "ann"), {"x": 5})
    for _ in range(2):
        world.send(answer)
        world.restart()

    assert len(world.records("agent_tasks_ann")) == 1
    assert len(world.records("agent_tasks_bob")) == 1


def test_router_workflow_compensation_waits_through_a_restart() -> None:
    """The next attempt at a compensation is due at its time also when the process that set it is gone."""
    world = OperatorWorld(CHAIN)
    world.send(_asked())
    _answer(world, "ann", {"x": 5})
    _answer(world, "bob", {"detail": "no"}, kind="task.failed")
    _answer(world, "bob", {"detail": "no"}, kind="task.failed")
    _answer(world, "undo", {"detail": "not now"}, kind="task.failed")
    world.restart()
    world.now_ms += 2_000
    world.pulse("c-1")
    assert world.records("agent_decisions")[-1]["slot"] == "compensate:a:2"
    _answer(world, "undo", {"ok": 1})

    assert [one["status"] for one in world.records("agent_outcomes")] == ["compensated"]


def test_router_workflow_whose_result_is_not_in_state_fails_and_says_so() -> None:
    """State that was lost ends the run with a reason; nobody is given made-up data."""
    world = OperatorWorld(CHAIN)
    world.send(_asked())
    world.results.shards.clear()
    _answer(world, "ann", {"x": 5})

    (outcome,) = world.records("agent_outcomes")
    assert outcome["status"] == "failed"
    assert "not in state" in outcome["detail"]
    assert world.records("agent_tasks_bob") == []


@pytest.mark.parametrize("is_twice", [False, True])
def test_router_crash_while_a_workflow_goes_on_costs_the_run_and_not_the_job(
    is_twice: bool,
) -> None:
    """A mistake of ours ends the run: with an outcome where the reducer can say so, and in any case without a loop."""

    def crashing(state: Conversation, tick: t.Tick, now_ms: int, rules: Any) -> Any:
        if isinstance(tick, t.Recalled) or (is_twice and isinstance(tick, t.WorkflowCrashed)):
            raise RuntimeError("a bug")
        return reduce(state, tick, now_ms, rules)

    world = OperatorWorld(CHAIN, reduce=crashing)
    world.send(_asked())
    _answer(world, "ann", {"x": 5})
    assert world.results.everything() == {}
    world.now_ms += 4_000_000
    world.pulse("c-1")

    (outcome,) = world.records("agent_outcomes")
    assert outcome["status"] == ("expired" if is_twice else "failed")
    assert "a bug" in outcome["detail"]


def test_router_messages_without_a_workflow_cost_what_they_did() -> None:
    """The map of results is not touched where no workflow runs."""
    world = OperatorWorld(CHAIN)
    world.send(message("m-1", {"z": 1}, target="ann"))

    assert (world.results.reads, world.results.writes) == (0, 0)


def test_router_approval_that_waits_longer_than_state_is_kept_is_still_there() -> None:
    """A person may take three times as long as a silent conversation is remembered: what waits is written anew in time."""
    approve = {"reason": "may it?", "deadline_seconds": 3 * TTL_MS / 1000}
    world = OperatorWorld(rules_with(workflow(step("a", approve=approve))))
    world.send(_asked())
    for _ in range(20):
        world.now_ms += TTL_MS // 8
        world.pulse("c-1")
        world.router.forget_expired(world.now_ms)
    (review,) = world.records("agent_review")
    decision = {"token": review["token"], "decision": "approve"}
    world.send(message("m-2", decision, type="review.resolved"))

    assert len(world.records("agent_tasks_ann")) == 1


def test_router_workflow_that_plans_goes_on_after_a_restart_between_any_two_messages() -> None:
    """Plan, tasks and synthesis through keyed state alone: memory is lost before every message, the tasks are none twice."""
    world = OperatorWorld(book_of(planning()))
    world.send(_asked())
    world.restart()
    _answer(world, "planner", {"tasks": [task("a"), task("b", "a", by="bob")]})
    world.restart()
    _answer(world, "ann", {"x": 1})
    assert _task(world, "bob").data == {"n": 1, "task": "Do b.", "results": {"a": {"x": 1}}}
    world.restart()
    _answer(world, "bob", {"x": 2})
    world.restart()
    _answer(world, "syn", {"text": "both"})

    (outcome,) = world.records("agent_outcomes")
    assert (outcome["status"], outcome["result"]) == ("completed", {"answer": "both"})
    assert [len(world.records(f"agent_tasks_{name}")) for name in ("ann", "bob", "syn")] == [
        1,
        1,
        1,
    ]
    assert world.results.everything() == {}
