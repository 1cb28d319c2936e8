"""Runs that somebody outside cancels: what stops, what is undone, what the outcome says, and what a cancel cannot do."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from signalbox.contracts.envelope import TASK_FAILED
from signalbox.routing.commands import Dispatch, EmitDeadLetter, EmitOutcome, RecordDecision
from signalbox.routing.reduce import reduce
from signalbox.routing.ticks import MessageArrived, Origin
from tests.support.fleets import message, reply
from tests.support.operator_world import OperatorWorld
from tests.support.workflow_world import Work, rules_with, step, workflow

CHAIN = (step("a", undo=True), step("b", "a", by="bob", undo=True), step("c", "b", by="cyd"))


def test_cancel_of_a_run_in_which_nobody_acted_ends_it_at_once() -> None:
    """A step that waits for a person is not asked any more: one record, one outcome, nothing to undo, no task."""
    work = Work(step("a", approve={"reason": "?", "deadline_seconds": 100}, undo=True))
    work.start()
    state = work.world.state_of("c-1")
    said = message("x-1", {"reason": "wrong order", "cancelled_by": "ada"}, type="workflow.cancel")
    arrived = MessageArrived(said, Origin("agent_messages"))
    state, commands = reduce(state, arrived, work.world.now_ms, work.world.rulebook)

    record, outcome = (
        one for one in commands if isinstance(one, RecordDecision | EmitOutcome | Dispatch)
    )
    assert isinstance(record, RecordDecision)
    decision = record.decision
    assert (decision.message_id, decision.slot, decision.agent) == ("x-1", "cancel", "NONE")
    assert (decision.path, decision.reason) == (
        "human",
        "workflow work: cancelled by ada: wrong order",
    )
    assert isinstance(outcome, EmitOutcome)
    assert outcome.outcome.status == "cancelled"
    assert outcome.outcome.detail == "workflow work: cancelled by ada: wrong order"
    assert state.workflow is None


def test_cancel_lets_what_runs_come_to_rest_and_then_undoes_what_was_done_in_reverse() -> None:
    """Nothing new is given out; the answer that still comes counts, and its step is undone first."""
    work = Work(*CHAIN)
    work.start()
    work.answer()
    work.cancel(reason="late")
    assert [agent for agent, _ in work.given()] == ["ann", "bob"]
    work.answer()
    assert work.given()[2:] == [("undo", {"undo": "b"})]
    work.answer()
    work.answer()

    assert work.given()[3:] == [("undo", {"undo": "a"})]
    (outcome,) = work.world.outcomes
    assert outcome.status == "cancelled"
    assert outcome.detail == "workflow work: cancelled by cli: late; undone: a, b"


def test_cancel_undoes_a_step_whose_agent_fell_silent() -> None:
    """Nobody knows whether it acted: its time is waited for, then it is undone as if it had."""
    work = Work(step("a", undo=True, timeout_seconds=20))
    work.start()
    work.cancel()
    work.world.pass_time(21)
    assert work.given()[1:] == [("undo", {"undo": "a"})]
    work.answer()

    assert [one.status for one in work.world.outcomes] == ["cancelled"]


def test_cancel_in_which_something_could_not_be_undone_ends_as_failed() -> None:
    """`cancelled` promises that what can be undone was; where that is not so, the outcome is graver and names it."""
    work = Work(*CHAIN)
    work.start()
    work.answer()
    work.cancel(reason="late")
    work.fail()
    for _ in range(5):
        work.fail(detail="no key")
        work.world.pass_time(60)

    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "cancelled by cli: late; undone: nothing; could not be undone: a" in outcome.detail


def test_cancel_where_nothing_is_undone_says_what_is_left_done() -> None:
    """`on_failure: fail` undoes nothing: the outcome names what stays, apart from what says there is nothing to undo."""
    work = Work(step("a", undo=True), step("b", "a"), step("c", "b"), on_failure="fail")
    work.start()
    work.answer()
    work.answer()
    work.cancel()
    work.fail()

    (outcome,) = work.world.outcomes
    assert (outcome.status, len(work.given())) == ("cancelled", 3)
    assert outcome.detail == "workflow work: cancelled by cli; done and not undone: a"


def test_cancel_twice_is_harmless() -> None:
    """The same message again is a duplicate; another one while it stops is a dead letter that says so."""
    work = Work(*CHAIN)
    work.start()
    work.answer()
    work.cancel(1, reason="late")
    work.cancel(1, reason="late")
    work.cancel(2, reason="really")

    (late,) = work.world.dead_letters
    assert (late.reason, late.message_id) == ("late", "cancel-2")
    assert "has stopped already and is coming to rest: cancelled by cli: late" in late.detail
    work.answer()
    work.answer()
    work.answer()
    assert [one.status for one in work.world.outcomes] == ["cancelled"]
    assert [one.slot for one in work.world.decisions].count("cancel") == 1


def test_cancel_of_a_run_that_is_undone_already_changes_nothing_and_says_so() -> None:
    """A failure came first: the run ends as it would have, and the cancel is a dead letter with the cause."""
    work = Work(*CHAIN)
    work.start()
    work.answer()
    work.fail(detail="no van")
    work.cancel()
    work.answer()

    (late,) = work.world.dead_letters
    assert "is undone: step b: bob: no van; a cancel changes nothing any more" in late.detail
    assert [one.status for one in work.world.outcomes] == ["compensated"]


@pytest.mark.parametrize("is_over", [False, True])
def test_cancel_of_a_conversation_without_a_run_is_a_dead_letter(is_over: bool) -> None:
    """Before anything started and after the outcome alike: `late`, no episode is opened, and nothing is routed."""
    work = Work(step("a"))
    if is_over:
        work.start()
        work.answer()
    work.cancel()

    (late,) = work.world.dead_letters
    assert late.reason == "late"
    assert late.detail.startswith("no workflow runs in this conversation")
    assert len(work.world.outcomes) == is_over
    assert not work.world.state_of("c-1").is_open


def test_cancel_that_came_too_early_does_not_end_a_later_run_when_it_comes_again() -> None:
    """A producer may write it twice: the second copy is a duplicate, whatever began in between."""
    work = Work(step("a"))
    work.cancel()
    work.start()
    work.cancel()

    assert work.run.phase == "running"


def test_cancel_of_another_run_than_the_one_that_is_meant_is_refused() -> None:
    """`started_by` names the run by its start; one that began since then goes on."""
    work = Work(step("a"))
    work.start()
    work.cancel(1, started_by="m-0")
    assert work.run.phase == "running"
    assert "was started by m-1" in work.world.dead_letters[0].detail
    work.cancel(2, started_by="m-1")

    assert work.run.phase == "stopping"


def test_cancel_stops_the_run_and_not_what_else_goes_on_in_the_conversation() -> None:
    """Another message's task stays open and may be answered; the outcome comes when that is over too."""
    work = Work(step("a", approve={"reason": "?", "deadline_seconds": 100}))
    work.start()
    work.world.send(message("m-2", {"z": 1}, target="cyd"))
    work.cancel()
    assert not work.world.outcomes
    work.answer({"z": 2}, kind=TASK_FAILED)

    assert [one.reason for one in work.world.dead_letters] == []
    assert len(work.world.outcomes) == 1


