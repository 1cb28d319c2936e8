"""Small plans for tests: a workflow of a planner, two workers and a synthesizer, and answers in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.routing.rules import Rulebook
from tests.support.fleets import agent
from tests.support.workflow_world import Work, rules_with, step, workflow

STAFF = ("planner", "ann", "bob", "syn", "other")


def task(task_id: str, *needs: str, by: str = "ann", **more: Any) -> dict[str, Any]:
    """One task of an answer."""
    needed = {"needs": list(needs)} if needs else {}
    return {"id": task_id, "agent": by, "description": f"Do {task_id}.", **needed, **more}


def planning(**more: Any) -> WorkflowDefinition:
    """A workflow that plans for `ann` and `bob`, and has `syn` put their results together; `more` goes into `plan`."""
    plan = {"agents": ["ann", "bob"], "input": {"n": "{{ data.n }}"}, **more}
    return workflow(
        step("plan", by="planner", plan=plan, retries=1, timeout_seconds=50),
        step("answer", "plan", by="syn", input={"results": {"$tasks": "plan"}}),
        result={"answer": "{{ steps.answer.text }}"},
        on_failure="fail",
    )


def book_of(definition: WorkflowDefinition, policy: Mapping[str, Any] | None = None) -> Rulebook:
    """A rulebook of `STAFF`, who take anything, and this workflow."""
    staff = tuple(agent(name, [], closed=False) for name in STAFF)
    return rules_with(definition, agents=staff, policy=policy)


class Planned(Work):
    """One conversation with a workflow that plans; it has begun."""

    def __init__(self, *, policy: Mapping[str, Any] | None = None, **more: Any) -> None:
        super().__init__(book=book_of(planning(**more), policy))
        self.start({"n": 7})

    def plan(self, *tasks: Any, **more: Any) -> None:
        """Let the planner answer its open task."""
        self.reply_of("planner", {"tasks": list(tasks)}, **more)

    def reply_of(self, name: str, data: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Let an agent answer the last task that it was given."""
        self.answer(data, self.last(name), **more)

    def do(self, task_id: str, data: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Let the agent of a planned task answer it."""
        self.answer(data, self.number_of(task_id), **more)

    def number_of(self, task_id: str) -> int:
        """Which of the dispatches is the last one of a planned task."""
        return self._last(lambda data: data.get("task") == f"Do {task_id}.")

    def last(self, name: str) -> int:
        """Which of the dispatches is the last one to an agent."""
        numbers = [n for n, one in enumerate(self.world.dispatches) if one.agent == name]
        return numbers[-1]

    def _last(self, is_it: Any) -> int:
        return [n for n, one in enumerate(self.world.dispatches) if is_it(one.task.data)][-1]

    def doing(self) -> list[str]:
        """The planned tasks that were given out so far, in order."""
        texts = [one.task.data["task"] for one in self.world.dispatches if "task" in one.task.data]
        return [text.removeprefix("Do ").rstrip(".") for text in texts]

    def reasons(self, slot: str) -> list[str]:
        """What the records of a slot say."""
        return [one.reason for one in self.world.decisions if one.slot == slot]
