"""What an agent answers as a plan, and the steps a plan becomes: a sound one is taken, anything else is told in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.definitions.workflow import MAX_STEPS
from signalbox.workflows.compiled import CompiledWorkflow
from signalbox.workflows.errors import TemplateProblem
from signalbox.workflows.expanded import with_plans
from signalbox.workflows.plan_answer import RefusedPlan, read_plan, summary
from signalbox.workflows.planned import briefing, expand
from signalbox.workflows.run import PlannedTask
from tests.support.fleets import agent
from tests.support.plans import planning, task
from tests.support.workflow_world import step, workflow


def read(
    *tasks: Any, taken: tuple[str, ...] = ("plan", "answer", "plan_old"), most: int = 12
) -> Any:
    return read_plan(
        {"tasks": list(tasks)},
        step_id="plan",
        agents=["ann", "bob"],
        max_tasks=most,
        taken=taken,
    )


def test_a_sound_plan_is_read_in_its_order() -> None:
    """Ids, agents and needs; a need said twice counts once, fields that nobody asked for are left alone."""
    plan = read(task("a"), task("b", "a", "a", by="bob", title="B"), task("c"))

    assert plan == (
        PlannedTask("a", "ann"),
        PlannedTask("b", "bob", ("a",)),
        PlannedTask("c", "ann"),
    )


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([], "the plan has no tasks; at least one is needed"),
        ([task(f"t{n}") for n in range(13)], "13 tasks; at most 12 are allowed"),
        (["t1"], "task 1 is 't1', not an object"),
        ([task("a"), task("a")], "task 2: id 'a' is there twice"),
        ([task("A")], "task 1: id is 'A'; it is a letter, then letters, digits and underscores, in lower case"),
        ([task("a" * 41)], f"id is '{'a' * 39}…'; it is a letter"),
        ([task("a\n")], "task 1: id is 'a\\n'"),
        ([{"agent": "ann", "description": "x"}], "task 1: id is missing"),
        ([task(None)], "task 1: id is missing"),
        ([task(7)], "task 1: id is a int"),
        ([task("old")], "id 'old' makes the step 'plan_old', which there is already"),
        ([task("a", by="zoe")], "task a: agent is 'zoe'; choose one of ann, bob"),
        ([task("a", by=["ann"])], "task a: agent is a list; choose one of ann, bob"),
        ([task("a", description=" ")], "task a: description is ' '; say what is to be done"),
        ([task("a", description=None)], "task a: description is missing"),
        ([task("a", description="x" * 4001)], "task a: a description of 4001 characters; at most 4000"),
        ([task("a", "b")], "task a needs 'b', which is no task of this plan"),
        ([task("a", needs="b")], "task a: needs is 'b'; a list of task ids is needed"),
        ([task("a", needs=[{}])], "task a needs a dict, which is no task of this plan"),
        ([task("a", "a")], "tasks need each other in a circle: a → a"),
        ([task("a", "c"), task("b", "a"), task("c", "b")], "in a circle: "),
    ],
)  # fmt: skip
def test_what_is_no_plan_is_told_in_words_an_agent_can_act_on(tasks, said) -> None:
    """The task, the value, and what is right."""
    refused = read(*tasks)

    assert isinstance(refused, RefusedPlan)
    assert said in refused.problem


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "`tasks` is missing; a list of {id, agent, description, needs} is needed"),
        ({"tasks": {"a": {}}}, "`tasks` is a dict"),
        ({"tasks": "research, then write"}, "`tasks` is 'research, then write'"),
    ],
)
def test_an_answer_without_a_list_of_tasks_is_refused(data, said) -> None:
    """What else it says instead is shown."""
    refused = read_plan(data, step_id="plan", agents=["ann"], max_tasks=1, taken=())

    assert isinstance(refused, RefusedPlan)
    assert said in refused.problem


def test_ten_thousand_tasks_are_counted_and_not_looked_at() -> None:
    """A plan of any size is refused at once, in a short sentence: its tasks, which are nothing at all here, are never read."""

    class Tasks(list[Any]):
        def __iter__(self) -> Any:
            raise AssertionError("the tasks were read")

    refused = read_plan(
        {"tasks": Tasks(range(10_000))}, step_id="plan", agents=["ann"], max_tasks=50, taken=()
    )

    assert refused == RefusedPlan("10000 tasks; at most 50 are allowed")


def test_a_plan_with_everything_wrong_is_told_shortly() -> None:
    """Three problems, and that there are more."""
    refused = read(*(task(f"t{n}", by="zoe") for n in range(12)))

    assert isinstance(refused, RefusedPlan)
    assert refused.problem.count("choose one of") == 3
    assert refused.problem.endswith("; and more is wrong")


def test_a_plan_that_makes_too_many_steps_is_refused() -> None:
    """A run has as many steps as a workflow may have."""
    refused = read(task("a"), task("b"), taken=tuple(f"s{n}" for n in range(MAX_STEPS - 1)))

    assert isinstance(refused, RefusedPlan)
    assert "2 tasks besides 199 steps; a run has at most 200 steps" in refused.problem


def test_a_plan_is_told_in_a_line_that_fits_a_record() -> None:
    """Who does what after what; a long plan is cut between tasks, and says how many are left."""
    assert summary([PlannedTask("a", "ann")]) == "1 task: a ann"
    two = [PlannedTask("a", "ann"), PlannedTask("b", "bob", ("a",))]
    assert summary(two) == "2 tasks: a ann; b bob after a"
    names = [f"{'t' * 38}{n}" for n in range(10, 60)]
    long = summary([PlannedTask(one, "a" * 63, tuple(names[:40])) for one in names])
    assert len(long) <= 1000
    assert long.startswith("50 tasks: ")
    assert long.endswith(" more")


def test_whoever_plans_is_told_whom_there_is_and_how_many_tasks() -> None:
    """Names and descriptions of the plan's agents, in its order, those that are there."""
    plan = planning(max_tasks=3).steps[0].plan
    assert plan is not None
    staff = {"bob": agent("bob", ["q"], description="Writes."), "zoe": agent("zoe", ["q"])}

    assert briefing(plan, staff) == {
        "agents": [{"name": "bob", "description": "Writes.", "input": "What bob needs."}],
        "max_tasks": 3,
    }


