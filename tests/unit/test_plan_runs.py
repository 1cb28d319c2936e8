"""A run that plans: what the planner is told, how its tasks go out, what becomes of them, and plans that are refused."""

from __future__ import annotations

import orjson
import pytest

from signalbox.contracts.envelope import TASK_ESCALATED, TASK_FAILED, Envelope
from signalbox.contracts.ids import dispatch_id
from signalbox.routing.commands import Command, Dispatch, Recall, RecordDecision, StoreResult
from signalbox.routing.reduce import reduce
from signalbox.routing.rules import Rulebook
from signalbox.routing.state import Conversation
from signalbox.routing.ticks import MessageArrived, Origin, Recalled, Tick
from signalbox.workflows.run import PlannedTask
from tests.support.fleets import agent, message, reply
from tests.support.plans import Planned, book_of, planning, task
from tests.support.workflow_world import Work, rules_with, step, workflow


def test_whoever_plans_is_given_its_input_the_agents_and_how_many_tasks() -> None:
    """The descriptions come from the definitions; the agents that may not be given tasks are not among them."""
    work = Planned(max_tasks=5)

    assert work.given() == [
        (
            "planner",
            {
                "n": 7,
                "agents": [
                    {
                        "name": name,
                        "description": f"Does the work of {name}.",
                        "input": f"What {name} needs.",
                    }
                    for name in ("ann", "bob")
                ],
                "max_tasks": 5,
            },
        )
    ]


def test_an_accepted_plan_is_recorded_and_gives_out_all_tasks_that_need_nothing() -> None:
    """The commands: the plan is a record, the answer is kept; then each task a decision and a dispatch, under ids that follow."""
    book = book_of(planning())
    asked = message("m-1", {"n": 1}, type="work.asked")
    state, commands = _tick(Conversation("c-1"), book, _arrived(asked))
    planner = next(one.task for one in commands if isinstance(one, Dispatch))
    answer = reply(planner, {"tasks": [task("a"), task("b", by="bob"), task("c", "a", "b")]})
    state, commands = _tick(state, book, _arrived(answer))

    record, kept, recall = commands
    assert isinstance(record, RecordDecision)
    assert (record.decision.slot, record.decision.agent) == ("plan:plan", "NONE")
    assert record.decision.reason == "3 tasks: a ann; b bob; c ann after a, b"
    assert kept == StoreResult(1, answer)
    assert recall == Recall((0, 1))
    state, commands = _tick(state, book, Recalled({0: asked, 1: answer}))

    told = [
        (one.decision.slot if isinstance(one, RecordDecision) else one.task.id) for one in commands
    ]
    assert told == [
        "step:plan_a",
        dispatch_id("m-1", "step:plan_a"),
        "step:plan_b",
        dispatch_id("m-1", "step:plan_b"),
    ]
    assert state.workflow is not None
    assert state.workflow.plans["plan"][2] == PlannedTask("c", "ann", ("a", "b"))


def _arrived(envelope: Envelope) -> MessageArrived:
    return MessageArrived(envelope, Origin("agent_messages"))


def _tick(
    state: Conversation, book: Rulebook, tick: Tick
) -> tuple[Conversation, tuple[Command, ...]]:
    """Take a tick with state that came out of its blob."""
    return reduce(Conversation.decode(state.encode()), tick, 1_700_000_000_000, book)


def test_a_result_releases_what_needs_it_and_is_handed_on() -> None:
    """A task begins with the last of its needs, and is given exactly what those answered."""
    work = Planned()
    work.plan(task("a"), task("b", by="bob"), task("c", "a", "b"), task("d", "a", by="bob"))
    assert work.doing() == ["a", "b"]
    work.do("a", {"x": 1})
    assert work.doing() == ["a", "b", "d"]
    assert work.given()[-1] == ("bob", {"n": 7, "task": "Do d.", "results": {"a": {"x": 1}}})
    work.do("b", {"y": 2})

    assert work.given()[-1] == (
        "ann",
        {"n": 7, "task": "Do c.", "results": {"a": {"x": 1}, "b": {"y": 2}}},
    )


