"""The order of a run's steps: by its definition, where that is still known, with the tasks that a plan added; else as they began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signalbox.cli.run_seen import RunSeen, StepSeen
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.workflows.compiled import needs_of
from signalbox.workflows.graph import order


@dataclass(frozen=True, slots=True)
class Shape:
    """The steps in an order in which each comes after what it needs. `agents`: who is to do them, where that is known."""

    needs: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]
    agents: Mapping[str, str]
    is_known: bool


def shape_of(run: RunSeen, definition: WorkflowDefinition | None) -> Shape:
    """Return the shape of a run; `definition` is None where nobody knows it any more.

    Steps that the definition does not have are put last: they are a plan's tasks, or the definition is another version.
    """
    needs: dict[str, tuple[str, ...]] = {} if definition is None else dict(needs_of(definition))
    agents = {} if definition is None else {one.id: one.agent for one in definition.steps}
    declared = tuple(needs)
    for step in _as_begun(run):
        needs.setdefault(step.id, ())
    for step in _as_begun(run):
        for task_id, task in _planned(step).items():
            needs[task_id] = (step.id, *(f"{step.id}_{one}" for one in task["needs"]))
            agents.setdefault(task_id, task["agent"])
            for other in declared:
                if step.id in needs[other]:
                    needs[other] = (*needs[other], task_id)
    known = {one: tuple(n for n in before if n in needs) for one, before in needs.items()}
    try:
        return Shape(known, order(known), agents, definition is not None)
    except ValueError:  # what claims to be a plan is none
        return Shape(dict.fromkeys(known, ()), tuple(known), agents, is_known=False)


def _as_begun(run: RunSeen) -> list[StepSeen]:
    return sorted(run.steps.values(), key=lambda step: (step.began_ms or run.began_ms, step.place))


def _planned(step: StepSeen) -> dict[str, dict[str, Any]]:
    """Return the tasks of an accepted plan as `{step id: {agent, needs}}`: a record says that it was, its agent's answer has them."""
    if not step.is_plan or not step.work:
        return {}
    tasks = step.work[-1].answer.get("tasks")
    found: dict[str, dict[str, Any]] = {}
    for task in tasks if isinstance(tasks, list) else ():
        if isinstance(task, dict) and isinstance(task.get("id"), str):
            needs = task.get("needs")
            found[f"{step.id}_{task['id']}"] = {
                "agent": str(task.get("agent") or ""),
                "needs": [one for one in needs if isinstance(one, str)]
                if isinstance(needs, list)
                else [],
            }
    return found
