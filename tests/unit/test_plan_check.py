"""What `agents validate` refuses of steps that plan, each at its line and column, and that it is silent on what is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from signalbox.errors import DefinitionError
from signalbox.workflows.loading import load_fleet, problems_in
from tests.unit.test_workflow_check import TEXT, fields, write

TASK = fields("id agent description", id=TEXT, agent=TEXT, description=TEXT)
TASK["properties"]["needs"] = {"type": "array", "items": TEXT}
PLAN = fields("tasks", tasks={"type": "array", "items": TASK})
BRIEFED = {"agents": {"type": "array"}, "max_tasks": {"type": "integer"}, "context": TEXT}
GIVEN = fields("prompt task", prompt=TEXT, task=TEXT, results={"type": "object"})
AGENTS = {
    "planner": (fields("prompt agents max_tasks", prompt=TEXT, **BRIEFED), PLAN),
    "mute": (fields("prompt", prompt=TEXT), PLAN),
    "talker": (fields("prompt", prompt=TEXT, **BRIEFED), fields("text", text=TEXT)),
    "untaught": (
        fields("prompt", prompt=TEXT, **BRIEFED),
        fields("tasks", tasks={"type": "array", "items": fields("id", id=TEXT, agent=TEXT)}),
    ),
    "researcher": (GIVEN, fields("findings", findings=TEXT)),
    "writer": (GIVEN, fields("text", text=TEXT)),
    "picky": (
        fields("prompt task results city", prompt=TEXT, task=TEXT, city=TEXT, results={}),
        fields("text", text=TEXT),
    ),
    "curt": (fields("task", task={"type": "integer"}), fields("text", text=TEXT)),
    "strict": (
        fields(
            "task",
            prompt=TEXT,
            task=TEXT,
            results={"type": "object", "additionalProperties": fields("text", text=TEXT)},
        ),
        fields("text", text=TEXT),
    ),
    "synthesizer": (
        fields("prompt results", prompt=TEXT, results={"type": "array"}),
        fields("answer", answer=TEXT),
    ),
}

GOOD = """\
name: research
description: Plans, does, and sums up.
starts_on: [question.asked]
input:
  description: A question.
  schema:
    type: object
    required: [prompt]
    properties: {prompt: {type: string, maxLength: 100}}
steps:
- id: plan
  agent: planner
  input: {prompt: '{{ data.prompt }}'}
  plan:
    agents: [researcher, writer]
    max_tasks: 12
    input: {prompt: '{{ data.prompt }}'}
    on_failure: skip
- id: answer
  agent: synthesizer
  needs: [plan]
  input: {prompt: '{{ data.prompt }}', results: {$tasks: plan}}
result: {answer: '{{ steps.answer.answer }}', tasks: {$tasks: plan}}
on_failure: fail
"""


WHO = "[researcher, writer]"
ASKED = "input: {prompt: '{{ data.prompt }}'}\n  plan"
GIVES = "    input: {prompt: '{{ data.prompt }}'}"
LISTS = "results: {$tasks: plan}"


def gives(inner: str) -> str:
    return f"    input: {{prompt: {inner}}}"


def alone(inner: str) -> str:
    return f"\n    input_for: {{{inner}}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fleet whose workflow plans, and is right."""
    (tmp_path / "fleet.yaml").write_text("name: research\n")
    workflow_of(tmp_path, GOOD)
    return tmp_path


def workflow_of(folder: Path, text: str) -> None:
    """Write the workflow, and the agents that it names."""
    for name, (takes, gives) in AGENTS.items():
        if name in text:
            put(folder, name, takes, gives)
    write(folder, text, "research")


def put(folder: Path, name: str, takes: Any, gives: Any, description: str = "Something.") -> None:
    definition = {
        "name": name,
        "description": description,
        "input": {"description": description, "schema": takes},
        "output": {"type": f"{name}.done", "description": "Something.", "schema": gives},
        "handler": {"python": "agents.none:none"},
    }
    (folder / f"{name}.yaml").write_text(json.dumps(definition))


def changed(folder: Path, *changes: tuple[str, str]) -> list[DefinitionError]:
    """What is wrong once each first text is written as the second."""
    text = GOOD
    for old, new in changes:
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    workflow_of(folder, text)
    return problems_in(folder)


