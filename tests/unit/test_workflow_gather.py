"""Steps that begin once some of their needs are done: all, a quorum, the first answer; and what becomes of the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.cli.workflow_view import lines_of
from signalbox.contracts.envelope import TASK_FAILED
from signalbox.workflows.check import problems_of
from signalbox.workflows.compiled import CompiledWorkflow
from signalbox.workflows.graph import before, borne, ready
from tests.support.fleets import agent
from tests.support.workflow_world import NAMES, Work, step, workflow

VOTES = ("a", "b", "c")
AGENTS = {name: agent(name, [], closed=False) for name in NAMES}


def gather(least: int, *needs: str, **more: Any) -> dict[str, Any]:
    """A step that counts what its needs answered."""
    names = needs or VOTES
    seen = {one: f"{{{{ steps.{one}|default(none) }}}}" for one in names}
    return step("gather", *names, by="bob", needs_at_least=least, input=seen, **more)


def voting(least: int, *, votes: dict[str, Any] | None = None, **more: Any) -> Work:
    """Three steps at once, and one that gathers `least` of them."""
    work = Work(
        *(step(one, input={"step": one}, **(votes or {})) for one in VOTES), gather(least, **more)
    )
    work.start()
    return work


def test_gathering_step_begins_with_the_quorum_and_sees_who_answered() -> None:
    """Two of three: it is given out at the second answer; who did not answer is absent there."""
    work = voting(2)
    work.answer({"yes": 1}, 0)
    assert [name for name, _ in work.given()] == ["ann"] * 3
    work.answer({"yes": 0}, 2)

    assert work.given()[-1] == ("bob", {"a": {"yes": 1}, "b": None, "c": {"yes": 0}})


def test_first_answer_wins_and_the_late_ones_are_dead_letters() -> None:
    """One of three: the others are closed, told in a record each, and what they answer later is `late`, in no result."""
    work = voting(1)
    work.answer({"yes": 1}, 1)
    closed = [one for one in work.world.decisions if one.slot.endswith(":closed")]
    assert [one.slot for one in closed] == ["step:c:closed", "step:a:closed"]
    assert "gather began without it" in closed[0].reason
    work.answer({"yes": 9}, 0)
    work.answer({"yes": 9}, 2)
    work.answer({"n": 1}, 3)

    assert [one.reason for one in work.world.dead_letters] == ["late", "late"]
    assert [one.status for one in work.world.outcomes] == ["completed"]
    assert work.world.results == {}


def test_kept_stragglers_go_on_and_the_workflow_waits_for_them() -> None:
    """With `stragglers: keep` the third answer is taken, and a third that fails then fails nothing."""
    for kind in ("", TASK_FAILED):
        work = voting(2, stragglers="keep")
        work.answer({"yes": 1}, 0)
        work.answer({"yes": 1}, 1)
        work.answer({"n": 2}, 3)
        assert work.world.outcomes == []
        work.answer({"yes": 0}, 2, kind=kind)

        assert [one.status for one in work.world.outcomes] == ["completed"]
        assert work.world.dead_letters == []


def test_failed_needs_are_borne_while_the_quorum_can_be_reached() -> None:
    """One failure of three is borne where two are needed; the second one fails the workflow and says why."""
    work = voting(2)
    work.fail(0)
    assert work.run.phase == "running"
    work.answer({"yes": 1}, 1)
    work.answer({"yes": 1}, 2)
    work.answer({"n": 2}, 3)
    assert [one.status for one in work.world.outcomes] == ["completed"]

    work = voting(2)
    work.fail(0)
    work.fail(1)
    work.answer({"yes": 1}, 2)
    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "step gather: 0 of its 3 needs are done, it waits for 2" in outcome.detail


def test_needs_that_are_silent_or_skipped_do_not_count() -> None:
    """Silence past the timeout and a condition that does not hold are no results; enough others are."""
    votes = {"timeout_seconds": 20}
    work = voting(2, votes=votes)
    work.answer({"yes": 1}, 0)
    work.world.pass_time(21)
    assert [one.status for one in work.world.outcomes] == ["failed"]

    work = Work(step("a", when="data.n > 5"), step("b"), step("c"), gather(2, on_failure="fail"))
    work.start()
    work.answer({"yes": 1}, 0)
    work.answer({"yes": 1}, 1)
    assert work.given()[-1][0] == "bob"


def test_gathering_step_out_of_reach_is_skipped_where_it_says_so() -> None:
    """`on_failure: skip` of the gathering step: the workflow goes on without what it would have said."""
    work = voting(3, on_failure="skip")
    work.fail(0)
    work.answer({"yes": 1}, 1)
    work.answer({"yes": 1}, 2)

    assert [one.status for one in work.world.outcomes] == ["completed"]
    assert len(work.world.dispatches) == 3


def test_closed_straggler_that_may_have_acted_is_undone_when_the_workflow_fails_later() -> None:
    """Its agent had the task: nobody knows, so it is undone; one that never began is not."""
    work = Work(
        step("a", input={"step": "a"}, undo=True),
        step("b", input={"step": "b"}, undo=True),
        step("slow", "b", undo=True),
        gather(1, "a", "slow"),
    )
    work.start()
    work.answer({"yes": 1}, 0)
    work.fail()
    undone = []
    while not work.world.outcomes:
        undone.append(work.task().data["undo"])
        work.answer({})

    assert undone == ["b", "a"]
    assert [one.status for one in work.world.outcomes] == ["compensated"]


def test_closing_reaches_back_to_what_only_served_the_closed() -> None:
    """What leads to a straggler alone is closed with it; what others wait for as well goes on."""
    work = Work(
        step("a"),
        step("only"),
        step("shared"),
        step("slow", "only", "shared"),
        gather(1, "a", "slow"),
        step("after", "shared", "gather", by="cyd"),
    )
    work.start()
    work.answer({"yes": 1}, 0)

    assert work.run.step("only").status == work.run.step("slow").status == "skipped"
    assert work.run.step("shared").status == "running"
    work.answer({}, 2)
    work.answer({}, 3)
    work.answer({}, 4)
    assert [one.status for one in work.world.outcomes] == ["completed"]


def test_a_need_that_another_step_waits_for_whole_is_not_borne_nor_closed() -> None:
    """A plain step needs it, so its failure is the workflow's, as ever, and the quorum does not close it."""
    steps = (
        *(step(one) for one in VOTES),
        gather(1),
        step("after", "a", by="cyd"),
    )
    work = Work(*steps)
    work.start()
    work.answer({"yes": 1}, 1)
    assert work.run.step("a").status == "running"
    work.fail(0)
    assert work.run.phase == "stopping"


