"""A message whose question to the model is open when definitions change ends under the version that admitted it."""

from __future__ import annotations

import json

import pytest

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.decision import NONE
from signalbox.routing.rules import KEPT_VERSIONS, Rules
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, rulebook
from tests.support.operator_world import OperatorWorld

LEFT, RIGHT = agent("left", ["x"]), agent("right", ["x"])
FIRST = rulebook(LEFT, RIGHT)


def says(name: str) -> ChatAnswer:
    text = json.dumps({"agent": name, "reason": "because", "confidence": 0.9})
    return ChatAnswer(text=text, model="stub")


def rules_of(*agents, **more) -> Rules:
    current = rulebook(*agents, **more).current
    assert current is not None
    return current


FIRST_DIGEST = rules_of(LEFT, RIGHT).digest
MIDDLE = agent("middle", ["x"])
SECOND = rules_of(LEFT, RIGHT, MIDDLE)


@pytest.fixture
def asked() -> Simulation:
    """One question is open under the first version; then the second is active, in which a third agent takes the data."""
    world = Simulation(FIRST)
    world.send(message("m-1", {"x": 1}))
    world.activate(world.rulebook.activate(SECOND))
    return world


def test_answer_after_a_change_is_decided_recorded_and_dispatched_by_the_version_that_asked(
    asked: Simulation,
) -> None:
    """Candidates, digest and the task's `definitions` are the old ones; the same question is not asked twice."""
    asked.answer("c-1", says("right"))

    (decision,), (dispatch,) = asked.decisions, asked.dispatches
    assert (decision.agent, decision.definitions_digest) == ("right", FIRST_DIGEST)
    assert {one.agent for one in decision.candidates} == {"left", "right"}
    assert dispatch.task.definitions == FIRST_DIGEST
    assert not asked.questions


def test_message_that_waits_behind_the_open_question_is_decided_by_the_new_version(
    asked: Simulation,
) -> None:
    """Its turn comes after the change; the one before it keeps its own version."""
    asked.send(message("m-2", {"x": 2}))
    asked.answer("c-1", says("left"))
    asked.answer("c-1", says("middle"))

    assert [one.definitions_digest for one in asked.decisions] == [FIRST_DIGEST, SECOND.digest]
    assert [one.task.definitions for one in asked.dispatches] == [FIRST_DIGEST, SECOND.digest]
    assert asked.dispatches[1].agent == "middle"


def test_agent_that_the_change_brought_is_no_answer_to_the_old_question(asked: Simulation) -> None:
    """A name that was not asked of is repaired, still among the old candidates."""
    asked.answer("c-1", says("middle"))

    enum = asked.questions["c-1"].request.schema["properties"]["agent"]["enum"]
    assert enum == ["left", "right", NONE]
    asked.answer("c-1", says("left"))
    assert [one.definitions_digest for one in asked.decisions] == [FIRST_DIGEST]


def test_call_that_fails_or_is_lost_after_a_change_is_asked_again_as_it_was() -> None:
    """A retry and a restart put the very same question, so that record and cache fit the version it began under."""
    world = Simulation(FIRST)
    world.send(message("m-1", {"x": 1}))
    before = world.questions["c-1"].request
    world.activate(world.rulebook.activate(SECOND))

    world.fail("c-1")
    assert world.questions["c-1"].request == before
    world.restart()
    assert world.questions["c-1"].request == before

    world.answer("c-1", says("left"))
    assert [one.definitions_digest for one in world.decisions] == [FIRST_DIGEST]


def test_none_after_a_change_is_recorded_under_the_version_that_asked(asked: Simulation) -> None:
    """Nobody of the old candidates stays nobody: the new agent is not tried behind the model's back."""
    asked.answer("c-1", says(NONE))

    assert [(one.agent, one.definitions_digest) for one in asked.decisions] == [
        (NONE, FIRST_DIGEST)
    ]
    assert [one.status for one in asked.outcomes] == ["none"]


def test_version_that_is_kept_no_longer_leaves_the_message_to_the_current_one(
    asked: Simulation,
) -> None:
    """After more changes than versions are kept the question is put anew; the message is neither lost nor half decided."""
    for number in range(KEPT_VERSIONS - 1):
        more = rules_of(LEFT, RIGHT, agent(f"extra_{number}", ["y"]))
        asked.activate(asked.rulebook.activate(more))
    current = asked.rulebook.current
    assert current is not None

    asked.answer("c-1", says("left"))
    assert not asked.decisions
    asked.answer("c-1", says("right"))

    assert [(one.agent, one.definitions_digest) for one in asked.decisions] == [
        ("right", current.digest)
    ]


def test_operator_finishes_an_open_call_under_its_version_also_after_a_restart() -> None:
    """The same through the operator's own state: the digest of the open question outlives memory and calls."""
    world = OperatorWorld(FIRST)
    world.send(message("m-1", {"x": 1}))
    world.rulebook = world.rulebook.activate(SECOND)
    world.restart()
    world.pulse("c-1")
    world.calls.choose("c-1", "left")
    world.pulse("c-1")

    (decision,) = world.records("agent_decisions")
    (task,) = world.records("agent_tasks_left")
    assert decision["definitions_digest"] == task["definitions"] == FIRST_DIGEST
    assert {one["agent"] for one in decision["candidates"]} == {"left", "right"}
