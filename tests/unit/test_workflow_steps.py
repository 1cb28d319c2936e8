"""A workflow's steps in the reducer: what starts a run, what each step is given and when, and what the run comes to."""

from __future__ import annotations

import pytest

from signalbox.contracts.envelope import TASK_ESCALATED, TASK_STATUS
from signalbox.contracts.ids import dispatch_id
from signalbox.routing.simulation import Simulation
from tests.support.fleets import agent, message, reply, rulebook
from tests.support.workflow_world import Work, rules_with, step, workflow


def test_workflow_starts_with_a_message_of_its_type_and_gives_out_what_needs_nothing() -> None:
    """Both first steps go out at once, decided by path `workflow` under ids that follow from the message and the step."""
    work = Work(step("a"), step("b", by="bob"), step("c", "a", "b", by="cyd"))
    asked = work.start()

    assert [one.agent for one in work.world.dispatches] == ["ann", "bob"]
    assert [one.task.id for one in work.world.dispatches] == [
        dispatch_id(asked.id, "step:a"),
        dispatch_id(asked.id, "step:b"),
    ]
    assert {(one.path, one.message_id) for one in work.world.decisions} == {("workflow", "m-1")}
    assert "workflow work" in work.world.decisions[0].reason


def test_workflow_step_begins_when_all_it_needs_have_answered_with_what_they_answered() -> None:
    """The joining step waits for both, and its input is filled in from the start and from both results."""
    mapping = {"n": "{{ data.n }}", "sum": "{{ steps.a.x + steps.b.x }}"}
    work = Work(step("a"), step("b", by="bob"), step("c", "a", "b", by="cyd", input=mapping))
    work.start({"n": 7})
    work.answer({"x": 1}, 0)
    assert len(work.world.dispatches) == 2
    work.answer({"x": 2}, 1)

    assert work.given()[2] == ("cyd", {"n": 7, "sum": 3})


def test_workflow_completes_with_the_result_it_declares() -> None:
    """The outcome is `completed` with the filled-in result; nothing is kept afterwards, and no answer was routed anywhere."""
    work = Work(step("a"), step("b", "a", by="bob"), result={"said": "{{ steps.b.x }}"})
    work.start()
    work.answer({"x": 1})
    work.answer({"x": "fine"})

    (outcome,) = work.world.outcomes
    assert (outcome.status, outcome.result, outcome.hops) == ("completed", {"said": "fine"}, 2)
    assert work.world.results == {}
    assert work.world.pending == {}
    assert not work.world.state_of("c-1").is_open


def test_workflow_keeps_what_it_was_told_out_of_the_conversations_blob() -> None:
    """A large answer is kept beside the blob, which stays small however much the steps say."""
    work = Work(step("a"), step("b", "a", by="bob"))
    work.start({"n": 1, "text": "x" * 50_000})
    work.answer({"text": "y" * 50_000})

    assert len(work.world.blobs["c-1"]) < 2_000
    assert len(work.world.results) == 2


def test_workflow_condition_that_does_not_hold_skips_the_step_and_what_needs_it_goes_on() -> None:
    """The skip is a record with its condition; the next step runs without the result."""
    work = Work(step("a", when="data.n > 5"), step("b", "a", by="bob"))
    work.start({"n": 1})

    assert [one.agent for one in work.world.dispatches] == ["bob"]
    assert [(one.slot, one.agent) for one in work.world.decisions] == [
        ("step:a", "NONE"),
        ("step:b", "bob"),
    ]
    assert "data.n > 5" in work.world.decisions[0].reason


def test_workflow_of_skipped_steps_alone_completes() -> None:
    """Where no condition holds there is nothing to do, and that is an end."""
    work = Work(step("a", when="data.n > 5"))
    work.start({"n": 1})

    assert [one.status for one in work.world.outcomes] == ["completed"]


def test_workflow_does_not_start_where_its_input_refuses_the_data() -> None:
    """The message goes the way of all others, and its NONE says what the workflow would have needed."""
    staff = (agent("ann", ["q"]), agent("undo", ["q"]))
    work = Work(book=rules_with(workflow(step("a")), agents=staff))
    work.world.send(message("m-1", {"m": 1}, type="work.asked"))

    (decision,) = work.world.decisions
    assert (decision.agent, decision.path) == ("NONE", "contract")
    assert "workflow work does not take it: n: required" in decision.reason