def test_what_is_for_one_agent_alone_goes_into_its_tasks_only() -> None:
    """`input_for` is given to each task of its agent, before what `input` says; the tasks of others never see it."""
    work = Planned(input_for={"bob": {"big": "{{ data.n }}", "n": "{{ data.n + 1 }}"}})
    work.plan(task("a"), task("b", by="bob"), task("c", "a", by="bob"))
    work.do("a", {"x": 1})

    given = {data["task"]: {**data, "results": 0} for _, data in work.given() if "task" in data}
    assert given["Do a."] == {"n": 7, "task": "Do a.", "results": 0}
    assert given["Do b."] == {"n": 8, "big": 7, "task": "Do b.", "results": 0}
    assert given["Do c."] == {"n": 8, "big": 7, "task": "Do c.", "results": 0}


def test_what_needs_the_plan_waits_for_all_tasks_and_is_given_their_results() -> None:
    """The synthesis begins with the last task; the outcome has the final answer, and every task cost a hop."""
    work = Planned()
    work.plan(task("a"), task("b", "a", by="bob"))
    work.do("a", {"x": 1})
    assert work.world.dispatches[-1].agent == "bob"
    work.do("b", {"x": 2})
    (given,) = (one.task.data for one in work.world.dispatches if one.agent == "syn")
    assert [(one["id"], one["status"], one["result"]) for one in given["results"]] == [
        ("a", "done", {"x": 1}),
        ("b", "done", {"x": 2}),
    ]
    work.reply_of("syn", {"text": "both"})

    (outcome,) = work.world.outcomes
    assert (outcome.status, outcome.result, outcome.hops) == ("completed", {"answer": "both"}, 4)
    assert work.world.results == {}
    assert work.world.pending == {}


def test_a_task_that_fails_may_be_skipped() -> None:
    """After its retries it is skipped: what needs it is given null, the synthesis is told, the run completes."""
    work = Planned(on_failure="skip", retries=1)
    work.plan(task("a"), task("b", "a", by="bob"))
    work.do("a", {"detail": "no paper"}, kind=TASK_FAILED)
    work.do("a", {"detail": "no ink"}, kind=TASK_FAILED)
    assert work.given()[-1] == ("bob", {"n": 7, "task": "Do b.", "results": {"a": None}})
    work.do("b", {"y": 2})
    told = work.given()[-1][1]["results"]
    assert [(one["status"], one["result"]) for one in told] == [
        ("skipped", None),
        ("done", {"y": 2}),
    ]
    work.reply_of("syn", {"text": "half"})

    assert work.slots().count("step:plan_a:2") == 1
    assert "no ink, at attempt 2 of 2" in work.reasons("step:plan_a:failed")[0]
    assert [one.status for one in work.world.outcomes] == ["completed"]


def test_a_task_that_fails_for_good_is_skipped_without_another_try() -> None:
    """What its agent calls permanent costs no second task; the plan goes on as after the last retry."""
    work = Planned(on_failure="skip", retries=1)
    work.plan(task("a"), task("b", "a", by="bob"))
    work.do("a", {"detail": "no numbers", "permanent": True}, kind=TASK_FAILED)

    assert work.doing() == ["a", "b"]
    assert "no numbers; trying again cannot help" in work.reasons("step:plan_a:failed")[0]


def test_a_task_that_fails_fails_the_run_where_nothing_else_is_said() -> None:
    """What runs comes to rest, nothing more is given out, and the outcome names the task."""
    work = Planned()
    work.plan(task("a"), task("b", by="bob"), task("c", "b"))
    work.do("a", {"detail": "no"}, kind=TASK_FAILED)
    assert not work.world.outcomes
    work.do("b")

    assert work.doing() == ["a", "b"]
    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "step plan_a: ann: no" in outcome.detail


