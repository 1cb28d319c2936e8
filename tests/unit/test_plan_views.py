"""Plans as people see them: `workflows show`, `trace`, `explain`, and what `agents lint` says of them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from signalbox.cli.explain_details import details_of
from signalbox.cli.explain_view import explanation_of
from signalbox.cli.explain_view import lines_of as explain_lines
from signalbox.cli.facts import Fact
from signalbox.cli.main import app
from signalbox.cli.trace_view import as_json, trace_of
from signalbox.cli.trace_view import lines_of as trace_lines
from signalbox.contracts.record import to_epoch_ms
from signalbox.routing.rules import Rules
from tests.support.fleets import message
from tests.support.plans import Planned, task
from tests.unit.test_plan_check import (  # noqa: F401 (folder is a fixture)
    AGENTS,
    GOOD,
    changed,
    folder,
    put,
    workflow_of,
)

runner = CliRunner()


@pytest.fixture
def work() -> Planned:
    """A run whose first plan was refused."""
    planned = Planned()
    planned.plan(task("a", by="zoe"))
    planned.plan(task("a"), task("b", "a", by="bob"))
    return planned


def facts_of(work: Planned) -> list[Fact]:
    """The records of a run, as they would be read."""
    asked = message("m-1", {"n": 7}, type="work.asked")
    first = Fact("agent_messages", 0, 0, work.world.now_ms, "c-1", asked)
    decided = [
        Fact("agent_decisions", 0, number, to_epoch_ms(one.decided_at), "c-1", one)
        for number, one in enumerate(work.world.decisions)
    ]
    tasks = [
        Fact(f"agent_tasks_{one.agent}", 0, number, to_epoch_ms(one.task.time), "c-1", one.task)
        for number, one in enumerate(work.world.dispatches)
    ]
    return [first, *decided, *tasks]


def test_trace_tells_a_refused_and_an_accepted_plan(work) -> None:
    """What became of the plan stands where other decisions name an agent, with its tasks below."""
    found = trace_of("c-1", facts_of(work))
    assert found is not None
    text = "\n".join(line.text for line in trace_lines(found))

    assert "└─ plan refused       by workflow" in text
    assert "└─ plan accepted      by workflow" in text
    assert "2 tasks: a ann; b bob after a" in text
    slots = [one["slot"] for step in as_json(found)["steps"] for one in step["decisions"]]
    assert slots == ["step:plan", "plan:plan:refused", "step:plan:2", "plan:plan", "step:plan_a"]


def test_explain_tells_a_refused_and_an_accepted_plan(work) -> None:
    """Each with its slot and reason; the details of a record that chose nobody do not fail."""
    facts = facts_of(work)
    found = explanation_of("m-1", facts)
    assert found is not None
    text = "\n".join(line.text for line in explain_lines(found))

    assert "→ plan refused (slot plan:plan:refused)" in text
    assert "agent is 'zoe'; choose one of ann, bob" in text
    assert "→ plan accepted (slot plan:plan)" in text

    class Versions:
        newest = None

        def of(self, digest: str) -> Rules | None:
            current = work.world.rulebook.current
            return current if current is not None and current.digest == digest else None

        def all(self) -> tuple[Rules, ...]:
            return ()

    assert [one.slot for one in details_of(found, facts, Versions())][3] == "plan:plan"


def test_show_draws_a_plan_step_as_such(folder) -> None:  # noqa: F811
    """For whom, how many, and what becomes of each task."""
    workflow_of(
        folder, GOOD.replace("    on_failure: skip\n", "    on_failure: skip\n    retries: 1\n")
    )
    result = runner.invoke(app, ["workflows", "show", "research", "--definitions", str(folder)])

    assert result.exit_code == 0
    plan, answer = result.stdout.splitlines()[-2:]
    assert plan.split()[:2] == ["plan", "planner"]
    assert "plans up to 12 tasks for researcher, writer, each tried 2 times, skipped when" in plan
    assert "asked again at most 2 times when the plan is refused" in plan
    assert answer.split() == ["└─►", "answer", "synthesizer"]


def test_show_json_has_the_plan_as_it_is_declared(folder) -> None:  # noqa: F811
    """A program gets the definition, `$tasks` and all."""
    command = ["workflows", "show", "research", "--definitions", str(folder), "--json"]
    told = json.loads(runner.invoke(app, command).stdout)

    assert told["steps"] == ["plan", "answer"]
    assert "researcher" in told["agents"]
    assert told["definition"]["steps"][0]["plan"]["agents"] == ["researcher", "writer"]
    assert told["definition"]["steps"][1]["input"]["results"] == {"$tasks": "plan"}


def lint(folder) -> list[tuple[str, int, int]]:  # noqa: F811
    result = runner.invoke(app, ["agents", "lint", str(folder), "--json"])
    findings = json.loads(result.stdout)["findings"]
    return [
        (one["rule"], one["line"], one["column"])
        for one in findings
        if one["rule"] in {"unreachable", "dead-output", "workflow-plan", "workflow-missing"}
    ]


def test_agents_that_only_a_plan_gives_tasks_to_are_reached_and_heard(folder) -> None:  # noqa: F811
    """Nobody routes to them and nobody takes their answers but the plan: neither is a finding."""
    assert lint(folder) == []


def test_a_planner_that_cannot_be_told_what_was_wrong_is_a_finding(folder) -> None:  # noqa: F811
    """Asked again without `context` it will say the same again; with `rounds: 0` it is not asked."""
    takes, gives = AGENTS["planner"]
    fields = {name: one for name, one in takes["properties"].items() if name != "context"}
    put(folder, "planner", {**takes, "properties": fields}, gives)
    assert lint(folder) == [("workflow-plan", 12, 10)]
    (folder / "workflows" / "research.yaml").write_text(GOOD.replace("max_tasks: 12", "rounds: 0"))

    assert lint(folder) == []


def test_a_value_of_the_plans_input_that_may_be_missing_is_a_finding(folder) -> None:  # noqa: F811
    """At its own place, once, however many may be given tasks."""
    assert changed(folder, ("    required: [prompt]", "    required: []")) == []

    assert lint(folder) == [
        ("workflow-missing", 13, 19),
        ("workflow-missing", 17, 21),
        ("workflow-missing", 22, 19),
    ]