def test_workflow_is_started_neither_by_an_agents_answer_nor_past_an_explicit_target() -> None:
    """What an agent answers is routed, and who is named gets the message, whatever type it has."""
    work = Work(step("a"))
    work.start(target="bob")
    assert [one.agent for one in work.world.dispatches] == ["bob"]
    work.world.send(reply(work.task(), {"n": 1, "ok": 1}, kind="work.asked", target="cyd"))

    assert [one.agent for one in work.world.dispatches] == ["bob", "cyd"]
    assert work.world.state_of("c-1").workflow is None


def test_workflow_runs_once_at_a_time_in_a_conversation() -> None:
    """A second start while one runs is refused with a reason; after the outcome it begins a new run."""
    work = Work(step("a"))
    work.start()
    work.start(id="m-2")
    (refused,) = work.world.dead_letters
    assert (refused.reason, refused.message_id) == ("overloaded", "m-2")
    assert "workflow work runs in this one already" in refused.detail

    work.answer()
    work.start(id="m-3")
    work.answer()
    assert [one.episode for one in work.world.outcomes] == [1, 2]


def test_workflow_that_waited_for_definitions_starts_with_them() -> None:
    """A message that came before the first manifest starts its workflow when there is one."""
    work = Work(book=rulebook())
    book = rules_with(workflow(step("a")))
    work.world = Simulation(type(book)())
    work.start()
    assert not work.world.dispatches
    work.world.activate(book)

    assert [one.agent for one in work.world.dispatches] == ["ann"]
    assert work.world.pending == {}


def test_workflow_outcome_waits_for_what_goes_on_beside_it() -> None:
    """Another message of the conversation is routed as ever; the one outcome comes when both are through."""
    work = Work(step("a"), result={"x": "{{ steps.a.x }}"})
    work.start()
    work.world.send(message("m-2", {"z": 1}, target="bob"))
    work.answer({"x": 5}, 0)
    assert not work.world.outcomes
    work.world.send(reply(work.task(1), {"zz": 1}, kind="bob.done", target="cyd"))
    work.world.send(reply(work.task(2), {"zz": 1}, kind="task.failed"))

    (outcome,) = work.world.outcomes
    assert (outcome.status, outcome.result) == ("failed", {"x": 5})


def test_workflow_input_that_cannot_be_filled_in_fails_the_step_with_the_place() -> None:
    """A result without the field that a mapping names is told by step and field, and the agent is not asked."""
    work = Work(step("a"), step("b", "a", by="bob", input={"x": "{{ steps.a.gone }}"}))
    work.start()
    work.answer({"x": 1})

    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "steps.a.gone is missing" in outcome.detail
    assert len(work.world.dispatches) == 1


def test_workflow_input_that_the_agents_contract_refuses_fails_the_step() -> None:
    """What a mapping makes is held against the agent's contract before anybody gets it."""
    staff = (agent("ann", ["q"]), agent("undo", ["q"]))
    work = Work(book=rules_with(workflow(step("a", input={"p": 1})), agents=staff))
    work.start()

    assert not work.world.dispatches
    assert "q: required" in work.world.outcomes[0].detail


def test_workflow_result_for_a_task_that_is_none_or_closed_is_late_and_changes_nothing() -> None:
    """A task that never was, one of another agent, one that was answered: each is a dead letter that says so, and the run goes on."""
    work = Work(step("a"), step("b", "a", by="bob"), result={"x": "{{ steps.b.x }}"})
    work.start()
    work.answer({"x": 1}, 0)
    for number, wrong in enumerate(
        (
            {"causationid": "task-that-never-was"},
            {"source": "agent/bob"},
            {"data": {"x": 2}},
        )
    ):
        answer = reply(work.task(0), {"x": 9}, id=f"wrong-{number}").evolve(**wrong)
        work.world.send(answer)
    work.answer({"x": 3}, 1)

    assert [one.reason for one in work.world.dead_letters] == ["late"] * 3
    assert all("no open task" in one.detail for one in work.world.dead_letters)
    assert [one.agent for one in work.world.dispatches] == ["ann", "bob"]
    assert [one.result for one in work.world.outcomes] == [{"x": 3}]