def test_a_silent_task_is_tried_again_and_its_late_answer_changes_nothing() -> None:
    """After the plan's `timeout_seconds` it is a failed attempt; the record says who was silent."""
    work = Planned(timeout_seconds=30, retries=1)
    work.plan(task("a"), task("b", "a"))
    work.world.pass_time(29)
    assert work.doing() == ["a"]
    work.world.pass_time(2)
    assert work.doing() == ["a", "a"]
    assert "ann did not answer in time" in work.reasons("step:plan_a:2")[0]
    work.answer({"x": "late"}, 1)
    assert [one.reason for one in work.world.dead_letters] == ["late"]
    work.do("a", {"x": "new"})

    assert work.given()[-1][1]["results"] == {"a": {"x": "new"}}


def test_a_task_that_is_silent_to_the_end_has_failed() -> None:
    """Nothing waits for ever: the run ends with who did not answer."""
    work = Planned(timeout_seconds=30)
    work.plan(task("a"))
    work.world.pass_time(31)

    assert "ann did not answer in time" in work.world.outcomes[0].detail


def test_a_plan_is_refused_asked_for_again_with_what_is_wrong_and_then_taken() -> None:
    """The refusal is a record, the planner gets it as `context`, nothing was given out meanwhile."""
    work = Planned()
    work.plan(task("a", by="zoe"), task("b"))
    assert work.world.dispatches[-1].agent == "planner"
    problem = "task a: agent is 'zoe'; choose one of ann, bob"
    assert work.given()[-1][1]["context"] == f"The plan before was refused: {problem}"
    assert work.given()[-1][1]["max_tasks"] == 12
    (record,) = [one for one in work.world.decisions if one.slot == "plan:plan:refused"]
    assert (record.agent, record.path) == ("NONE", "workflow")
    assert problem in record.reason
    work.plan(task("b"))

    assert work.doing() == ["b"]
    assert work.slots() == ["step:plan", "step:plan:2", "step:plan_b"]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([task("a", by="zoe")], "agent is 'zoe'; choose one of ann, bob"),
        ([task("a", "b"), task("b", "a")], "tasks need each other in a circle: "),
        ([task("a", "a")], "tasks need each other in a circle: a → a"),
        ([task("a", "b")], "task a needs 'b', which is no task of this plan"),
        ([task("a", by="other")], "agent is 'other'; choose one of ann, bob"),
        ([task(f"t{n}") for n in range(10_000)], "10000 tasks; at most 12 are allowed"),
        (["a", 7], "task 1 is 'a', not an object"),
        ([], "no tasks"),
    ],
)
def test_a_plan_that_cannot_run_ends_on_record_and_nothing_of_it_is_given_out(tasks, said) -> None:
    """Strangers, circles, ten thousand tasks, rubbish: a record and the outcome say what is wrong, and nobody else is asked."""
    work = Planned(rounds=0)
    work.plan(*tasks)

    (record,) = [one for one in work.world.decisions if one.slot == "plan:plan:refused"]
    (outcome,) = work.world.outcomes
    assert said in record.reason
    assert outcome.status == "failed"
    assert said in outcome.detail
    assert [one.agent for one in work.world.dispatches] == ["planner"]
    assert not work.world.dead_letters


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_plan_that_is_refused_once_more_than_there_are_rounds_fails_the_run(rounds) -> None:
    """It is asked for again as often as it says; each refusal has a record, and the outcome says what was wrong."""
    work = Planned(rounds=rounds)
    for _ in range(rounds + 1):
        work.plan(*(task(f"t{n}") for n in range(10_000)))

    (outcome,) = work.world.outcomes
    assert outcome.status == "failed"
    assert "10000 tasks; at most 12 are allowed" in outcome.detail
    assert [one.agent for one in work.world.dispatches] == ["planner"] * (rounds + 1)
    slots = [one.slot for one in work.world.decisions if one.slot.startswith("plan:")]
    assert (
        slots == ["plan:plan:refused", "plan:plan:refused:2", "plan:plan:refused:3"][: rounds + 1]
    )
    assert work.world.results == {}