def test_two_gatherers_of_the_same_needs_each_have_their_quorum() -> None:
    """The one that waits for fewer closes nothing that the other still waits for."""
    late = {**gather(3), "id": "all"}
    work = Work(*(step(one) for one in VOTES), gather(1), late)
    work.start()
    work.answer({"yes": 1}, 0)
    assert [work.run.step(one).status for one in "bc"] == ["running", "running"]
    work.answer({"yes": 2}, 1)
    work.answer({"yes": 3}, 2)
    assert work.given()[-1][1] == {"a": {"yes": 1}, "b": {"yes": 2}, "c": {"yes": 3}}


def test_approval_of_a_closed_straggler_comes_late() -> None:
    """A person who answers an approval that nobody waits for any more hears that it is late, and nothing is given out."""
    approve = {"reason": "may it?", "deadline_seconds": 100, "default": "approve"}
    work = Work(step("a"), step("b", approve=approve), gather(1, "a", "b"))
    work.start()
    work.answer({"yes": 1}, 0)
    work.decide("approve")

    assert [one.reason for one in work.world.dead_letters] == ["late"]
    assert [name for name, _ in work.given()] == ["ann", "bob"]


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8),
    st.sampled_from(["close", "keep"]),
)
def test_quorum_for_any_order_of_answers_and_failures(least, fates, stragglers):
    """It begins exactly when `least` answers are there, fails exactly when they cannot come, and the run ends once."""
    names = ("a", "b", "c", "d")
    work = Work(
        *(step(one, input={"step": one}) for one in names),
        gather(least, *names, stragglers=stragglers),
    )
    work.start()
    answered, failed = set[int](), set[int]()
    everybody = [*fates, *((number, True) for number in range(4))]
    for number, succeeds in everybody:
        has_begun = len(answered) >= least
        is_over = 4 - len(failed) < least
        assert ("bob" in [name for name, _ in work.given()]) == has_begun
        if number in answered | failed or is_over or (has_begun and stragglers == "close"):
            continue
        (answered if succeeds else failed).add(number)
        work.answer({"yes": 1}, number, kind="" if succeeds else TASK_FAILED)
    open_tasks = [one.task for one in work.world.dispatches]
    for number, task in enumerate(open_tasks):
        if task.id in work.world.state_of("c-1").open:
            work.answer({}, number)

    (outcome,) = work.world.outcomes
    assert outcome.status == ("completed" if len(answered) >= least else "failed")
    assert work.world.results == {}


