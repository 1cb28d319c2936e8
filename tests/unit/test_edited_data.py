"""A person who answers a question with other data: what the agent is given, for how long, and what is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.envelope import TASK_ESCALATED
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, reply, rulebook
from tests.support.workflow_world import NAMES, Work, rules_with, step, workflow

WRITER = agent("writer", ["brief"])
EDITOR = agent("editor", ["text"])
ASKS = {"review": {"on_none": True}}
APPROVE = {"reason": "do it?", "deadline_seconds": 7200}


def parked(*agents: Any, **more: Any) -> Simulation:
    """A message `m-1` that nobody accepts, parked."""
    world = Simulation(rulebook(*(agents or (WRITER, EDITOR)), policy=ASKS))
    world.send(message("m-1", {"text of it": "a typo"}, **more))
    assert len(world.reviews) == 1
    return world


def resolve(world: Simulation, number: int = 2, **data: Any) -> None:
    """Let a person answer the question about `m-1`."""
    said = {"message_id": "m-1", "resolved_by": "ada", **data}
    world.send(message(f"m-{number}", said, type="review.resolved"))


class TestMessages:
    def test_agent_is_given_the_edited_data_and_the_record_says_where_it_is(self):
        """The task has what the person made of it; the decision names the person and the message that brought it."""
        world = parked()
        resolve(world, agent="writer", data={"brief": "mended"}, comment="a typo")

        assert [one.task.data for one in world.dispatches] == [{"brief": "mended"}]
        (decision,) = world.decisions
        assert decision.reason == "ada decided on edited data: a typo"
        assert (decision.path, decision.message_id, decision.data_from) == ("human", "m-1", "m-2")
        assert decision.candidates[0].accepted
        assert not world.pending

    def test_decision_on_the_data_as_it_came_names_no_edit(self):
        """Without `data` the record is as it always was."""
        world = Simulation(rulebook(WRITER, policy={"review": {"on_none": True}}))
        world.send(message("m-1", {"other": 1}))
        resolve(world, agent="NONE")

        assert [one.data_from for one in world.decisions] == [None]
        assert b"data_from" not in world.decisions[0].to_json()

    def test_edited_data_is_held_to_the_agents_contract_and_the_question_stays(self):
        """What the agent could not use is asked about again: the message as it came, with what is wrong with the edit."""
        world = parked()
        resolve(world, agent="writer", data={"text": "t"})

        assert not world.dispatches
        _, again = world.reviews
        assert again.message.data == {"text of it": "a typo"}
        assert "writer does not accept the edited data (" in again.reason
        assert "brief" in again.reason
        resolve(world, 3, agent="writer", data={"brief": "mended"})
        assert [one.task.data for one in world.dispatches] == [{"brief": "mended"}]

    @pytest.mark.parametrize(
        ("answer", "told"),
        [
            ({"agent": "writer", "data": "brief"}, "data.data is str"),
            ({"agent": "writer", "data": None}, "data.data is NoneType"),
            ({"agent": "NONE", "data": {"brief": "b"}}, "the answer gives it to nobody"),
        ],
    )
    def test_edit_that_cannot_be_is_a_dead_letter_and_the_question_stays(self, answer, told):
        """It says what is wrong and that nothing was decided; a proper answer still counts."""
        world = parked()
        resolve(world, **answer)

        (dead,) = world.dead_letters
        assert dead.reason == "invalid_envelope"
        assert told in dead.detail
        assert "it is still open" in dead.detail
        assert not world.decisions
        resolve(world, 3, agent="writer", data={"brief": "mended"})
        assert len(world.dispatches) == 1

    def test_task_that_an_agent_handed_back_can_be_edited(self):
        """An escalation is about the task's data, and the edit takes its place."""
        world = Simulation(rulebook(WRITER, EDITOR))
        world.send(message("m-1", {"brief": "b"}, target="writer"))
        task = world.dispatches[0].task
        asks = {"reason": "unsure", "data": task.data}
        world.send(reply(task, asks, kind=TASK_ESCALATED))
        asked = world.reviews[0].message.id
        resolve(world, message_id=asked, agent="editor", data={"text": "t"})

        assert [one.agent for one in world.dispatches] == ["writer", "editor"]
        assert world.dispatches[-1].task.data == {"text": "t"}

    def test_subscriber_that_has_the_message_is_given_the_edit_all_the_same(self):
        """It heard the message as it came; what a person made of it is something else."""
        hears = {"filters": [{"event_type": "lead.*"}], "role": "candidate"}
        twins = (agent("left", ["x"], subscribe=hears), agent("right", ["x"]))
        world = Simulation(rulebook(*twins, policy={"review": {"below_confidence": 0.5}}))
        world.send(message("m-1", {"x": 1}))
        unsure = '{"agent": "right", "reason": "r", "confidence": 0.1}'
        world.answer("c-1", ChatAnswer(text=unsure, model="stub"))
        assert [one.agent for one in world.dispatches] == ["left"]
        resolve(world, agent="left", data={"x": 2})

        assert [one.task.data for one in world.dispatches] == [{"x": 1}, {"x": 2}]

    def test_edit_leaves_nothing_behind_in_state(self):
        """It is carried out in the turn that takes it: no blob has it, whatever its size."""
        world = parked()
        resolve(world, agent="writer", data={"brief": "x" * 10_000})

        assert len(world.blobs["c-1"]) < 1_000