def test_a_planner_that_fails_has_its_own_retries_again_for_each_plan() -> None:
    """A failed attempt is no plan: rounds and retries are counted apart."""
    work = Planned(rounds=1)
    work.reply_of("planner", {"detail": "busy"}, kind=TASK_FAILED)
    work.plan()
    work.reply_of("planner", {"detail": "busy"}, kind=TASK_FAILED)
    work.plan(task("a"))

    assert work.doing() == ["a"]


def test_a_planner_whose_contract_has_no_room_for_context_is_asked_again_without() -> None:
    """The free text is handed on where it is taken."""
    fields = ("n", "agents", "max_tasks")
    staff = (
        agent("planner", fields),
        *(agent(one, [], closed=False) for one in ("ann", "bob", "syn")),
    )
    work = Work(book=rules_with(planning(), agents=staff))
    work.start()
    work.answer({"tasks": []})

    assert set(work.given()[-1][1]) == set(fields)


def test_a_planner_whose_contract_refuses_what_it_is_told_fails_the_step() -> None:
    """What came past the checks is refused before anybody gets it."""
    staff = (
        agent("planner", ["n"]),
        *(agent(one, [], closed=False) for one in ("ann", "bob", "syn")),
    )
    work = Work(book=rules_with(planning(), agents=staff))
    work.start()

    assert not work.world.dispatches
    assert "planner does not accept the data" in work.world.outcomes[0].detail


def test_a_plan_step_that_may_fail_is_skipped_with_an_empty_list_of_tasks() -> None:
    """The synthesis goes on with what there is: nothing."""
    plan = {"agents": ["ann"], "rounds": 0}
    work = Work(
        step("plan", plan=plan, on_failure="skip"),
        step("answer", "plan", by="bob", input={"results": {"$tasks": "plan"}}),
    )
    work.start()
    work.answer({"tasks": "none"})

    assert work.given()[-1] == ("bob", {"results": []})


def test_a_person_agrees_before_anybody_plans() -> None:
    """An approval works as for any step; a plan that is refused later does not ask the person again."""
    plan = {"agents": ["ann"]}
    work = Work(step("plan", by="bob", plan=plan, approve={"reason": "Plan for {{ data.n }}?"}))
    work.start()
    assert not work.world.dispatches
    work.decide("approve")
    work.answer({"tasks": []})
    work.answer({"tasks": [task("a")]})

    assert [one.agent for one in work.world.dispatches] == ["bob", "bob", "ann"]
    assert len(work.world.reviews) == 1


def test_an_escalated_task_waits_for_a_person_alone() -> None:
    """The others go on; agreed to, the agent is given the task once more."""
    work = Planned()
    work.plan(task("a"), task("b", by="bob"))
    work.do("a", {"reason": "which one?"}, kind=TASK_ESCALATED)
    assert work.world.reviews[-1].step == "plan_a"
    work.do("b")
    work.decide("approve")

    assert work.doing() == ["a", "b", "a"]


def test_a_duplicate_and_a_late_answer_change_nothing() -> None:
    """The plan twice is dropped, a result for a task that is closed is a dead letter; nothing goes out twice."""
    work = Planned()
    plan = {"tasks": [task("a"), task("b", "a")]}
    for _ in range(2):
        work.answer(plan, 0)
    work.answer({"tasks": [task("z")]}, 0, id="another")
    work.do("a", {"x": 1})
    work.answer({"x": 2}, 1)
    work.answer({"x": 3}, 1, id="once-more")

    assert work.doing() == ["a", "b"]
    assert work.given()[-1][1]["results"] == {"a": {"x": 1}}
    assert [one.reason for one in work.world.dead_letters] == ["late", "late"]


def test_a_result_from_an_agent_that_was_not_given_the_task_is_late() -> None:
    """Who answers is who was asked, whatever the message says."""
    work = Planned()
    work.plan(task("a"))
    work.world.send(reply(work.task(), {"x": 1}, source="agent/bob", id="forged"))

    assert [one.reason for one in work.world.dead_letters] == ["late"]
    assert work.run.step("plan_a").status == "running"


