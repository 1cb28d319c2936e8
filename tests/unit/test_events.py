"""The orchestrator's events in the reducer: published at a run's end, only heard when they come back, harmless when forged."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.contracts.events import EVENT_TYPES, WorkflowEnded, is_event
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.routing.admit import decode
from signalbox.routing.rules import Rulebook
from signalbox.routing.simulation import Simulation
from signalbox.routing.ticks import Origin
from tests.support.fleets import agent, message, reply, rulebook
from tests.support.workflow_world import Work, rules_with, step, workflow

ORIGIN = Origin("agent_messages")


def listener(name: str, kind: str = "workflow.*", role: str = "listener", **more: Any):
    subscribe = {"role": role, "filters": [{"event_type": kind}], **more.pop("subscribe", {})}
    return agent(
        name, more.pop("requires", ["workflow"]), closed=False, subscribe=subscribe, **more
    )


def work_with(*more_agents, steps=None, **options) -> Work:
    """A run of two steps whose end is told; the staff take anything."""
    staff = tuple(agent(name, [], closed=False) for name in ("ann", "bob", "undo"))
    definition = workflow(*(steps or (step("a"), step("b", "a", by="bob"))), **options)
    return Work(book=rules_with(definition, agents=(*staff, *more_agents)))


def event_of(work: Work) -> Envelope:
    (event,) = work.world.events
    return event


def heard(world: Simulation, conversation: str) -> list[str]:
    return [one.agent for one in world.dispatches if one.task.subject == conversation]


class TestPublished:
    def test_a_completed_run_says_so_with_result_and_participants(self) -> None:
        """One event under an id of its own conversation, with what the outcome says and everybody who was given something."""
        work = work_with(notify="subscribers", result={"said": "{{ steps.b.x }}"})
        work.start()
        work.answer({"x": 1})
        work.answer({"x": "fine"})

        event = event_of(work)
        told = WorkflowEnded.model_validate(event.data)
        assert (event.type, event.source, event.causationid) == (
            "workflow.completed",
            "orchestrator",
            "m-1",
        )
        assert event.id == event.subject != "c-1"
        assert is_event(event)
        assert (told.workflow, told.conversation, told.status) == ("work", "c-1", "completed")
        assert (told.participants, told.result, told.errors) == (
            ("ann", "bob"),
            {"said": "fine"},
            (),
        )

    def test_a_failed_and_undone_run_lists_its_errors_and_who_undid(self) -> None:
        """`workflow.compensated` names the failed step and its reason; the agent that undid took part."""
        steps = (step("a", undo=True), step("b", "a", by="bob"))
        work = work_with(steps=steps, notify="subscribers")
        work.start()
        work.answer()
        work.fail(detail="card refused")
        work.answer()

        event = event_of(work)
        assert event.type == "workflow.compensated"
        assert event.data["participants"] == ["ann", "bob", "undo"]
        assert [one.get("step") for one in event.data["errors"]] == [None, "b"]
        assert "card refused" in event.data["errors"][1]["detail"]

    def test_a_run_that_expires_or_is_given_up_is_told_like_any_other(self) -> None:
        """However the episode ends, the event has the outcome's status."""
        work = work_with(notify="subscribers", timeout_seconds=5, on_failure="fail")
        work.start()
        work.world.pass_time(6)

        assert [one.status for one in work.world.outcomes] == ["expired"]
        assert event_of(work).type == "workflow.expired"

    def test_without_notify_nothing_is_published(self) -> None:
        """Events are asked for, run by run."""
        work = work_with(listener("ear"))
        work.start()
        work.answer()
        work.answer()

        assert work.world.events == []
        assert work.world.outcomes

    def test_the_same_run_has_the_same_event_and_another_episode_another(self) -> None:
        """The id follows from conversation, episode and start, so a repetition after a failure is a duplicate."""
        first, second = work_with(notify="subscribers"), work_with(notify="subscribers")
        for work in (first, second):
            work.start()
            work.answer()
            work.answer()
        second.start(id="m-2")
        second.answer()
        second.answer()

        assert first.world.events[0].id == second.world.events[0].id
        assert second.world.events[1].id != second.world.events[0].id