class TestSteps:
    def test_step_is_given_the_edited_input(self):
        """The mapping's input is replaced; both records of the step say where the data is."""
        work = Work(step("a", approve=APPROVE, input={"pay": "{{ data.n }}"}))
        work.start()
        work.decide("approve", data={"pay": 2}, comment="half")

        assert work.task().data == {"pay": 2}
        human, given = work.world.decisions
        assert human.reason == "ada approved step a on edited data: half"
        assert (human.slot, given.slot) == ("approve:a", "step:a")
        assert human.data_from is not None
        assert human.data_from == given.data_from

    def test_edited_input_holds_for_every_attempt(self):
        """A retry is given what the person agreed to, though state was written and read between."""
        work = Work(step("a", approve=APPROVE, retries=1))
        work.start()
        work.decide("approve", data={"n": 9})
        work.fail()

        assert [one.task.data for one in work.world.dispatches] == [{"n": 9}, {"n": 9}]

    def test_judge_sees_the_edited_input_as_the_task(self):
        """Who judges the result is told what the agent was really given."""
        judged = {"agent": "judge", "rounds": 1}
        work = Work(step("a", approve=APPROVE, validate_by=judged))
        work.start()
        work.decide("approve", data={"n": 9})
        work.answer({"done": True})

        assert work.task().target == "judge"
        assert work.task().data["task"] == {"n": 9}

    def test_later_step_is_filled_in_from_the_message_as_it_came(self):
        """An edit is of one step: what others take from the start is untouched."""
        work = Work(step("a", approve=APPROVE), step("b", "a", by="bob"))
        work.start({"n": 1})
        work.decide("approve", data={"n": 9})
        work.answer()

        assert work.task().data == {"n": 1}

    def test_edit_that_the_agent_does_not_accept_leaves_the_approval_open(self):
        """It is refused here, where it can be mended, instead of failing the step."""
        strict = (agent("ann", ["n"]), *(agent(one, [], closed=False) for one in NAMES[1:]))
        work = Work(book=rules_with(workflow(step("a", approve=APPROVE)), agents=strict))
        work.start()
        work.decide("approve", data={"m": 9})

        (dead,) = work.world.dead_letters
        assert dead.reason == "invalid_envelope"
        assert "ann does not accept the edited data: " in dead.detail
        assert "the approval is still open" in dead.detail
        assert work.run.step("a").status == "waiting_approval"
        work.decide("approve", data={"n": 9})
        assert work.task().data == {"n": 9}

    @pytest.mark.parametrize(
        ("verb", "data", "told"),
        [("reject", {"n": 9}, "gives it to nobody"), ("approve", [9], "data.data is list")],
    )
    def test_edit_that_cannot_be_leaves_the_approval_open(self, verb, data, told):
        """A rejection gives the data to nobody, and a list is no input."""
        work = Work(step("a", approve=APPROVE))
        work.start()
        work.decide(verb, data=data)

        assert told in work.world.dead_letters[0].detail
        work.decide("approve")
        assert work.task().data == {"n": 1}

    def test_second_edit_takes_the_place_of_the_first(self):
        """An agent that asks for a person is given what that person makes of it; nothing is kept twice."""
        work = Work(step("a", approve=APPROVE))
        work.start()
        work.decide("approve", data={"n": 2})
        asks = {"reason": "sure?", "data": {"n": 2}}
        work.answer(asks, kind=TASK_ESCALATED)
        work.decide("approve", data={"n": 3})

        assert work.task().data == {"n": 3}
        assert len(work.world.results) == 2  # what started it, and the edit
        work.answer()
        assert [one.status for one in work.world.outcomes] == ["completed"]
        assert not work.world.results

    def test_state_of_version_4_goes_on(self):
        """A savepoint from before data could be edited is read, and its approval is answered as before."""
        work = Work(step("a", approve=APPROVE))
        work.start()
        head, _, seen = work.world.blobs["c-1"].partition(b"\n")
        assert b"edited" not in head
        old = orjson.dumps({**orjson.loads(head), "v": 4})
        work.world.blobs["c-1"] = b"\n".join((old, seen))
        work.decide("approve", data={"n": 9})

        assert work.task().data == {"n": 9}
