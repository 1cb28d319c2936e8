"""A plan as steps: the tasks that a planning step answered with, written into the workflow's definition as ordinary steps.

Pure: (definition, plans) -> definition. So whatever holds for a step holds for a task: order, references, contracts, retries,
silence, records. What a task says is never written into the definition, which is compiled, but named there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import PlanSpec, StepSpec, WorkflowDefinition
from signalbox.workflows.filling import TASKS_KEY
from signalbox.workflows.run import PlannedTask, Plans

TASK_FIELDS: Final = ("task", "results")
"""What a task is given besides the plan's `input` and `input_for`."""


def planned_id(step_id: str, task_id: str) -> str:
    """Return the id of the step that a task of the plan step `step_id` becomes."""
    return f"{step_id}_{task_id}"


def briefing(plan: PlanSpec, agents: Mapping[str, AgentDefinition]) -> dict[str, Any]:
    """Return what the planning agent is given besides its step's `input`: whom it may give tasks, and how many.

    Of `plan.agents` those that are in `agents`.
    """
    listed = [agents[name] for name in plan.agents if name in agents]
    return {
        "agents": [
            {"name": one.name, "description": one.description, "input": one.input.description}
            for one in listed
        ],
        "max_tasks": plan.max_tasks,
    }


def given_to(plan: PlanSpec, agent: str) -> dict[str, Any]:
    """Return the mapping of what each task of `agent` is given besides `TASK_FIELDS`; what is for it alone counts first."""
    return {**(plan.input or {}), **(plan.input_for or {}).get(agent, {})}


def expand(definition: WorkflowDefinition, plans: Plans) -> WorkflowDefinition:
    """Return `definition` with the tasks of `plans` as steps behind its own; the steps it has keep their places.

    A plan step without a plan (it did not answer yet, or was skipped) has no tasks: `{$tasks: …}` of it is an empty list.

    Raises:
        ValueError: a plan is of no plan step of this definition, or gives a task to an agent that it does not name.
    """
    specs = {step.id: step.plan for step in definition.steps if step.plan is not None}
    for step_id, tasks in plans.items():
        spec = specs.get(step_id)
        if spec is None or any(task.agent not in spec.agents for task in tasks):
            msg = f"workflow {definition.name!r} has no plan step {step_id!r} for these tasks"
            raise ValueError(msg)
    if not specs:
        return definition
    lists = {step_id: _listed(step_id, spec, plans) for step_id, spec in specs.items()}
    steps = [_own(step, plans, lists) for step in definition.steps]
    for step_id, tasks in plans.items():
        places = {task.id: number for number, task in enumerate(tasks)}
        spec = specs[step_id]
        given = {agent: _filled(given_to(spec, agent), lists) for agent in spec.agents}
        steps += [_step(step_id, spec, task, places[task.id], given[task.agent]) for task in tasks]
    result = definition.result
    return definition.model_copy(
        update={"steps": tuple(steps), "result": result and _filled(result, lists)}
    )


def _own(step: StepSpec, plans: Plans, lists: Mapping[str, Any]) -> StepSpec:
    """Return a declared step, which waits for the tasks of the plans that it needs."""
    needs = []
    for one in step.needs:
        needs += [one, *(planned_id(one, task.id) for task in plans.get(one, ()))]
    changes: dict[str, Any] = {"needs": tuple(needs)}
    if step.input is not None:
        changes["input"] = _filled(step.input, lists)
    for name, part in (
        ("compensate", step.undo),
        ("validate_by", step.validate_by),
        ("plan", step.plan),
    ):
        if part is not None and part.input is not None:
            changes[name] = part.model_copy(update={"input": _filled(part.input, lists)})
    if step.plan is not None and step.plan.input_for is not None:
        plan = changes.get("plan", step.plan)
        changes["plan"] = plan.model_copy(update={"input_for": _filled(plan.input_for, lists)})
    return step.model_copy(update=changes)


def _step(
    step_id: str, plan: PlanSpec, task: PlannedTask, number: int, given: Mapping[str, Any]
) -> StepSpec:
    return StepSpec(
        id=planned_id(step_id, task.id),
        agent=task.agent,
        needs=(step_id, *(planned_id(step_id, one) for one in task.needs)),
        input={
            **given,
            "task": _of_answer(step_id, number, "description"),
            "results": {one: _result(step_id, one, plan) for one in task.needs},
        },
        timeout_seconds=plan.timeout_seconds,
        retries=plan.retries,
        on_failure=plan.on_failure,
        compensate="none",
    )


def _listed(step_id: str, plan: PlanSpec, plans: Plans) -> list[dict[str, Any]]:
    """Return the mapping that `{$tasks: step_id}` stands for."""
    return [
        {
            "id": _of_answer(step_id, number, "id"),
            "agent": _of_answer(step_id, number, "agent"),
            "task": _of_answer(step_id, number, "description"),
            "status": _status(step_id, task.id, plan),
            "result": _result(step_id, task.id, plan),
        }
        for number, task in enumerate(plans.get(step_id, ()))
    ]


def _of_answer(step_id: str, number: int, name: str) -> str:
    return f"{{{{ steps.{step_id}.tasks[{number}].{name} }}}}"


def _result(step_id: str, task_id: str, plan: PlanSpec) -> Any:
    step = f"steps.{planned_id(step_id, task_id)}"
    # A task that may be skipped may have no result: then it is null.
    return (
        {"$path": f"$.{step}", "default": None}
        if plan.on_failure == "skip"
        else f"{{{{ {step} }}}}"
    )


def _status(step_id: str, task_id: str, plan: PlanSpec) -> str:
    if plan.on_failure != "skip":
        return "done"
    return f"{{{{ 'done' if steps.{planned_id(step_id, task_id)} is defined else 'skipped' }}}}"


def _filled(value: Any, lists: Mapping[str, Any]) -> Any:
    """Return `value` with every `{$tasks: <plan step>}` replaced; one that names no plan step stays, and does not compile."""
    if isinstance(value, Mapping):
        named = value.get(TASKS_KEY)
        if isinstance(named, str) and named in lists and len(value) == 1:
            return lists[named]
        return {key: _filled(one, lists) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(one, lists) for one in value]
    return value
