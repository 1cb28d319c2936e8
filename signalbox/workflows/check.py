"""What makes a workflow that is well written unable to run: names, order, what steps use, and failures nobody provided for.

Pure over a definition and the agents of its fleet; `loading` adds the places in the file. What is refused is proven wrong;
what can only be suspected is the linter's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import NamedTuple

from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import StepSpec, WorkflowDefinition
from signalbox.workflows import plan_check
from signalbox.workflows.compiled import CompiledStep, CompiledWorkflow, needs_of
from signalbox.workflows.errors import TemplateProblem
from signalbox.workflows.fit import Sources, fit
from signalbox.workflows.graph import before, cycle
from signalbox.workflows.mapping import compile_mapping
from signalbox.workflows.problem import Loc, Problem
from signalbox.workflows.references import Reference
from signalbox.workflows.schema_fields import Known, field_of

Agents = Mapping[str, AgentDefinition]


def problems_of(definition: WorkflowDefinition, agents: Agents) -> tuple[Problem, ...]:
    """Return everything that is wrong with `definition` among `agents`.

    What follows from a wrong name or order is not told: first the ids, agents and needs, then the plans, then the mappings, then
    what they use. Where steps plan, mappings and uses are those of a sample plan.
    """
    found = [
        *_ids(definition),
        *_agents(definition, agents),
        *_needs(definition),
        *_gathering(definition),
    ]
    found = found or [
        *plan_check.placement(definition, needs_of(definition)),
        *plan_check.planners(definition, agents),
    ]
    if found:
        return tuple(found)
    sample = plan_check.sample_of(definition)
    found = list(_templates(sample.definition)) or list(_of_contents(sample.definition, agents))
    return tuple(_at_their_places(found, sample))


def _at_their_places(found: Iterable[Problem], sample: plan_check.Sample) -> Iterator[Problem]:
    """Yield the problems where they are in the file; many tasks of the sample come from one place, of which the first is told."""
    told: set[Loc] = set()
    for problem in found:
        loc = sample.declared(problem.loc)
        if loc is problem.loc or loc not in told:
            yield replace(problem, loc=loc)
        told.add(loc)


def _of_contents(definition: WorkflowDefinition, agents: Agents) -> Iterator[Problem]:
    compiled = CompiledWorkflow.compile(definition)
    sources = Sources(definition, agents)
    yield from _uses(compiled, sources)
    yield from fit(compiled, agents, sources)
    yield from _error_paths(compiled)


def _ids(definition: WorkflowDefinition) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for number, step in enumerate(definition.steps):
        if step.id in first:
            what = f"step {step.id!r} is also step {first[step.id] + 1} of this workflow"
            yield Problem(("steps", number, "id"), what, "ids are unique; rename one")
        first.setdefault(step.id, number)


def _agents(definition: WorkflowDefinition, agents: Agents) -> Iterator[Problem]:
    for number, step in enumerate(definition.steps):
        named: list[tuple[Loc, str]] = [(("agent",), step.agent)]
        if step.undo is not None:
            named.append((("compensate", "agent"), step.undo.agent))
        if step.validate_by is not None:
            named.append((("validate_by", "agent"), step.validate_by.agent))
        if step.plan is not None:
            named += [(("plan", "agents", at), one) for at, one in enumerate(step.plan.agents)]
        for place, name in named:
            if name not in agents:
                what = f"step {step.id!r} names the agent {name!r}, which is not in this fleet"
                yield Problem(("steps", number, *place), what, _known("agents", name, agents))


def _needs(definition: WorkflowDefinition) -> Iterator[Problem]:
    needs = needs_of(definition)
    is_whole = True
    for number, step in enumerate(definition.steps):
        for place, one in enumerate(step.needs):
            if one not in needs:
                is_whole = False
                what = f"step {step.id!r} needs {one!r}, which is no step of this workflow"
                yield Problem(("steps", number, "needs", place), what, _known("steps", one, needs))
    circle = cycle(needs) if is_whole else None
    if circle is not None:
        number = next(at for at, step in enumerate(definition.steps) if step.id == circle[0])
        what = f"steps need each other in a circle: {' → '.join(circle)}"
        yield Problem(("steps", number, "needs"), what, "take one of these needs out")


def _gathering(definition: WorkflowDefinition) -> Iterator[Problem]:
    planning = {step.id for step in definition.steps if step.plan is not None}
    for number, step in enumerate(definition.steps):
        least, needs = step.needs_at_least, len(set(step.needs))
        if least is not None and least > needs:
            what = f"step {step.id!r} waits for {least} of {needs} needs"
            hint = f"at most {needs}" if needs else "name in `needs` what it waits for"
            yield Problem(("steps", number, "needs_at_least"), what, hint)
        if least is not None and planning & set(step.needs):
            what = f"step {step.id!r} gathers, and needs the plan of {min(planning & set(step.needs))!r}"
            hint = "take `needs_at_least` out: how many tasks a plan has is not known"
            yield Problem(("steps", number, "needs_at_least"), what, hint)
        if least is None and step.stragglers is not None:
            what = f"step {step.id!r} says what becomes of needs it does not wait for, and it waits for all"
            hint = "add `needs_at_least`, or take `stragglers` out"
            yield Problem(("steps", number, "stragglers"), what, hint)


def _templates(definition: WorkflowDefinition) -> Iterator[Problem]:
    for number, spec in enumerate(definition.steps):
        try:
            CompiledStep.compile(spec)
        except TemplateProblem as problem:
            yield Problem(("steps", number, *problem.path), str(problem), problem.hint)
    try:
        compile_mapping(definition.result or {})
    except TemplateProblem as problem:
        yield Problem(("result", *problem.path), str(problem), problem.hint)


class Use(NamedTuple):
    """Where the workflow refers to something, what it is, the steps it may be of, and those that have surely ended by then.

    Between the two are the needs of steps that begin with some of them.
    """

    place: Loc
    reference: Reference
    known: frozenset[str]
    sure: frozenset[str]


def uses(compiled: CompiledWorkflow) -> Iterator[Use]:
    """Yield whatever the workflow refers to."""
    choosing = compiled.choosing
    for number, spec in enumerate(compiled.definition.steps):
        earlier = before(compiled.needs, spec.id)
        sure = before(compiled.needs, spec.id, choosing) if choosing else earlier
        for place, reference, knows_itself in _of_step(compiled.step(spec.id)):
            own = {spec.id} if knows_itself else set[str]()
            yield Use(("steps", number, *place), reference, earlier | own, sure | own)
    if compiled.outcome is not None:
        everything = frozenset(compiled.steps)
        for place, reference in compiled.outcome.references:
            yield Use(("result", *place), reference, everything, everything - compiled.borne)


def _of_step(step: CompiledStep) -> Iterator[tuple[Loc, Reference, bool]]:
    for reference in step.when.references if step.when is not None else ():
        yield ("when",), reference, False
    for reference in step.approve_reason.references if step.approve_reason is not None else ():
        yield ("approve", "reason"), reference, False
    for start, mapped, knows_itself in (
        (("input",), step.input, False),
        (("validate_by", "input"), step.validation, True),
        (("compensate", "input"), step.undo, True),
        (("plan", "input"), step.planned, True),
        (("plan", "input_for"), step.planned_for, True),
    ):
        for place, reference in mapped.references if mapped is not None else ():
            yield (*start, *place), reference, knows_itself


def _uses(compiled: CompiledWorkflow, sources: Sources) -> Iterator[Problem]:
    for place, reference, known, sure in uses(compiled):
        step = reference.step
        if step is not None and step not in compiled.steps:
            what = f"{reference}: there is no step {step!r}"
            yield Problem(place, what, _known("steps", step, compiled.steps))
        elif step is not None and step not in known:
            what = f"{reference}: step {step!r} need not have ended by then"
            yield Problem(place, what, f"add {step!r} to `needs`, of this step or of one before it")
        elif step is not None and step not in sure and not reference.is_guarded:
            what = (
                f"{reference}: step {step!r} may have no result, not all of its kind are waited for"
            )
            yield Problem(
                place, what, "say what it is then: `|default(…)`, `is defined`, `default:`"
            )
        else:
            yield from _field(place, reference, sources)


def _field(place: Loc, reference: Reference, sources: Sources) -> Iterator[Problem]:
    schema = sources.schema(reference.step)
    if reference.is_guarded or field_of(schema, reference.fields) is not Known.ABSENT:
        return
    depth = next(
        depth
        for depth in range(len(reference.fields) + 1)
        if field_of(schema, reference.fields[: depth + 1]) is Known.ABSENT
    )
    above = field_of(schema, reference.fields[:depth])
    fields = list(above.get("properties", ())) if isinstance(above, Mapping) else []
    what = f"{reference}: {sources.told(reference.step)} has no {reference.fields[depth]!r}"
    there = f"there is {', '.join(fields[:12])}" if fields else "it has no fields"
    yield Problem(place, what, f"{there}; or declare it in that schema")


def _error_paths(compiled: CompiledWorkflow) -> Iterator[Problem]:
    """Find steps that may have to be undone, and nobody said how.

    That is so for a step while another one that fails the workflow may still be open: whatever it does not itself wait for.
    """
    if compiled.definition.on_failure != "compensate":
        return
    failing = [
        step.id
        for step in compiled.definition.steps
        if step.on_failure == "fail" and step.id not in compiled.borne
    ]
    for number, step in enumerate(compiled.definition.steps):
        if step.compensate is None and (after := _may_fail_after(step, failing, compiled)):
            what = f"step {step.id!r} may be done when {after!r} fails, and nothing says how it is undone"
            hint = (
                "add `compensate: {agent: …}`, or `compensate: none` where there is nothing to undo"
            )
            yield Problem(("steps", number, "id"), what, hint)


def _may_fail_after(
    step: StepSpec, failing: Iterable[str], compiled: CompiledWorkflow
) -> str | None:
    earlier = before(compiled.needs, step.id)
    return next((one for one in failing if one != step.id and one not in earlier), None)


def _known(kind: str, name: str, names: Collection[str]) -> str:
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    shown = sorted(names)[:20]
    return f"the {kind} are {', '.join(shown)}{' …' if len(names) > len(shown) else ''}"
