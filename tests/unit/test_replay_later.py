"""What-if replay where one message has decisions of several moments: further ones are facts, not differences."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from tests.support.fleets import agent, message
from tests.support.recorded_run import RecordedRun
from tests.support.replays import replayed
from tests.support.workflow_world import NAMES, step, workflow

APPROVE = {"reason": "pay?", "deadline_seconds": 60}
STAFF = {name: agent(name, [], closed=False) for name in NAMES}
POLICY = FleetPolicy.model_validate({"name": "test", "review": {}})


def working(*steps: dict[str, Any]) -> ActiveSet:
    """Agents who take anything, and one workflow of `steps`."""
    return ActiveSet.of([Fleet(POLICY, STAFF, {"work": workflow(*steps)})])


def through(active: ActiveSet, **edited: Any) -> RecordedRun:
    """A run of the workflow in which every task is answered and every approval given (with `edited`), until it ends."""
    run = RecordedRun(active)
    run.send(message("m-1", {"n": 1}, type="work.asked"))
    while not run.world.outcomes:
        run.wait(500)
        if run.tasks:
            run.answers(run.tasks.popitem()[1], {"accepted": True})
        else:
            token = run.world.reviews[-1].token
            given = {"token": token, "decision": "approve", "resolved_by": "ada", **edited}
            run.send(message(f"yes-{run.now_ms}", given, type="review.resolved"))
    assert run.world.outcomes[-1].status == "completed"
    return run


@pytest.mark.parametrize("at", ["a", "b"])
def test_replay_of_a_workflow_with_edited_input_is_an_empty_diff(at: str) -> None:
    """An approval on other data, of the first step or a later one, is as it was."""
    steps = [step("a"), step("b", "a", by="bob")]
    active = working(*({**one, "approve": APPROVE} if one["id"] == at else one for one in steps))
    report = replayed(through(active, data={"n": 9}).broker, active)

    assert (report["conversations"], report["changed"], report["unknown"]) == ([], 0, 0)
    assert report["same"] >= 1


@pytest.mark.parametrize(
    "steps",
    [
        [step("a"), step("b", "a", by="bob")],
        [step("a"), step("b", by="bob"), step("c", "a", "b", by="cyd")],
        [step("a", approve=APPROVE), step("b", "a", by="bob")],
        [step("a"), step("b", "a", by="bob", approve=APPROVE)],
        [step("a", retries=1), step("b", "a", validate_by={"agent": "judge"})],
    ],
    ids=["in order", "in parallel", "approved first", "approved later", "judged"],
)
def test_replay_of_a_workflow_by_the_same_definitions_is_an_empty_diff(
    steps: list[dict[str, Any]],
) -> None:
    """One message is compared, by its first steps or its first approval; the steps that answers led to are counted."""
    active = working(*steps)
    run = through(active)

    report = replayed(run.broker, active)

    assert (report["total"], report["same"], report["conversations"]) == (1, 1, [])
    begun = run.world.decisions[0].decided_at
    later = [one for one in run.world.decisions if one.decided_at > begun]
    assert report["skipped"]["decided later"] >= len(later) > 0


def test_replay_tells_a_workflow_that_begins_with_another_agent() -> None:
    """The first step differs: both agents are named, the later steps are not."""
    run = through(working(step("a"), step("b", "a", by="bob")))

    report = replayed(run.broker, working(step("a", by="cyd"), step("b", "a", by="bob")))

    (entry,) = report["conversations"][0]["messages"]
    assert (entry["before"]["agent"], entry["after"]["agent"]) == ("ann", "cyd")


def test_replay_of_a_task_given_to_a_second_agent_is_an_empty_diff() -> None:
    """Its first agent fell silent, which is a fact: only the first decision is compared."""
    pair = {one: agent(one, ["x"], on_silence="reroute") for one in ("first", "second")}
    active = ActiveSet.of([Fleet(POLICY, pair)])
    run = RecordedRun(active)
    run.send(message("m-1", {"x": 1}))
    run.model_says("c-1", "first")
    run.wait(500)
    run.world.notice_failure("first")
    run.wait(1)

    report = replayed(run.broker, active)

    assert [one.agent for one in run.world.decisions] == ["first", "second"]
    assert (report["total"], report["same"]) == (1, 1)
    assert report["skipped"]["decided later"] == 1
