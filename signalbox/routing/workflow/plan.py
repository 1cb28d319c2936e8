"""The definition that a run goes by, and which results each of its parts needs to be filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from signalbox.definitions.workflow import StepSpec, WorkflowDefinition
from signalbox.routing.rules import Rulebook, Rules
from signalbox.routing.turn import Turn
from signalbox.workflows.compiled import CompiledStep, CompiledWorkflow
from signalbox.workflows.expanded import with_plans
from signalbox.workflows.references import Reference
from signalbox.workflows.run import WorkflowRun


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled workflow and the version of the definitions it is of."""

    workflow: CompiledWorkflow
    rules: Rules

    @property
    def definition(self) -> WorkflowDefinition:
        """The workflow as it was declared."""
        return self.workflow.definition

    def step(self, step_id: str) -> StepSpec:
        """One step as it was declared."""
        return self.workflow.step(step_id).spec

    def results_for(self, run: WorkflowRun, step_id: str) -> Iterator[int]:
        """Return the numbers of the results that giving out, judging or undoing a step needs; its own where it has one.

        What a person edited for it is among them.
        """
        step, edited = self.workflow.step(step_id), run.step(step_id).edited
        yield from _numbers(run, (*_steps_in(step), step_id))
        if edited is not None:
            yield edited

    def results_for_outcome(self, run: WorkflowRun) -> Iterator[int]:
        """Return the numbers of the results that the workflow's own result needs."""
        outcome = self.workflow.outcome
        named = () if outcome is None else (reference for _, reference in outcome.references)
        yield from _numbers(run, (one.step for one in named if one.step is not None))


def plan_of(turn: Turn) -> Plan | None:
    """Return what the conversation's run goes by; None where nothing is known of it any more."""
    return plan_for(turn.run, turn.rulebook)


def plan_for(run: WorkflowRun, rulebook: Rulebook) -> Plan | None:
    """Return what `run` goes by: the version it started under while it is kept, else the newest of its name, else None.

    The plans that were accepted are steps of it.
    """
    for rules in (rulebook.version(run.digest), rulebook.current):
        if rules is not None and run.name in rules.workflows:
            workflow = with_plans(rules.workflows[run.name], run.plans)
            if workflow is not None and run.steps.keys() <= workflow.steps.keys():
                return Plan(workflow, rules)
    return None


def slot(kind: str, step_id: str, number: int | str) -> str:
    """Return the slot of a step's task or record: `step:pay`, and from the second one on `step:pay:2`."""
    return f"{kind}:{step_id}" if number in (1, "") else f"{kind}:{step_id}:{number}"


def _steps_in(step: CompiledStep) -> Iterator[str]:
    mappings = (step.input, step.validation, step.undo)
    found: list[Reference] = [
        reference for one in mappings if one is not None for _, reference in one.references
    ]
    for text in (step.when, step.approve_reason):
        found += () if text is None else text.references
    return (one.step for one in found if one.step is not None)


def _numbers(run: WorkflowRun, steps: Iterable[str]) -> Iterator[int]:
    for name in steps:
        number = run.step(name).result
        if number is not None:
            yield number
