"""Sagas: what a run that cannot be finished undoes, in which order, how often, and what its outcome says."""

from __future__ import annotations

import pytest

from tests.support.fleets import message
from tests.support.workflow_world import Work, rules_with, step, workflow

CHAIN = (step("a", undo=True), step("b", "a", by="bob", undo=True), step("c", "b", by="cyd"))


def test_undo_takes_back_completed_steps_in_reverse_one_after_the_other() -> None:
    """The last completed step is undone first, the next one when that is done; the outcome is `compensated` and names the cause."""
    work = Work(*CHAIN)
    work.start()
    work.answer()
    work.answer()
    work.fail(detail="no van")
    assert work.given()[3:] == [("undo", {"undo": "b"})]
    work.answer()
    assert work.given()[4:] == [("undo", {"undo": "a"})]
    work.answer()

    (outcome,) = work.world.outcomes
    assert outcome.status == "compensated"
    assert "step c: cyd: no van" in outcome.detail
    assert work.slots()[-2:] == ["compensate:b", "compensate:a"]


def test_undo_is_not_needed_where_nothing_was_done() -> None:
    """The first step fails: there is nothing to undo, and the outcome is `failed`."""
    work = Work(*CHAIN)
    work.start()
    work.fail()

    assert [one.status for one in work.world.outcomes] == ["failed"]
    assert len(work.world.dispatches) == 1


def test_undo_is_left_out_where_the_workflow_says_so() -> None:
    """`on_failure: fail` leaves completed steps as they are."""
    work = Work(*CHAIN, on_failure="fail")
    work.start()
    work.answer()
    work.fail()

    assert [one.status for one in work.world.outcomes] == ["failed"]
    assert [one.agent for one in work.world.dispatches] == ["ann", "bob"]


def test_undo_waits_for_steps_that_still_run_and_takes_them_back_too() -> None:
    """What runs beside the failed step may have an effect: its answer is awaited, and undone, but nothing new is given out."""
    work = Work(step("a", undo=True), step("b", by="bob"), step("c", "a", by="cyd"))
    work.start()
    work.fail(1)
    assert len(work.world.dispatches) == 2
    work.answer({"x": 1}, 0)

    assert work.given()[2:] == [("undo", {"undo": "a"})]


def test_undo_includes_a_step_whose_agent_fell_silent() -> None:
    """Nobody knows whether it acted, so it is undone as if it had."""
    work = Work(step("a", undo=True, timeout_seconds=10))
    work.start()
    work.world.pass_time(11)
    assert work.given()[1:] == [("undo", {"undo": "a"})]
    work.answer()

    assert [one.status for one in work.world.outcomes] == ["compensated"]


@pytest.mark.parametrize("is_permanent", [False, True])
def test_undo_that_fails_is_tried_again_later_and_then_goes_on(is_permanent: bool) -> None:
    """A failed compensation waits longer each time and is a task of its own; the ones before it in order wait for it.

    Also where its agent says that trying again cannot help: without it something stays undone.
    """
    work = Work(*CHAIN)
    work.start()
    work.answer()
    work.answer()
    work.fail()
    work.fail(detail="bank closed", permanent=is_permanent)
    assert len(work.world.dispatches) == 4
    work.world.pass_time(1)
    work.answer()
    work.answer()

    assert work.slots()[-3:] == ["compensate:b", "compensate:b:2", "compensate:a"]
    assert "bank closed" in work.world.decisions[-2].reason
    assert [one.status for one in work.world.outcomes] == ["compensated"]


def test_undo_that_never_succeeds_is_given_up_on_record_and_the_others_are_undone() -> None:
    """After five attempts the run goes on past it; the outcome is `failed`, because not everything was undone, and says what."""
    work = Work(*CHAIN)
    work.start()
    work.answer()
    work.answer()
    work.fail()
    for _ in range(5):
        work.fail(detail="bank closed")
        work.world.pass_time(60)
    assert work.given()[-1] == ("undo", {"undo": "a"})
    work.answer()

    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "undone: a; could not be undone: b" in outcome.detail
    assert "compensate:b:failed" in [one.slot for one in work.world.decisions]


def test_undo_of_a_run_whose_time_is_over_has_a_time_of_its_own() -> None:
    """An expired workflow does not leave what it did: the silent step and the completed one are both undone."""
    work = Work(
        step("a", undo=True),
        step("b", "a", by="bob", undo=True, timeout_seconds=500),
        timeout_seconds=60,
    )
    work.start()
    work.answer()
    work.world.pass_time(61)
    work.answer()
    work.answer()

    assert work.given()[2:] == [("undo", {"undo": "b"}), ("undo", {"undo": "a"})]
    (outcome,) = work.world.outcomes
    assert outcome.status == "compensated"
    assert "not through after 61 s" in outcome.detail


def test_undo_for_which_there_was_no_time_either_ends_and_says_what_is_left() -> None:
    """Agents that never answer cannot keep an episode open: a second time budget, then the end."""
    work = Work(
        step("a", undo=True), step("b", "a", by="bob"), policy={"budgets": {"seconds": 100}}
    )
    work.start()
    work.answer()
    work.world.pass_time(101)
    work.world.pass_time(101)

    (outcome,) = work.world.outcomes
    assert outcome.status == "expired"
    assert "no time was left to undo a" in outcome.detail


def test_undo_is_not_refused_by_the_budget_that_stopped_the_run() -> None:
    """Hops are spent, and still what was done is undone."""
    work = Work(*CHAIN, policy={"budgets": {"hops": 2}})
    work.start()
    work.answer()
    work.answer()
    work.answer()
    work.answer()

    (outcome,) = work.world.outcomes
    assert outcome.status == "compensated"
    assert "2 of 2 hops are spent" in outcome.detail


def test_undo_survives_a_branch_beside_it_that_hits_a_guard() -> None:
    """A loop in another branch ends that branch, not the workflow with something to undo."""
    work = Work(*CHAIN)
    work.start()
    work.answer()
    for number in (2, 3):
        work.world.send(message(f"m-{number}", {"z": 1}, target="cyd"))
    assert not work.world.outcomes
    work.fail(1)

    assert work.given()[-1] == ("undo", {"undo": "a"})


def test_undo_whose_input_needs_an_answer_that_never_came_is_recorded_as_not_possible() -> None:
    """A compensation without a mapping takes the step's answer; where there is none, that is said instead of guessed."""
    steps = step("a", timeout_seconds=10, compensate={"agent": "undo"})
    work = Work(book=rules_with(workflow(steps)))
    work.start()
    work.world.pass_time(11)

    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "could not be undone: a" in outcome.detail