def test_a_fleet_whose_plan_step_is_wrong_is_not_loaded(folder):
    """What `validate` refuses nothing else takes either."""
    assert changed(folder, ("agent: planner", "agent: talker"))
    with pytest.raises(DefinitionError, match="talker plans step 'plan'"):
        load_fleet(folder)


def test_a_sound_plan_step_is_loaded(folder):
    """No problems, and whoever may be given tasks is an agent of the workflow."""
    assert problems_in(folder) == []
    assert {"researcher", "writer"} <= load_fleet(folder).workflows["research"].agents


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        (WHO, "[researcher, writr]", "15:26", "names the agent 'writr', which is not in this fleet; did you mean writer?"),
        (WHO, "[writer, writer]", "15:5", "'writer' is named twice"),
        (WHO, "[]", "15:5", "at least 1 item"),
        ("max_tasks: 12", "max_tasks: 51", "16:16", "less than or equal to 50"),
        ("max_tasks: 12", "rounds: -1", "16:13", "greater than or equal to 0"),
        ("max_tasks: 12", "max_task: 12", "16:15", "not a field of a definition"),
        ("  plan:\n", "  validate_by: {agent: writer}\n  plan:\n", "11:3", "plan and validate_by"),
        ("id: plan", "id: plan_of_all_that_is_there", "11:3", "its id has at most 22 characters"),
        # Who plans.
        ("agent: planner", "agent: talker", "12:10", "its output has no `tasks`, a list; its answer is {tasks: [{id"),
        ("agent: planner", "agent: untaught", "12:10", "its output has no a `description`, a text, in `tasks`"),
        ("agent: planner", "agent: mute", "12:10", "mute plans and is given `agents`, which its contract does not take"),
        (ASKED, "input: {prompt: x, agents: []}\n  plan", "13:22", "`agents` is filled in by the orchestrator"),
        (ASKED, "input: {}\n  plan", "13:3", "planner requires 'prompt', and nothing sets it"),
        # Who is given tasks, and with what.
        (WHO, "[researcher, picky]", "17:5", "picky requires 'city', and nothing sets it"),
        (WHO, "[writer, curt]", "17:21", "curt does not take 'prompt'"),
        ("input: {prompt: '{{ data.prompt }}'}\n    on", "on", "14:3", "researcher requires 'prompt', and nothing sets it"),
        (GIVES, gives("'{{ data.promt }}'"), "17:21", "`input` of the workflow has no 'promt'"),
        (GIVES, gives("'{{ data.prompt() }}'"), "17:21", "a call is not allowed"),
        (GIVES, gives("'{{ steps.answer.answer }}'"), "17:21", "step 'answer' need not have ended by then"),
        (GIVES, gives("1"), "17:21", "prompt of researcher: 1 is not of type"),
        (GIVES, gives("x, task: y"), "17:30", "`task` is filled in by the orchestrator"),
        # What is for one of them alone.
        (GIVES, GIVES + alone("wrter: {x: 1}"), "18:17", "input_for names 'wrter', which is given no tasks of this plan"),
        (GIVES, GIVES + alone("writer: {x: 1}"), "18:29", "writer does not take 'x'"),
        (GIVES, GIVES + alone("writer: {prompt: 1}"), "18:34", "prompt of writer: 1 is not of type"),
        (GIVES, GIVES + alone("writer: {task: y}"), "18:32", "`task` is filled in by the orchestrator"),
        (GIVES, GIVES + alone("writer: {prompt: '{{ data.promt }}'}"), "18:34", "`input` of the workflow has no 'promt'"),
        (GIVES, GIVES + alone("writer: {prompt: '{{ data.prompt() }}'}"), "18:34", "a call is not allowed"),
        (GIVES, GIVES + alone("writer: {prompt: {$tasks: plan}}"), "18:43", "the tasks of 'plan' need not have ended"),
        # What became of the tasks.
        (LISTS, "results: {$tasks: answer}", "22:58", "names 'answer', which is no plan step of this workflow; the plan steps are"),
        ("  needs: [plan]\n", "", "21:58", "need not have ended by then; add 'plan' to the `needs` of 'answer'"),
        (LISTS, "results: {$tasks: plan, x: 1}", "22:40", "other fields stand beside it"),
        ("{prompt: '{{ data.prompt }}', results: {$tasks: plan}}", "{$tasks: plan}", "22:3", "an object is needed here"),
        ("prompt: '{{ data.prompt }}', r", "prompt: {$tasks: plan}, r", "22:11", "prompt is a list, and synthesizer takes"),
        (GIVES, gives("x, all: {$tasks: plan}"), "17:38", "the tasks of 'plan' need not have ended"),
        ("tasks: {$tasks: plan}", "tasks: {$tasks: plans}", "23:63", "$tasks names 'plans'"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_at_its_place(folder, old, new, place, said):
    """Who plans, who is given tasks and with what, and where their results stand: file, line and column."""
    problems = changed(folder, (old, new))

    assert problems
    assert said in str(problems[0])
    assert str(problems[0]).startswith(f"{folder}/workflows/research.yaml:{place}: ")


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        # What one of them answers, another one may be given.
        ("[researcher, strict]", "steps.plan_any_researcher is"),
        ("[strict, writer]", None),
    ],
)
def test_whoever_is_given_tasks_takes_what_the_others_answer(folder, agents, said):
    """A plan may hand any task's answer to any other, so each contract is held against each answer."""
    problems = changed(
        folder,
        ("[researcher, writer]", agents),
        ("    on_failure: skip\n", "    on_failure: fail\n"),
    )

    assert [str(one).split(": ", 1)[1].startswith(said or "") for one in problems] == (
        [True] if said else []
    )