def test_cancel_while_a_message_is_decided_does_not_wait_for_the_model() -> None:
    """The run stops at once; the message in flight gets its answer, and its agent."""
    work = Work(step("a", undo=True))
    work.start()
    work.world.send(message("m-2", {"z": 1}))  # everybody takes anything, so a model is asked
    assert work.world.questions
    work.cancel()

    assert work.run.phase == "stopping"
    assert work.world.questions


def test_cancel_stops_at_the_time_a_silent_agent_and_the_run_have() -> None:
    """The episode's time passes while a cancelled run comes to rest: it is undone, and still `cancelled`."""
    work = Work(step("a", undo=True, timeout_seconds=500), policy={"budgets": {"seconds": 100}})
    work.start()
    work.cancel()
    work.world.pass_time(101)
    work.answer()

    (outcome,) = work.world.outcomes
    assert outcome.status == "cancelled"
    assert "undone: a" in outcome.detail


@pytest.mark.parametrize("source", ["agent/ann", "agent/bob"])
def test_cancel_from_an_agent_is_no_cancel(source: str) -> None:
    """An agent without a task is `late`; what it says of others' runs never counts, whatever its type."""
    work = Work(step("a", by="cyd"))
    work.start()
    work.world.send(message("x-1", {}, type="workflow.cancel", source=source))

    assert [one.reason for one in work.world.dead_letters] == ["late"]
    assert work.run.phase == "running"