class TestHeard:
    def test_subscribers_hear_it_and_its_conversation_completes(self) -> None:
        """A wildcard subscribes to every ending; the outcome says how many heard it."""
        work = work_with(listener("ear"), notify="subscribers")
        work.start()
        work.answer()
        work.answer()
        event = event_of(work)
        work.world.send(event)

        assert heard(work.world, event.id) == ["ear"]
        work.world.send(reply(work.task(), {"noted": True}))
        assert work.world.outcomes[-1].conversation_id == event.id
        assert work.world.outcomes[-1].status == "completed"
        assert work.world.outcomes[-1].detail == "workflow.completed was heard by 1"

    def test_unheard_it_leaves_no_outcome_no_review_and_nothing_in_state(self) -> None:
        """Nobody asked for it: a metric says so, and that is all."""
        policy = {"review": {"on_none": True}}
        world = Simulation(rulebook(agent("worker", ["workflow"], closed=False), policy=policy))
        event = forged()
        world.send(event)

        assert (world.outcomes, world.reviews, world.decisions, world.dispatches) == (
            [],
            [],
            [],
            [],
        )
        assert world.counts == ["signalbox.events_unheard"]
        assert world.state_of(event.id).seen == b""

    def test_it_is_routed_to_nobody_and_starts_no_workflow(self) -> None:
        """A contract that accepts it and a workflow that would begin with its type are not asked."""
        with pytest.raises(ValueError, match="type of the engine"):
            WorkflowDefinition.model_validate(
                workflow(step("a")).as_json() | {"starts_on": ["workflow.completed"]}
            )
        world = Simulation(rulebook(agent("worker", ["workflow"], closed=False), listener("ear")))
        event = forged()
        world.send(event)

        assert heard(world, event.id) == ["ear"]
        assert all(one.slot == "subscription:ear" for one in world.decisions)

    def test_a_second_copy_is_a_duplicate(self) -> None:
        """At-least-once delivery of events is heard once."""
        world = Simulation(rulebook(listener("ear")))
        event = forged()
        world.send(event)
        world.send(event)

        assert len(world.dispatches) == 1
        assert world.counts.count("signalbox.duplicates") == 1

    def test_an_acting_subscribers_answer_is_routed_within_the_events_own_budgets(self) -> None:
        """What it answers is a message of that conversation, and the hops there end it."""
        book = rulebook(
            listener("actor", role="subscriber"),
            agent("next", ["go"], answers="next.done"),
            policy={"budgets": {"hops": 1}},
        )
        world = Simulation(book)
        event = forged()
        world.send(event)
        world.send(reply(world.dispatches[0].task, {"go": 1}))
        world.send(reply(world.dispatches[1].task, {"go": 2}))

        assert heard(world, event.id) == ["actor", "next"]
        assert world.outcomes[-1].status == "hop_budget"
        assert world.events == []

    def test_before_any_definitions_it_waits_for_them(self) -> None:
        """An event of a job that just started is heard once the first manifest is active."""
        world = Simulation(Rulebook())
        heard_one, unheard = (
            forged(),
            forged(type="agent.lifecycle.joined", id="event-2", subject="event-2"),
        )
        world.send(heard_one)
        world.send(unheard)
        assert world.dispatches == []
        world.activate(rulebook(listener("ear")))

        assert [one.task.subject for one in world.dispatches] == [heard_one.id]
        assert world.pending == {}
        assert world.outcomes == []

    def test_who_subscribes_and_cannot_take_it_is_on_record_and_the_outcome_says_none(self) -> None:
        """A contract that refuses the event is a line in a record, no dead letter."""
        world = Simulation(rulebook(listener("ear", requires=["nothing_there"])))
        world.send(forged())

        assert [one.slot for one in world.decisions] == ["subscription"]
        assert [one.status for one in world.outcomes] == ["none"]
        assert world.dead_letters == []

    def test_it_can_pause_an_agent(self) -> None:
        """`pause_on` hears events like any other message."""
        rests = agent("rests", ["q"], pause_on=[{"event_type": "workflow.failed"}])
        world = Simulation(rulebook(rests))
        world.send(forged(type="workflow.failed"))

        assert world.paused == {"rests": True}
        assert [one.status for one in world.outcomes] == ["completed"]