def test_workflow_result_that_comes_twice_counts_once() -> None:
    """The same answer again is a duplicate, also after the run is over: counted, with neither a task nor an outcome of its own."""
    work = Work(step("a"), step("b", "a", by="bob"))
    work.start()
    first = reply(work.task(0), {"x": 1})
    work.world.send(first)
    work.world.send(first)
    work.answer({"x": 2}, 1)
    work.world.send(first)

    assert [one.agent for one in work.world.dispatches] == ["ann", "bob"]
    assert work.world.counts.count("signalbox.duplicates") == 2
    assert [one.status for one in work.world.outcomes] == ["completed"]
    assert not work.world.dead_letters


def test_workflow_step_gets_its_retries_and_then_the_run_fails() -> None:
    """Each attempt is a task of its own slot, with the failure before in its record; then the outcome says how many there were."""
    work = Work(step("a", retries=2))
    work.start()
    for _ in range(3):
        work.fail(detail="out of paper")

    assert work.slots() == ["step:a", "step:a:2", "step:a:3"]
    assert "out of paper" in work.world.decisions[1].reason
    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "step a: ann: out of paper, at attempt 3 of 3" in outcome.detail


def test_workflow_step_whose_agent_says_that_trying_again_cannot_help_is_not_tried_again() -> None:
    """A permanent failure ends the step at once, whatever retries are left, and the outcome says why there was no other attempt."""
    work = Work(step("a", retries=2))
    work.start()
    work.fail(detail="no such paper", permanent=True)

    assert work.slots() == ["step:a"]
    (outcome,) = work.world.outcomes
    assert "step a: ann: no such paper; trying again cannot help" in outcome.detail


@pytest.mark.parametrize("said", ["true", 1, None, {}])
def test_workflow_step_is_tried_again_where_permanent_is_not_true(said: object) -> None:
    """Only the boolean counts: whatever else stands there is an ordinary failure."""
    work = Work(step("a", retries=1))
    work.start()
    work.fail(permanent=said)

    assert work.slots() == ["step:a", "step:a:2"]


def test_workflow_judge_that_fails_for_good_fails_the_step() -> None:
    """The judge's permanent failure is the step's: nobody can accept the result any more."""
    work = Work(step("a", validate_by={"agent": "judge"}, retries=3))
    work.start()
    work.answer()
    work.fail(detail="no such rules", permanent=True)

    assert work.slots() == ["step:a", "validate:a"]
    assert "judge: no such rules" in work.world.outcomes[0].detail


def test_workflow_step_whose_agent_is_silent_is_stuck_and_tried_again() -> None:
    """After its own timeout the record says who did not answer; the late answer is a dead letter and changes nothing."""
    work = Work(step("a", retries=1, timeout_seconds=30), step("b", "a", by="bob"))
    work.start()
    work.world.pass_time(29)
    assert len(work.world.dispatches) == 1
    work.world.pass_time(2)
    assert "ann did not answer in time" in work.world.decisions[-1].reason

    work.answer({"x": 1}, 0)
    assert [one.reason for one in work.world.dead_letters] == ["late"]
    work.answer({"x": 2}, 1)
    assert [one.agent for one in work.world.dispatches] == ["ann", "ann", "bob"]


def test_workflow_step_that_says_it_works_on_gets_its_own_time_again() -> None:
    """A sign of life moves the step's deadline by the step's timeout."""
    work = Work(step("a", timeout_seconds=30))
    work.start()
    work.world.pass_time(20)
    work.answer({"text": "half"}, kind=TASK_STATUS, id="status-1")
    work.world.pass_time(20)
    work.answer()

    assert [one.status for one in work.world.outcomes] == ["completed"]


def test_workflow_step_that_may_fail_is_skipped_and_the_run_completes() -> None:
    """`on_failure: skip` goes on without the result; the failure stays on record."""
    mapping = {"x": "{{ steps.a.x | default('none') }}"}
    work = Work(step("a", on_failure="skip"), step("b", "a", by="bob", input=mapping))
    work.start()
    work.fail()
    assert work.given()[-1] == ("bob", {"x": "none"})
    work.answer()

    assert [one.status for one in work.world.outcomes] == ["completed"]
    assert [one.slot for one in work.world.decisions] == ["step:a", "step:a:failed", "step:b"]