def problems(*steps: dict[str, Any], **more: Any) -> list[str]:
    """What the check says, with its places."""
    definition = workflow(*steps, **more)
    return [f"{'.'.join(map(str, one.loc))}: {one.what}" for one in problems_of(definition, AGENTS)]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            step("g", "a", "b", needs_at_least=3),
            "steps.2.needs_at_least: step 'g' waits for 3 of 2 needs",
        ),
        (
            step("g", "a", "b", stragglers="keep"),
            "steps.2.stragglers: step 'g' says what becomes of needs it does not wait for, and it waits for all",
        ),
        (
            step("g", "a", "b", needs_at_least=1, input={"x": "{{ steps.a }}"}),
            "steps.2.input.x: steps.a: step 'a' may have no result, not all of its kind are waited for",
        ),
    ],
)
def test_what_a_gathering_step_cannot_do_is_refused(last, said):
    """More than it needs, stragglers of nobody, and a result that need not be there."""
    assert problems(step("a"), step("b"), last) == [said]


def test_results_that_are_guarded_or_certain_are_not_refused() -> None:
    """`default` and `is defined` provide for absence; where all are waited for, or by another way, nothing is absent."""
    for last in (
        step("g", "a", "b", needs_at_least=1, input={"x": "{{ steps.a|default(none) }}"}),
        step("g", "a", "b", needs_at_least=2, input={"x": "{{ steps.a }}"}),
        step("g", "a", "b", needs_at_least=1, when="steps.a is defined"),
    ):
        assert problems(step("a"), step("b"), last) == []
    first, after = step("g", "a", "b", needs_at_least=1), {"x": "{{ steps.a }}"}
    assert problems(step("a"), step("b"), first, step("h", "g", "a", input=after)) == []
    assert len(problems(step("a"), step("b"), first, step("h", "g", input=after))) == 1
    assert len(problems(step("a"), step("b"), first, result=after)) == 1


def test_graph_of_gathering_steps() -> None:
    """What may begin, what has surely ended, and whose failure is borne, of a small graph."""
    needs = {"q": (), "a": ("q",), "b": (), "g": ("a", "b"), "h": ("g",)}
    assert ready(needs, done=["b"], begun=["q"], at_least={"g": 1}) == ("g",)
    assert ready(needs, done=[], skipped=["b"], begun=["q"], at_least={"g": 1}) == ()
    assert before(needs, "h", {"g"}) == {"g"}
    assert borne(needs, {"g"}) == {"q", "a", "b"}
    assert borne(needs, set()) == set()


def test_workflow_without_gathering_keeps_its_digest() -> None:
    """What is absent is not written, so definitions from before are the same definitions."""
    definition = workflow(step("a"))
    assert not {"needs_at_least", "stragglers"} & definition.as_json()["steps"][0].keys()
    assert CompiledWorkflow.compile(definition).at_least == {}


def test_show_says_how_many_are_waited_for_and_what_becomes_of_the_rest() -> None:
    """Beside the step, in the words of the definition."""
    for more, said in (({}, "the rest is closed"), ({"stragglers": "keep"}, "the rest goes on")):
        definition = workflow(*(step(one) for one in VOTES), gather(2, **more))
        shown = "\n".join(lines_of(CompiledWorkflow.compile(definition)))
        assert f"begins when 2 of 3 are done, {said}" in shown