def test_planned_tasks_spend_hops() -> None:
    """The task that would be one too many is not given out, and the outcome says which budget it was."""
    work = Planned(policy={"budgets": {"hops": 3}})
    work.plan(task("a"), task("b"), task("c", by="bob"))
    work.do("a")
    work.do("b")

    (outcome,) = work.world.outcomes
    assert (outcome.status, outcome.hops) == ("hop_budget", 3)


def test_a_run_whose_time_is_over_ends_with_its_tasks() -> None:
    """Open tasks end with it, whatever they would still have had."""
    work = Planned(policy={"budgets": {"seconds": 100}})
    work.plan(task("a"), task("b", by="bob"))
    work.world.pass_time(101)

    (outcome,) = work.world.outcomes
    assert outcome.status == "expired"
    assert work.world.results == {}


def test_a_plan_that_comes_when_the_run_has_stopped_gives_out_nothing() -> None:
    """What runs comes to rest; a plan that nobody will carry out is not even read."""
    plan = {"agents": ["ann"]}
    work = Work(step("plan", by="bob", plan=plan), step("b", by="cyd"))
    work.start()
    work.fail(1)
    work.answer({"tasks": [task("a")]}, 0)

    assert [one.agent for one in work.world.dispatches] == ["bob", "cyd"]
    assert not [one for one in work.world.decisions if one.slot.startswith("plan:")]
    assert work.world.outcomes[0].status == "failed"


def test_what_was_done_before_a_failing_task_is_undone() -> None:
    """Planned tasks need nothing undone; what the file says is undone as ever."""
    plan = {"agents": ["ann"]}
    work = Work(step("book", undo=True), step("plan", "book", by="bob", plan=plan))
    work.start()
    work.answer()
    work.answer({"tasks": [task("a")]})
    work.fail()
    assert work.given()[-1] == ("undo", {"undo": "book"})
    work.answer()

    assert work.world.outcomes[0].status == "compensated"


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_plan_goes_on_under_the_version_it_was_made_under_while_that_is_kept(is_kept) -> None:
    """A change does not touch a run; once its version is gone, a version that names other agents is no way to go on."""
    work = Planned()
    work.plan(task("a"), task("b", "a", by="bob"))
    for number in range(1 if is_kept else 3):
        newer = planning(agents=["ann", "other"], max_tasks=number + 1)
        current = book_of(newer).current
        assert current is not None
        work.world.activate(work.world.rulebook.activate(current))
    work.do("a", {"x": 1})

    if is_kept:
        assert work.given()[-1] == ("bob", {"n": 7, "task": "Do b.", "results": {"a": {"x": 1}}})
    else:
        assert work.doing() == ["a"]
        assert "definition is not active any more" in work.world.outcomes[0].detail


def test_an_agent_that_is_not_active_any_more_is_not_told_of_and_not_planned_for() -> None:
    """Between two rounds it went: the planner hears of those that are left, and a plan for it is refused."""
    book = book_of(planning())
    work = Work(book=book)
    work.start()
    assert book.current is not None
    left = tuple(agent(one, [], closed=False) for one in ("planner", "ann", "syn"))
    current = rules_with(planning(agents=["ann"]), agents=left).current
    assert current is not None
    work.world.activate(book.activate(current))
    work.answer({"tasks": [task("a", by="bob")]})

    again = work.given()[-1][1]
    assert [one["name"] for one in again["agents"]] == ["ann"]
    assert "agent is 'bob'; choose one of ann" in again["context"]