def test_cancel_as_an_agents_answer_is_an_answer() -> None:
    """The agent that has the task answers with the engine's type: the step is done with it, and the run goes on."""
    work = Work(step("a"), step("b", "a", by="bob"))
    work.start()
    work.world.send(reply(work.task(), {"reason": "x"}, kind="workflow.cancel"))

    assert [agent for agent, _ in work.given()] == ["ann", "bob"]


def test_cancel_cannot_do_more_than_stop() -> None:
    """A target, a token, an agent or a whole book as reason: nobody is given it, no approval is answered, the text is cut."""
    work = Work(
        step("a", approve={"reason": "?", "deadline_seconds": 100}), step("b", by="bob", undo=True)
    )
    work.start()
    token = work.world.reviews[0].token
    data = {"reason": "x" * 5000, "token": token, "decision": "approve", "agent": "cyd"}
    data |= {"cancelled_by": "y" * 5000, "steps": {"b": "done"}}
    work.world.send(message("x-1", data, type="workflow.cancel", target="cyd"))
    assert [agent for agent, _ in work.given()] == ["bob"]
    work.fail()

    (outcome,) = work.world.outcomes
    assert outcome.status == "cancelled"
    assert len(outcome.detail) < 700


@pytest.mark.parametrize("data", [{"reason": 7, "cancelled_by": ["a"]}, {"reason": None}, {}])
def test_cancel_whose_words_are_no_texts_still_cancels(data: dict[str, object]) -> None:
    """Who and why are words for people; without any the source is named."""
    work = Work(step("a", approve={"reason": "?", "deadline_seconds": 100}))
    work.start()
    work.cancel(**data)

    assert work.world.outcomes[0].detail == "workflow work: cancelled by cli"


def test_cancel_is_a_type_of_the_engine() -> None:
    """No workflow starts on it and no agent answers with it."""
    with pytest.raises(ValidationError, match="is a type of the engine"):
        workflow(step("a"), starts_on=["workflow.cancel"])


def test_cancel_goes_on_after_a_restart_between_any_two_messages() -> None:
    """Memory is lost before and after the cancel: it was in state that the run stops, and the silent step is still undone."""
    book = rules_with(workflow(step("a", undo=True), step("b", "a", by="bob", timeout_seconds=20)))
    world = OperatorWorld(book)
    world.send(message("m-1", {"n": 1}, type="work.asked"))
    world.send(_answer(world, "ann"))
    cancelled = message("x-1", {"reason": "late"}, type="workflow.cancel")
    for _ in range(2):  # at least once
        world.restart()
        world.send(cancelled)
    world.restart()
    world.now_ms += 21_000
    world.pulse("c-1")
    world.restart()
    world.send(_answer(world, "undo"))

    assert [one["status"] for one in world.records("agent_outcomes")] == ["cancelled"]
    assert [one["slot"] for one in world.records("agent_decisions")].count("cancel") == 1
    assert world.records("agent_messages_dlq") == []
    assert world.results.everything() == {}


def test_cancel_without_a_run_costs_a_dead_letter_and_no_deadline() -> None:
    """Somebody who cancels conversations that never were opens nothing that must be looked after."""
    world = OperatorWorld(rules_with(workflow(step("a"))))
    world.send(message("x-1", {}, type="workflow.cancel"))

    assert [one["reason"] for one in world.records("agent_messages_dlq")] == ["late"]
    assert world.deadlines.everything() == {}


def test_a_step_may_be_called_cancel() -> None:
    """The record of a cancel is about its own message, so it meets no slot of a step."""
    work = Work(step("cancel"), step("b", by="bob"))
    work.start()
    commands = [one.slot for one in work.world.decisions]
    work.cancel()

    assert commands == ["step:cancel", "step:b"]
    assert not [one for one in work.world.dead_letters if isinstance(one, EmitDeadLetter)]


def _answer(world: OperatorWorld, agent: str):
    from signalbox.contracts.envelope import Envelope

    rows = [row.value for row in world.rows if row.topic == f"test.agent_tasks_{agent}"]
    return reply(Envelope.from_json(rows[-1]), {"ok": True})