def test_workflow_step_is_asked_again_with_the_judges_comment_until_it_is_accepted() -> None:
    """The judge gets what was asked and answered; a refused result is made anew with the comment, and replaced."""
    judged = {"agent": "judge", "rounds": 2}
    work = Work(step("a", validate_by=judged), result={"x": "{{ steps.a.x }}"})
    work.start({"n": 3})
    work.answer({"x": "bad"})
    assert work.given()[1] == ("judge", {"task": {"n": 3}, "result": {"x": "bad"}})
    work.answer({"accepted": False, "comment": "too short"})
    assert work.given()[2] == (
        "ann",
        {"n": 3, "context": "The result before was refused: too short"},
    )
    work.answer({"x": "good"})
    work.answer({"accepted": True})

    assert work.slots() == ["step:a", "validate:a", "step:a:2", "validate:a:2"]
    assert work.world.outcomes[0].result == {"x": "good"}


def test_workflow_result_that_is_refused_to_the_last_round_fails_the_step() -> None:
    """After as many judgements as are allowed nobody is asked any more, and the outcome has the judge's word."""
    work = Work(step("a", validate_by={"agent": "judge", "rounds": 1}, undo=True))
    work.start()
    work.answer()
    work.answer({"accepted": False, "comment": "made up"})
    assert work.given()[-1] == ("undo", {"undo": "a"})
    work.answer()

    (outcome,) = work.world.outcomes
    assert outcome.status == "compensated"
    assert "made up" in outcome.detail


def test_workflow_judge_whose_answer_is_no_judgement_counts_as_a_failed_attempt() -> None:
    """Without a boolean `accepted` the judge is asked again while there are retries, the step itself is not."""
    work = Work(step("a", validate_by={"agent": "judge"}, retries=1))
    work.start()
    work.answer()
    work.answer({"accepted": "yes"})
    work.answer({"accepted": True})

    assert work.slots() == ["step:a", "validate:a", "validate:a:2"]
    assert work.world.outcomes[0].status == "completed"


def test_workflow_whose_hops_are_spent_stops() -> None:
    """Budgets hold: the step that would be one too many is not given out, and the outcome says which budget it was."""
    steps = [step("a"), step("b", "a"), step("c", "b")]
    work = Work(*steps, policy={"budgets": {"hops": 2}})
    work.start()
    work.answer()
    work.answer()

    (outcome,) = work.world.outcomes
    assert (outcome.status, outcome.hops) == ("hop_budget", 2)


@pytest.mark.parametrize("is_kept", [True, False])
def test_workflow_in_flight_finishes_under_the_version_it_began_under_while_it_is_kept(
    is_kept: bool,
) -> None:
    """A definition that changes meanwhile does not change a run, until so many changes have passed that its own is gone."""
    first = rules_with(workflow(step("a"), step("b", "a", by="bob")))
    work = Work(book=first)
    work.start()
    for number in range(1 if is_kept else 3):
        newer = workflow(step("a"), step("b", "a", by="cyd"), description=f"Version {number}.")
        current = rules_with(newer).current
        assert current is not None
        work.world.activate(work.world.rulebook.activate(current))
    work.answer()

    assert work.world.dispatches[-1].agent == ("bob" if is_kept else "cyd")


def test_workflow_whose_definition_is_gone_fails_and_says_what_is_left_undone() -> None:
    """No kept version knows it: the run ends with a reason at its next touch instead of waiting for ever."""
    work = Work(step("a", undo=True), step("b", "a", by="bob"))
    work.start()
    work.answer()
    for number in range(3):
        current = rules_with(policy={"description": f"Version {number}."}).current
        assert current is not None
        work.world.activate(work.world.rulebook.activate(current))
    work.answer({"x": 1})

    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "definition is not active any more; not undone: a" in outcome.detail
    assert work.world.results == {}


def test_workflow_step_whose_agent_wants_a_person_waits_for_one_and_is_given_out_again() -> None:
    """An escalation parks the step alone; agreed to, the agent gets it once more."""
    work = Work(step("a"), step("b", by="bob"))
    work.start()
    work.answer({"reason": "who is this?", "data": {"n": 1}}, 0, kind=TASK_ESCALATED)
    (review,) = work.world.reviews
    assert (review.step, review.default) == ("a", "reject")
    assert "ann asks for a person: who is this?" in review.reason
    work.decide("approve")
    work.answer({"x": 1}, 1)
    work.answer({"x": 2}, 2)

    assert work.slots() == ["step:a", "step:b", "step:a:2"]
    assert [one.status for one in work.world.outcomes] == ["completed"]