PLAN = {"plan": (PlannedTask("a", "ann"), PlannedTask("b", "bob", ("a",)))}


def test_tasks_become_ordinary_steps_behind_those_of_the_file() -> None:
    """Ids, needs, failure, retries and silence as the plan says; each declared step that needs the plan needs its tasks too."""
    expanded = expand(planning(retries=2, timeout_seconds=9, on_failure="skip"), PLAN)

    assert [one.id for one in expanded.steps] == ["plan", "answer", "plan_a", "plan_b"]
    answer, _, b = expanded.steps[1:]
    assert answer.needs == ("plan", "plan_a", "plan_b")
    assert (b.agent, b.needs) == ("bob", ("plan", "plan_a"))
    assert (b.retries, b.timeout_seconds, b.on_failure, b.compensate) == (2, 9, "skip", "none")


def test_a_task_is_given_the_plans_input_its_description_and_what_it_needs() -> None:
    """What the task says is named in the definition and never written into it."""
    expanded = expand(planning(), PLAN)

    assert expanded.steps[3].input == {
        "n": "{{ data.n }}",
        "task": "{{ steps.plan.tasks[1].description }}",
        "results": {"a": "{{ steps.plan_a }}"},
    }


@pytest.mark.parametrize("on_failure", ["skip", "fail"])
def test_tasks_are_listed_with_what_became_of_them(on_failure) -> None:
    """`$tasks` is a list in the order of the plan; a task without a result was skipped, and its result is null."""
    compiled = with_plans(CompiledWorkflow.compile(planning(on_failure=on_failure)), PLAN)
    assert compiled is not None
    results = {"plan": {"tasks": [task("a"), task("b", "a", by="bob")]}, "plan_b": {"y": 2}}
    if on_failure == "fail":
        results["plan_a"] = {"x": 1}
    first, second = compiled.step("answer").task_data({"n": 1}, results)["results"]

    told = {"id": "a", "agent": "ann", "task": "Do a."}
    done = {"status": "done", "result": {"x": 1}}
    assert first == told | (done if on_failure == "fail" else {"status": "skipped", "result": None})
    assert second["status"] == "done"
    assert second["result"] == {"y": 2}


def test_what_a_task_says_is_never_read_as_a_template() -> None:
    """An agent's text with marks of a template stays a text."""
    compiled = with_plans(CompiledWorkflow.compile(planning()), PLAN)
    assert compiled is not None
    evil = "{{ data.secret }} {% for x in y %}"
    given = compiled.step("plan_a").task_data(
        {"n": 1, "secret": "s"}, {"plan": {"tasks": [task("a", description=evil)]}}
    )

    assert given == {"n": 1, "task": evil, "results": {}}


def test_a_plan_step_without_a_plan_has_an_empty_list_of_tasks() -> None:
    """As it is before it answered, and where it was skipped."""
    compiled = CompiledWorkflow.compile(planning())

    assert compiled.order == ("plan", "answer")
    assert compiled.step("answer").task_data({"n": 1}, {}) == {"results": []}


def test_a_workflow_that_does_not_plan_is_left_as_it_is() -> None:
    """The very same definition and compiled workflow: nothing is paid for plans that are not there."""
    plain = workflow(step("a"))
    compiled = CompiledWorkflow.compile(plain)

    assert expand(plain, {}) is plain
    assert with_plans(compiled, {}) is compiled


def test_an_expanded_workflow_is_compiled_once() -> None:
    """Whoever asks again for the same tasks of the same version gets what was made before; another version has its own."""
    compiled = CompiledWorkflow.compile(planning())
    other = CompiledWorkflow.compile(planning(retries=3))

    assert with_plans(compiled, PLAN) is with_plans(compiled, dict(PLAN))
    assert with_plans(other, PLAN) is not with_plans(compiled, PLAN)


@pytest.mark.parametrize(
    "plans",
    [
        {"answer": (PlannedTask("a", "ann"),)},
        {"gone": (PlannedTask("a", "ann"),)},
        {"plan": (PlannedTask("a", "other"),)},
    ],
)
def test_a_definition_without_room_for_a_plan_has_none(plans) -> None:
    """A version that knows no such plan step, or not these agents, is not what a run with this plan can go by."""
    assert with_plans(CompiledWorkflow.compile(planning()), plans) is None


def test_tasks_that_would_be_a_step_of_the_file_have_no_room() -> None:
    """A step that a newer version has under that id is in the way."""
    definition = workflow(
        step("plan", by="planner", plan={"agents": ["ann"]}), step("plan_a", "plan")
    )

    assert with_plans(CompiledWorkflow.compile(definition), {"plan": PLAN["plan"][:1]}) is None


def test_tasks_of_nothing_do_not_compile() -> None:
    """A definition that came past the checks is refused where it is compiled, not while it runs."""
    wrong = workflow(step("a"), step("b", "a", input={"x": {"$tasks": "a"}}))

    with pytest.raises(TemplateProblem, match=r"\{\$tasks: 'a'\} is not the tasks of a plan"):
        CompiledWorkflow.compile(wrong)
    with pytest.raises(TemplateProblem, match="a call is not allowed"):
        CompiledWorkflow.compile(planning(input={"x": "{{ data.n() }}"}))
