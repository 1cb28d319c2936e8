"""A workflow for a person: what starts it, its steps as a tree, and what becomes of each when something fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from signalbox.cli.dag_lines import dag_lines
from signalbox.definitions.workflow import PlanSpec, StepSpec
from signalbox.workflows.compiled import CompiledWorkflow


def lines_of(workflow: CompiledWorkflow) -> Iterator[str]:
    """Yield the lines of `workflows show`."""
    definition = workflow.definition
    yield f"{workflow.name}  {workflow.fleet}  {workflow.digest}"
    yield f"  {definition.description}"
    yield f"  starts on {', '.join(definition.starts_on)}; ends within {_seconds(definition.timeout_seconds)}"
    if definition.on_failure == "compensate":
        yield "  when a step fails, completed steps are undone, the last one first"
    else:
        yield "  when a step fails, the workflow has failed and nothing is undone"
    yield ""
    drawn = dag_lines(workflow.needs, workflow.order)
    width = max(len(line.prefix + line.step) for line in drawn)
    agents = max(len(step.agent) for step in definition.steps)
    for line in drawn:
        spec = workflow.step(line.step).spec
        notes = "; ".join(_notes(spec, line.also))
        yield f"  {line.prefix + line.step:<{width}}  {spec.agent:<{agents}}  {notes}".rstrip()


def as_json(workflow: CompiledWorkflow) -> dict[str, Any]:
    """Return the workflow for programs."""
    return {**summary_json(workflow), "definition": workflow.definition.as_json()}


def summary_json(workflow: CompiledWorkflow) -> dict[str, Any]:
    """Return what `workflows list --json` says of it."""
    definition = workflow.definition
    return {
        "name": workflow.name,
        "fleet": workflow.fleet,
        "digest": workflow.digest,
        "description": definition.description,
        "starts_on": list(definition.starts_on),
        "steps": list(workflow.order),
        "agents": sorted(definition.agents),
    }


def _notes(spec: StepSpec, also: tuple[str, ...]) -> Iterator[str]:
    yield from _beginning_notes(spec, also)
    if spec.when is not None:
        yield f"when {spec.when}"
    if spec.approve is not None:
        approve = spec.approve
        yield f"a person agrees within {_seconds(approve.deadline_seconds)}, else {approve.default}"
    if spec.validate_by is not None:
        yield f"judged by {spec.validate_by.agent}, at most {spec.validate_by.rounds} times"
    if spec.plan is not None:
        yield from _plan_notes(spec.plan)
    if spec.timeout_seconds is not None:
        yield f"within {_seconds(spec.timeout_seconds)}"
    if spec.retries:
        yield f"tried {spec.retries + 1} times"
    if spec.on_failure == "skip":
        yield "skipped when it fails"
    if spec.undo is not None:
        yield f"undone by {spec.undo.agent}"


def _beginning_notes(spec: StepSpec, also: tuple[str, ...]) -> Iterator[str]:
    if also:
        yield f"also after {', '.join(also)}"
    if spec.needs_at_least is not None:
        left = "goes on" if spec.stragglers == "keep" else "is closed"
        yield f"begins when {spec.needs_at_least} of {len(set(spec.needs))} are done, the rest {left}"


def _plan_notes(plan: PlanSpec) -> Iterator[str]:
    tasks = "one task" if plan.max_tasks == 1 else f"up to {plan.max_tasks} tasks"
    each = [
        *([f"within {_seconds(plan.timeout_seconds)}"] if plan.timeout_seconds else []),
        *([f"tried {plan.retries + 1} times"] if plan.retries else []),
        *(["skipped when it fails"] if plan.on_failure == "skip" else []),
    ]
    told = f", each {', '.join(each)}" if each else ""
    yield f"plans {tasks} for {', '.join(plan.agents)}{told}"
    if plan.rounds:
        yield f"asked again at most {plan.rounds} times when the plan is refused"


def _seconds(value: float) -> str:
    return f"{value:g} s"
