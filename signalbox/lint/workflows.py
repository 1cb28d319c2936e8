"""Rules for workflows that may run and still will not do what was meant: `workflow-missing`, `-start`, `-undo` and `-plan`.

What is proven wrong is refused by `validate` already; here is what depends on data.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.lint.finding import Finding, some
from signalbox.lint.subject import Subject
from signalbox.workflows.check import uses
from signalbox.workflows.compiled import CompiledWorkflow
from signalbox.workflows.fit import Sources
from signalbox.workflows.references import Reference
from signalbox.workflows.schema_fields import Known, field_of, forbids, never_fits, requires

MISSING: Final = "workflow-missing"
START: Final = "workflow-start"
UNDO: Final = "workflow-undo"
PLAN: Final = "workflow-plan"


def workflows(subject: Subject) -> Iterator[Finding]:
    """Warn of values that may not be there, messages that two workflows take, compensations never done, planners told nothing."""
    for definition in subject.workflows.values():
        yield from _missing(subject, definition)
        yield from _undo(subject, definition)
        yield from _plan(subject, definition)
    for one, other in combinations(subject.workflows.values(), 2):
        yield from _starts(subject, one, other)


def _missing(subject: Subject, definition: WorkflowDefinition) -> Iterator[Finding]:
    compiled = CompiledWorkflow.compile(definition)
    sources = Sources(definition, subject.agents)
    told: set[tuple[object, ...]] = set()
    for place, reference, *_ in uses(compiled):
        why = None if reference.is_guarded else _why_missing(compiled, sources, reference)
        if why is not None and (place, str(reference)) not in told:
            told.add((place, str(reference)))
            what = f"{reference} may be missing, and then the step fails: {why}"
            remedy = "say what it is then, `|default(…)`, or require it in that schema"
            yield subject.finding_in_workflow(
                MISSING, "warning", definition.name, place, what, remedy
            )


def _why_missing(compiled: CompiledWorkflow, sources: Sources, reference: Reference) -> str | None:
    if reference.step is not None:
        spec = compiled.step(reference.step).spec
        if spec.when is not None:
            return f"step {spec.id!r} is done only when {spec.when}"
        if spec.on_failure == "skip":
            return f"step {spec.id!r} is skipped when it fails"
    schema = sources.schema(reference.step)
    is_known = not isinstance(field_of(schema, reference.fields), Known)
    if is_known and not requires(schema, reference.fields):
        return f"{sources.told(reference.step)} does not require it"
    return None


def _undo(subject: Subject, definition: WorkflowDefinition) -> Iterator[Finding]:
    if definition.on_failure == "compensate":
        return
    for number, step in enumerate(definition.steps):
        if step.undo is not None:
            what = f"step {step.id!r} says how it is undone, and this workflow undoes nothing (`on_failure: fail`)"
            remedy = "leave `compensate` out, or let the workflow compensate"
            place = ("steps", number, "compensate")
            yield subject.finding_in_workflow(UNDO, "warning", definition.name, place, what, remedy)


def _plan(subject: Subject, definition: WorkflowDefinition) -> Iterator[Finding]:
    for number, step in enumerate(definition.steps):
        if step.plan is None or not step.plan.rounds:
            continue
        schema = subject.agents[step.agent].input.json_schema
        taken = field_of(schema, ("context",))
        if forbids(schema, (), "context") or never_fits({"type": "string"}, taken):
            what = f"{step.agent} is asked again for a plan that was refused, and its contract takes no text `context` about it"
            remedy = "add `context: {type: string}` to its input, or `rounds: 0` to the plan"
            place = ("steps", number, "agent")
            yield subject.finding_in_workflow(PLAN, "warning", definition.name, place, what, remedy)


def _starts(
    subject: Subject, one: WorkflowDefinition, other: WorkflowDefinition
) -> Iterator[Finding]:
    common = [kind for kind in other.starts_on if kind in one.starts_on]
    if not common:
        return
    taken = subject.accepts(one.input.json_schema)
    if taken.must_meet(subject.accepts(other.input.json_schema)):
        what = f"a message of type {some(common)} may start {one.name} as well as {other.name}: their inputs accept data in common"
        remedy = "give each a type of its own, or let the inputs differ in a field"
        yield subject.finding_in_workflow(
            START, "warning", other.name, ("starts_on",), what, remedy
        )
