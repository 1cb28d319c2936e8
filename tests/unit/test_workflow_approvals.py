"""Steps that a person must agree to: parked under a token, with a deadline and a default, beside everything else."""

from __future__ import annotations

from signalbox.contracts.record import to_epoch_ms
from tests.support.fleets import message
from tests.support.workflow_world import Work, step

APPROVE = {"reason": "pay {{ data.n }}?", "deadline_seconds": 7200}


def test_approval_shows_a_person_what_the_agent_would_be_given() -> None:
    """The review names workflow, step, token and default, with the filled-in reason and data; the agent has nothing yet."""
    work = Work(step("a", approve=APPROVE, input={"pay": "{{ data.n }}"}))
    work.start({"n": 12})

    (review,) = work.world.reviews
    assert (review.workflow, review.step, review.default) == ("work", "a", "reject")
    assert (review.reason, review.message.data) == ("pay 12?", {"pay": 12})
    assert to_epoch_ms(review.deadline) == work.world.now_ms + 7_200_000
    assert not work.world.dispatches


def test_approval_given_lets_the_step_go_out_and_is_recorded_as_a_persons_decision() -> None:
    """The record has path `human` and the name; the task is the step's own slot."""
    work = Work(step("a", approve=APPROVE))
    work.start()
    work.decide("approve", comment="go on")

    assert [one.agent for one in work.world.dispatches] == ["ann"]
    human, given = work.world.decisions
    assert (human.path, human.slot, human.agent) == ("human", "approve:a", "ann")
    assert human.reason == "ada approved step a: go on"
    assert given.slot == "step:a"


def test_approval_refused_fails_the_step_with_the_persons_word() -> None:
    """What was done before is undone; the agent is never asked."""
    work = Work(step("a", undo=True), step("b", "a", by="bob", approve=APPROVE))
    work.start()
    work.answer()
    work.decide("reject", comment="too dear")
    work.answer()

    assert [one.agent for one in work.world.dispatches] == ["ann", "undo"]
    (outcome,) = work.world.outcomes
    assert outcome.status == "compensated"
    assert "ada rejected step b: too dear" in outcome.detail


def test_approval_that_nobody_answers_has_its_default_after_the_deadline() -> None:
    """`approve` goes on, `reject` fails, each exactly at the deadline and not before."""
    for default, agents, status in (("approve", ["ann"], "completed"), ("reject", [], "failed")):
        work = Work(step("a", approve={**APPROVE, "default": default}))
        work.start()
        work.world.pass_time(7199)
        assert not work.world.decisions
        work.world.pass_time(1)
        assert [one.agent for one in work.world.dispatches] == agents
        if agents:
            work.answer()
        assert [one.status for one in work.world.outcomes] == [status]


def test_approval_does_not_spend_the_time_of_the_workflow() -> None:
    """A person who takes longer than the run and the fleet may take leaves them their time: it begins anew."""
    steps = [step("a", approve=APPROVE), step("b", "a", by="bob")]
    work = Work(*steps, timeout_seconds=60, policy={"budgets": {"seconds": 90}})
    work.start()
    work.world.pass_time(7000)
    work.decide("approve")
    work.world.pass_time(50)
    work.answer()
    work.answer()

    assert [one.status for one in work.world.outcomes] == ["completed"]


def test_approval_does_not_hold_up_what_does_not_need_it() -> None:
    """Another step runs and ends while a person thinks; a message of another kind is routed meanwhile."""
    work = Work(step("a", approve=APPROVE), step("b", by="bob"))
    work.start()
    work.answer()
    work.world.send(message("m-2", {"z": 1}, target="cyd"))

    assert [one.agent for one in work.world.dispatches] == ["bob", "cyd"]
    assert work.run.step("a").status == "waiting_approval"


def test_approval_twice_or_by_an_unknown_token_is_a_dead_letter_and_changes_nothing() -> None:
    """The second answer, and one to a token that never was, say so; the step was given out once."""
    work = Work(step("a", approve=APPROVE))
    work.start()
    token = work.world.reviews[0].token
    work.decide("approve", token="approval-never")
    work.decide("approve", token=token)
    work.decide("reject", token=token)

    assert [one.reason for one in work.world.dead_letters] == ["late", "late"]
    assert "no approval with data.token is open" in work.world.dead_letters[0].detail
    assert len(work.world.dispatches) == 1


def test_approval_with_an_answer_that_is_none_is_refused_and_stays_open() -> None:
    """`maybe` is a dead letter that says what is right; a proper answer still counts afterwards."""
    work = Work(step("a", approve=APPROVE))
    work.start()
    work.decide("maybe")
    assert "it must be approve or reject" in work.world.dead_letters[0].detail
    work.decide("approve")

    assert len(work.world.dispatches) == 1


def test_approval_that_waits_when_the_run_stops_is_over() -> None:
    """Another step fails: what nobody has agreed to yet is not asked any more, and a late answer is a dead letter."""
    work = Work(step("a", approve=APPROVE), step("b", by="bob"))
    work.start()
    work.fail()
    assert [one.status for one in work.world.outcomes] == ["failed"]
    work.decide("approve")

    assert [one.reason for one in work.world.dead_letters] == ["late"]