def test_one_agent_may_be_given_what_the_others_do_not_take(folder):
    """What `input_for` gives an agent is held against its contract alone, so that `input` need not suit everybody."""
    wants = (WHO, "[researcher, picky]")
    assert changed(folder, wants)
    given = GIVES + alone("picky: {city: Bonn}")

    assert changed(folder, wants, (GIVES, given)) == []


def test_null_for_a_skipped_task_must_be_taken(folder):
    """Where tasks may be skipped, what needs them is given null, and a contract that refuses that is told."""
    (problem,) = changed(folder, ("[researcher, writer]", "[strict, writer]"))

    assert "null is not of type" in str(problem)
    assert "research.yaml:15:14: " in str(problem)


def test_a_task_that_may_be_alone_needs_no_room_for_results_of_others(folder):
    """With one task at most nothing is ever handed on, and nothing of it is checked."""
    pair = ("[researcher, writer]", "[researcher, strict]")
    alone = ("max_tasks: 12", "max_tasks: 1")

    assert changed(folder, pair, alone, ("on_failure: skip", "on_failure: fail")) == []


def test_more_tasks_than_a_run_has_room_for_are_refused(folder):
    """Steps and tasks together are at most as many as steps may be."""
    more = "".join(
        f"- {{id: p{n}, agent: planner, input: {{prompt: x}}, plan: {{agents: [writer], max_tasks: 50, input: {{prompt: x}}}}}}\n"
        for n in range(4)
    )
    (problem,) = changed(folder, ("- id: answer", f"{more}- id: answer"))

    assert "6 steps and up to 212 planned tasks; together at most 200" in str(problem)


def test_descriptions_that_are_too_long_together_are_refused(folder):
    """What the planning agent is told has an end."""
    names = [f"w{number}" for number in range(10)]
    for name in names:
        put(folder, name, *AGENTS["writer"], description="long " * 799)
    (problem,) = changed(folder, ("[researcher, writer]", f"[{', '.join(names)}]"))

    assert "the descriptions of these agents come to 80" in str(problem)
    assert "research.yaml:15:5: " in str(problem)


def test_a_plan_step_may_give_its_agent_the_data_as_it_is(folder):
    """Without an `input` it is given the start's data, and besides what the orchestrator tells it."""
    assert changed(folder, ("  input: {prompt: '{{ data.prompt }}'}\n  plan", "  plan")) == []


def test_a_step_of_the_sample_cannot_be_named(folder):
    """Tasks have their names from a plan that nobody knows yet: no step refers to one."""
    (problem,) = changed(
        folder, ("results: {$tasks: plan}", "results: ['{{ steps.plan_t1.text }}']")
    )

    assert "there is no step 'plan_t1'" in str(problem)


def test_a_plan_of_a_plan_is_checked_with_both(folder):
    """A second plan step is given the first one's tasks, and its own tasks may be given them too."""
    second = """\
- id: more
  agent: planner
  needs: [plan]
  input: {prompt: x}
  plan:
    agents: [open]
    input: {before: {$tasks: plan}}
"""
    put(folder, "open", {"type": "object"}, fields("text", text=TEXT))

    assert changed(folder, ("- id: answer", f"{second}- id: answer")) == []