def test_a_second_plan_may_build_on_the_first() -> None:
    """Its planner waits for the first one's tasks and may be given them; its tasks have their own names."""
    first = {"agents": ["ann"]}
    second = {"agents": ["bob"], "input": {"before": {"$tasks": "plan"}}}
    work = Work(
        step("plan", by="cyd", plan=first),
        step("more", "plan", by="cyd", plan=second, input={"done": {"$tasks": "plan"}}),
        result={"said": {"$tasks": "more"}},
    )
    work.start()
    work.answer({"tasks": [task("a")]})
    work.answer({"x": 1})
    assert work.given()[-1][1]["done"][0]["result"] == {"x": 1}
    work.answer({"tasks": [task("a", by="bob")]})
    assert work.given()[-1][1]["before"][0]["task"] == "Do a."
    work.answer({"x": 2})

    assert work.slots()[-1] == "step:more_a"
    (outcome,) = work.world.outcomes
    assert [one["result"] for one in outcome.result["said"]] == [{"x": 2}]


def test_the_blob_keeps_of_a_plan_who_does_what_after_what() -> None:
    """Descriptions and answers, however long, are kept beside the blob."""
    work = Planned()
    long = {"description": "x" * 3000}
    work.plan(task("a", **long), task("b", "a", by="bob", **long))
    work.answer({"text": "y" * 50_000})
    head = orjson.loads(work.world.blobs["c-1"].partition(b"\n")[0])

    assert head["workflow"]["plans"] == {"plan": [["a", "ann"], ["b", "bob", "a"]]}
    assert len(work.world.blobs["c-1"]) < 2_000


def test_state_with_a_plan_survives_the_blob_and_a_run_without_one_says_nothing_of_plans() -> None:
    """What is written is read; a run that does not plan pays nothing for it."""
    work = Planned()
    assert b"plans" not in work.world.blobs["c-1"]
    work.plan(task("a"), task("b", "a", by="bob"))
    blob = work.world.blobs["c-1"]

    assert Conversation.decode(blob).encode() == blob


def test_state_of_a_run_of_version_3_goes_on() -> None:
    """A savepoint from before there were plans is read, and its run ends as it would have."""
    work = Work(step("a"), step("b", "a", by="bob"))
    work.start()
    head, _, seen = work.world.blobs["c-1"].partition(b"\n")
    old = orjson.dumps({**orjson.loads(head), "v": 3})
    work.world.blobs["c-1"] = b"\n".join((old, seen))
    work.answer()
    work.answer()

    assert [one.status for one in work.world.outcomes] == ["completed"]


def test_a_whole_run_with_twelve_tasks_ends_with_one_answer() -> None:
    """Scripted agents, as the prompt asks: sub-tasks in three layers, each done once, one synthesized answer."""
    work = Planned(policy={"budgets": {"hops": 14}})
    layers = [[f"l{layer}_{n}" for n in range(4)] for layer in range(3)]
    work.plan(
        *(
            task(name, *(layers[number - 1] if number else ()), by=("ann", "bob")[at % 2])
            for number, layer in enumerate(layers)
            for at, name in enumerate(layer)
        )
    )
    for number, layer in enumerate(layers, 1):
        assert work.doing() == [name for done in layers[:number] for name in done]
        for name in layer:
            work.do(name, {"said": name})
    work.reply_of("syn", {"text": "twelve"})

    (outcome,) = work.world.outcomes
    assert (outcome.status, outcome.result, outcome.hops) == (
        "completed",
        {"answer": "twelve"},
        14,
    )


def test_a_workflow_in_a_conversation_is_expanded_for_itself_alone() -> None:
    """Two runs of one workflow have each their own tasks."""
    work = Planned()
    work.plan(task("a"))
    work.world.send(message("m-2", {"n": 8}, type="work.asked", conversation="c-2"))
    work.plan(task("b"), task("c", by="bob"))

    assert work.doing() == ["a", "b", "c"]
    assert [len(work.world.state_of(one).workflow.plans["plan"]) for one in ("c-1", "c-2")] == [
        1,
        2,
    ]


def test_an_unplanned_step_of_a_workflow_is_not_asked_for_a_plan() -> None:
    """Tasks in the answer of an ordinary step are data."""
    work = Work(book=rules_with(workflow(step("a"))))
    work.start()
    work.answer({"tasks": [task("x")]})

    assert [one.status for one in work.world.outcomes] == ["completed"]
