"""A workflow ready to run: its definition, the order of its steps, and every mapping and condition compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from signalbox.definitions.workflow import StepSpec, WorkflowDefinition
from signalbox.workflows.errors import TemplateProblem
from signalbox.workflows.graph import Needs, borne, dependents_of, order
from signalbox.workflows.mapping import (
    Condition,
    Mapped,
    Text,
    compile_condition,
    compile_mapping,
    compile_text,
)
from signalbox.workflows.planned import expand

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """A step; of what its definition leaves out, the compiled part is None.

    `planned`: what each task of its plan is given; `planned_for`: agent → what each of its tasks is given besides.
    """

    spec: StepSpec
    input: Mapped | None
    when: Condition | None
    approve_reason: Text | None
    validation: Mapped | None
    undo: Mapped | None
    planned: Mapped | None
    planned_for: Mapped | None

    @classmethod
    def compile(cls, spec: StepSpec) -> Self:
        """Compile what `spec` says.

        Raises:
            TemplateProblem: with the path inside the step.
        """
        approve, validate_by = spec.approve, spec.validate_by
        return cls(
            spec=spec,
            input=_mapping(spec.input, "input"),
            when=None if spec.when is None else _condition(spec.when),
            approve_reason=None if approve is None else _text(approve.reason, "approve", "reason"),
            validation=None
            if validate_by is None
            else _mapping(validate_by.input, "validate_by", "input"),
            undo=None if spec.undo is None else _mapping(spec.undo.input, "compensate", "input"),
            planned=None if spec.plan is None else _mapping(spec.plan.input, "plan", "input"),
            planned_for=None
            if spec.plan is None
            else _mapping(spec.plan.input_for, "plan", "input_for"),
        )

    @property
    def id(self) -> str:
        """The step's id."""
        return self.spec.id

    def applies(self, data: Data, results: Data) -> bool:
        """Say whether the step is to be done. Raises `MappingError`."""
        return self.when is None or self.when.holds(data, results, step=f"{self.id}.when")

    def task_data(self, data: Data, results: Data) -> dict[str, Any]:
        """Return what the step's agent is given. Raises `MappingError`."""
        if self.input is None:
            return dict(data)
        return self.input.render(data, results, step=f"{self.id}.input")

    def approval_reason(self, data: Data, results: Data) -> str:
        """Return what the person who must agree reads; empty where nobody must. Raises `MappingError`."""
        if self.approve_reason is None:
            return ""
        return self.approve_reason.render(data, results, step=f"{self.id}.approve.reason")

    def validation_data(
        self, data: Data, results: Data, *, task: Data, result: Data
    ) -> dict[str, Any]:
        """Return what the judging agent is given of `result`, which the step answered to `task`. Raises `MappingError`."""
        if self.validation is None:
            return {"task": dict(task), "result": dict(result)}
        with_own = {**results, self.id: result}
        return self.validation.render(data, with_own, step=f"{self.id}.validate_by.input")

    def undo_data(self, data: Data, results: Data) -> dict[str, Any]:
        """Return what the compensating agent is given; `results` has the step's own. Raises `MappingError`."""
        if self.undo is None:
            return dict(results[self.id])
        return self.undo.render(data, results, step=f"{self.id}.compensate.input")


@dataclass(frozen=True, slots=True)
class CompiledWorkflow:
    """A workflow and the fleet it belongs to.

    Attributes:
        order: the ids of its steps, each after what it needs.
        needs: step id → what it waits for.
        at_least: the steps that gather → how many of their needs must be done.
        dependents: step id → what waits for it.
        borne: the steps whose failure does not fail the workflow, because all that waits for them gathers.

    Plan steps have no tasks in it; `expanded.with_plans` gives those of a run.
    """

    definition: WorkflowDefinition
    digest: str
    fleet: str
    order: tuple[str, ...]
    needs: Needs
    at_least: Mapping[str, int]
    dependents: Mapping[str, tuple[str, ...]] = field(repr=False)
    borne: frozenset[str]
    steps: Mapping[str, CompiledStep] = field(repr=False)
    outcome: Mapped | None = field(repr=False)

    @classmethod
    def compile(cls, definition: WorkflowDefinition, fleet: str = "") -> Self:
        """Make `definition` ready.

        Raises:
            TemplateProblem: a ValueError; with the path to what is wrong inside the definition.
            ValueError: a step is there twice, needs one that is not there, or they need each other in a circle.
        """
        needs = needs_of(definition)
        _refuse_unknown(needs, definition)
        steps: dict[str, CompiledStep] = {}
        unplanned = expand(definition, {})
        for number, spec in enumerate(unplanned.steps):
            try:
                steps[spec.id] = CompiledStep.compile(spec)
            except TemplateProblem as problem:
                place = ("steps", number)
                raise problem.below(*place) from None
        sequence, at_least = _order(needs, definition), at_least_of(definition)
        return cls(
            definition=definition,
            digest=definition.digest,
            fleet=fleet,
            order=sequence,
            needs=needs,
            at_least=at_least,
            dependents=dependents_of(needs),
            borne=borne(needs, at_least),
            steps=steps,
            outcome=_mapping(unplanned.result, "result"),
        )

    @property
    def name(self) -> str:
        """The workflow's name."""
        return self.definition.name

    @property
    def choosing(self) -> frozenset[str]:
        """The steps that gather fewer results than they have needs, so that some may be absent."""
        return frozenset(one for one, n in self.at_least.items() if n < len(set(self.needs[one])))

    def step(self, step_id: str) -> CompiledStep:
        """Return one step.

        Raises:
            KeyError: no such step.
        """
        return self.steps[step_id]

    def result(self, data: Data, results: Data) -> dict[str, Any] | None:
        """Return what a completed workflow comes to; None where its definition does not say. Raises `MappingError`."""
        return None if self.outcome is None else self.outcome.render(data, results, step="result")


def needs_of(definition: WorkflowDefinition) -> dict[str, tuple[str, ...]]:
    """Return the graph of a definition; of steps with one id the last one counts."""
    return {step.id: step.needs for step in definition.steps}


def at_least_of(definition: WorkflowDefinition) -> dict[str, int]:
    """Return the steps that gather, and how many of their needs must be done."""
    return {step.id: step.needs_at_least for step in definition.steps if step.needs_at_least}


def _refuse_unknown(needs: Needs, definition: WorkflowDefinition) -> None:
    if len(needs) < len(definition.steps):
        msg = f"workflow {definition.name!r} has two steps of one id"
        raise ValueError(msg)
    for step, before in needs.items():
        for one in before:
            if one not in needs:
                msg = f"workflow {definition.name!r}: step {step!r} needs {one!r}, which is no step"
                raise ValueError(msg)


def _order(needs: Needs, definition: WorkflowDefinition) -> tuple[str, ...]:
    try:
        return order(needs)
    except ValueError as error:
        msg = f"workflow {definition.name!r}: {error}"
        raise ValueError(msg) from None


def _mapping(mapping: Data | None, *place: str) -> Mapped | None:
    if mapping is None:
        return None
    try:
        return compile_mapping(mapping)
    except TemplateProblem as problem:
        raise problem.below(*place) from None


def _condition(text: str) -> Condition:
    try:
        return compile_condition(text)
    except TemplateProblem as problem:
        place = ("when",)
        raise problem.below(*place) from None


def _text(text: str, *place: str) -> Text:
    try:
        return compile_text(text)
    except TemplateProblem as problem:
        raise problem.below(*place) from None