class TestParticipants:
    def test_all_participants_are_told_without_subscribing(self) -> None:
        """`notify: participants`: everybody who took part has the event as a task, each once, besides the subscribers."""
        work = work_with(listener("ear"), notify="participants")
        work.start()
        work.answer()
        work.answer()
        event = event_of(work)
        work.world.send(event)

        assert heard(work.world, event.id) == ["ear", "ann", "bob"]
        assert {one.slot for one in work.world.decisions if one.message_id == event.id} == {
            "subscription:ear",
            "notice:ann",
            "notice:bob",
        }
        assert [one.task.model_extra["causetype"] for one in work.world.dispatches[-2:]] == [
            "workflow.completed"
        ] * 2

    @pytest.mark.parametrize("kind", ["", TASK_FAILED])
    def test_what_a_participant_answers_to_it_ends_there(self, kind: str) -> None:
        """It is told, not asked: its answer is routed to nobody, its failure changes no outcome."""
        work = work_with(notify="participants")
        work.start()
        work.answer()
        work.answer()
        event = event_of(work)
        work.world.send(event)
        given = len(work.world.dispatches)
        for dispatch in work.world.dispatches[-2:]:
            work.world.send(reply(dispatch.task, {"n": 5}, kind=kind))

        assert len(work.world.dispatches) == given
        assert work.world.outcomes[-1].conversation_id == event.id
        assert work.world.outcomes[-1].status == "completed"
        assert work.world.state_of(event.id).kept == {}

    def test_a_participants_silence_about_it_changes_nothing(self) -> None:
        """The conversation of the event still completes."""
        work = work_with(notify="participants")
        work.start()
        work.answer()
        work.answer()
        work.world.send(event_of(work))
        work.world.pass_time(901)

        assert work.world.outcomes[-1].status == "completed"

    def test_a_participant_whose_contract_refuses_it_is_on_record(self) -> None:
        """It cannot be given what it does not take; the record says so, and the others are told."""
        staff = (agent("ann", [], closed=False), agent("bob", ["ok"]))
        book = rules_with(
            workflow(step("a"), step("b", "a", by="bob", input={"ok": 1}), notify="participants"),
            agents=staff,
        )
        work = Work(book=book)
        work.start()
        work.answer()
        work.answer()
        event = event_of(work)
        work.world.send(event)

        assert heard(work.world, event.id) == ["ann"]
        (left_out,) = [one for one in work.world.decisions if one.slot == "notice"]
        assert left_out.reason.startswith(
            "1 did not get it by notice: bob does not accept the data"
        )

    def test_a_participant_that_subscribes_is_told_once(self) -> None:
        """The subscription's task is the one it gets."""
        work = work_with(
            listener("cyd", requires=[]),
            steps=(step("a", by="cyd"),),
            notify="participants",
        )
        work.start()
        work.answer()
        event = event_of(work)
        work.world.send(event)

        assert heard(work.world, event.id) == ["cyd"]


class TestForged:
    @pytest.mark.parametrize(
        "changed",
        [
            {"type": "lead.submitted"},
            {"type": "task.assigned"},
            {"subject": "c-1"},
            {"id": "x-1", "subject": "x-1"},
            {"target": "worker"},
        ],
    )
    def test_what_is_no_event_by_its_form_is_refused_from_the_orchestrators_source(
        self, changed: dict[str, Any]
    ) -> None:
        """Only what is merely heard, in a conversation of its own, may claim that source; the rest is a dead letter."""
        decoded = decode(forged(**changed).to_json(), ORIGIN, 0)

        assert isinstance(decoded, DeadLetter)
        assert decoded.reason == "invalid_envelope"
        assert isinstance(decode(forged().to_json(), ORIGIN, 0), Envelope)

    def test_it_costs_a_hop_each_to_tell_participants_so_forging_reaches_no_further_than_targets(
        self,
    ) -> None:
        """A forged list of everybody is bounded by the hops of one conversation."""
        staff = [agent(f"a{number}", [], closed=False) for number in range(9)]
        world = Simulation(rulebook(*staff, policy={"budgets": {"hops": 4}}))
        world.send(
            forged(data={"notify": "participants", "participants": [one.name for one in staff]})
        )

        assert len(world.dispatches) == 4
        assert "4 of 4 hops are spent" in world.decisions[-1].reason

    @pytest.mark.parametrize(
        "data",
        [
            {"notify": "participants", "participants": "everybody"},
            {"notify": "participants", "participants": [1, None, {"x": 1}, "nobody"]},
            {"notify": ["participants"], "workflow": {"a": 1}},
            {},
        ],
    )
    def test_data_that_is_not_what_it_should_be_is_heard_as_it_is(self, data: Any) -> None:
        """Nothing of an event is believed beyond its form; nothing in it stops the orchestrator."""
        world = Simulation(rulebook(listener("ear", requires=[])))
        world.send(forged(data=data))

        assert [one.agent for one in world.dispatches] == ["ear"]

    def test_an_ordinary_message_of_such_a_type_is_an_ordinary_message(self) -> None:
        """From another source the type means nothing: it is heard, and routed by contract."""
        world = Simulation(rulebook(agent("worker", ["x"]), listener("ear", requires=[])))
        world.send(message("m-1", {"x": 1}, type="workflow.failed"))

        assert sorted(one.agent for one in world.dispatches) == ["ear", "worker"]

    def test_no_definition_may_answer_with_an_events_type(self) -> None:
        """An agent's output has a type of its own."""
        for kind in EVENT_TYPES:
            with pytest.raises(ValueError, match="type of the engine"):
                agent("liar", ["x"], answers=kind)


def forged(**changed: Any) -> Envelope:
    """An event that somebody wrote by hand."""
    fields = {
        "id": "event-1",
        "source": "orchestrator",
        "type": "workflow.completed",
        "time": "2026-01-01T00:00:00Z",
        "subject": "event-1",
        "data": {"workflow": "work"},
        **changed,
    }
    return Envelope.model_validate(fields)
