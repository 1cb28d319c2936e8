"""What makes a plan step unable to run, whatever its agent will answer: who plans, who is given tasks, and where `$tasks` stands.

The contracts of those who are given tasks are judged by a sample: the workflow with a plan in which each of them has a task, and
one more that needs all those. What is wrong with it is wrong with the plan's own lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import (
    MAX_STEPS,
    MAX_TASK_ID_CHARS,
    PlanSpec,
    StepSpec,
    WorkflowDefinition,
)
from signalbox.workflows.filling import TASKS_KEY
from signalbox.workflows.graph import before
from signalbox.workflows.planned import TASK_FIELDS, briefing, expand, planned_id
from signalbox.workflows.problem import Loc, Problem
from signalbox.workflows.run import PlannedTask
from signalbox.workflows.schema_fields import Known, field_of, never_fits

Agents = Mapping[str, AgentDefinition]

MAX_BRIEFING_BYTES: Final = 64 * 1024
_ANSWER: Final = "its answer is {tasks: [{id, agent, description, needs: [id]}]}"


def placement(
    definition: WorkflowDefinition, needs: Mapping[str, tuple[str, ...]]
) -> Iterator[Problem]:
    """Find fields that the orchestrator sets, more tasks than a run has room for, and `$tasks` that names no plan or a later one.

    `needs` is the graph of the definition, whole and without circles.
    """
    planning = {step.id for step in definition.steps if step.plan is not None}
    for number, step in enumerate(definition.steps):
        if step.plan is not None:
            yield from _reserved(number, step, step.plan)
            yield from _given_nothing(number, step.plan)
        known = before(needs, step.id)
        for place, value in _mappings(step):
            loc: Loc = ("steps", number, *place)
            yield from _lists(loc, value, planning, known, step.id)
    yield from _lists(("result",), definition.result, planning, planning, "")
    tasks = sum(step.plan.max_tasks for step in definition.steps if step.plan is not None)
    if planning and len(definition.steps) + tasks > MAX_STEPS:
        number = next(at for at, step in enumerate(definition.steps) if step.plan is not None)
        what = f"{len(definition.steps)} steps and up to {tasks} planned tasks"
        hint = f"together at most {MAX_STEPS}; lower max_tasks"
        yield Problem(("steps", number, "plan", "max_tasks"), what, hint)


def planners(definition: WorkflowDefinition, agents: Agents) -> Iterator[Problem]:
    """Find planning agents that cannot answer with a plan, and those that would have too much to read."""
    for number, step in enumerate(definition.steps):
        if step.plan is None:
            continue
        problem = _no_plan(step, step.plan, agents[step.agent])
        if problem is not None:
            yield Problem(("steps", number, "agent"), problem, _ANSWER)
        told = len(orjson.dumps(briefing(step.plan, agents)))
        if told > MAX_BRIEFING_BYTES:
            what = f"the descriptions of these agents come to {told} bytes, which {step.agent} is given"
            hint = f"at most {MAX_BRIEFING_BYTES}; name fewer agents, or describe them shorter"
            yield Problem(("steps", number, "plan", "agents"), what, hint)


@dataclass(frozen=True, slots=True)
class Sample:
    """A workflow with a plan in each plan step. `owners`: of each planned step, the plan step and which of its agents, by number.

    Tasks are called `any_<agent>` and `another_<agent>`, because their names are read where something is wrong with them.
    """

    definition: WorkflowDefinition
    own_steps: int
    owners: tuple[tuple[int, int], ...]

    def declared(self, loc: Loc) -> Loc:
        """Return the place in the workflow's file that `loc` of the sample comes from."""
        match loc:
            case ("steps", int(number), *rest) if number >= self.own_steps:
                step, agent = self.owners[number - self.own_steps]
                match rest:
                    case ["input", str(name), *_] if name in TASK_FIELDS:
                        return ("steps", step, "plan", "agents", agent)
                    case ["input", str(name), *inner] if name in self._given_alone(step, agent):
                        return (
                            "steps",
                            step,
                            "plan",
                            "input_for",
                            self._agent(step, agent),
                            name,
                            *inner,
                        )
                    case ["input", *_]:
                        return ("steps", step, "plan", *rest)
                return ("steps", step, "plan", "agents", agent)
        return loc

    def _agent(self, step: int, agent: int) -> str:
        plan = self.definition.steps[step].plan
        return "" if plan is None else plan.agents[agent]

    def _given_alone(self, step: int, agent: int) -> Mapping[str, Any]:
        plan = self.definition.steps[step].plan
        alone = None if plan is None else plan.input_for
        return (alone or {}).get(self._agent(step, agent), {})


def sample_of(definition: WorkflowDefinition) -> Sample:
    """Return `definition` with a sample plan in each plan step; without plan steps it is the definition itself."""
    plans: dict[str, tuple[PlannedTask, ...]] = {}
    owners: list[tuple[int, int]] = []
    taken = {step.id for step in definition.steps}
    for number, step in enumerate(definition.steps):
        if step.plan is not None:
            plans[step.id] = _sample_plan(step.id, step.plan, taken)
            owners += [(number, step.plan.agents.index(task.agent)) for task in plans[step.id]]
    return Sample(expand(definition, plans), len(definition.steps), tuple(owners))


def _sample_plan(step_id: str, plan: PlanSpec, taken: set[str]) -> tuple[PlannedTask, ...]:
    """Return a plan of tasks that need nothing, one for each agent, and as many that need all those."""
    first = tuple(PlannedTask(_named("any", one, step_id, taken), one) for one in plan.agents)
    if plan.max_tasks == 1:
        return first
    needs = tuple(task.id for task in first)
    return (
        *first,
        *(PlannedTask(_named("another", one, step_id, taken), one, needs) for one in plan.agents),
    )


def _named(word: str, agent: str, step_id: str, taken: set[str]) -> str:
    """Name a task after its agent: shortened where that is too long, numbered where the step is `taken`; it is afterwards."""
    name, number = f"{word}_{agent}"[:MAX_TASK_ID_CHARS], 1
    while planned_id(step_id, name) in taken:
        number += 1
        name = f"{word}_{agent}"[:30] + f"_{number}"
    taken.add(planned_id(step_id, name))
    return name


def _given_nothing(number: int, plan: PlanSpec) -> Iterator[Problem]:
    """Find names in `input_for` that no task can be of."""
    for name in plan.input_for or {}:
        if name not in plan.agents:
            what = f"input_for names {name!r}, which is given no tasks of this plan"
            hint = f"the agents of the plan are {', '.join(plan.agents[:20])}"
            yield Problem(("steps", number, "plan", "input_for", name), what, hint)


def _reserved(number: int, step: StepSpec, plan: PlanSpec) -> Iterator[Problem]:
    given: tuple[tuple[Loc, Mapping[str, Any] | None, tuple[str, ...]], ...] = (
        (("input",), step.input, ("agents", "max_tasks")),
        (("plan", "input"), plan.input, TASK_FIELDS),
        *((place, mapping, TASK_FIELDS) for place, mapping in _for_one(plan)),
    )
    for place, mapping, names in given:
        for name in names:
            if mapping is not None and name in mapping:
                what = f"`{name}` is filled in by the orchestrator, from the plan"
                yield Problem(("steps", number, *place, name), what, "leave it out")


def _mappings(step: StepSpec) -> Iterator[tuple[Loc, Any]]:
    yield ("input",), step.input
    if step.undo is not None:
        yield ("compensate", "input"), step.undo.input
    if step.validate_by is not None:
        yield ("validate_by", "input"), step.validate_by.input
    if step.plan is not None:
        yield ("plan", "input"), step.plan.input
        yield from _for_one(step.plan)


def _for_one(plan: PlanSpec) -> Iterator[tuple[Loc, Mapping[str, Any]]]:
    for agent, mapping in (plan.input_for or {}).items():
        yield ("plan", "input_for", agent), mapping


def _lists(
    place: Loc, value: Any, planning: set[str], known: frozenset[str] | set[str], step: str
) -> Iterator[Problem]:
    """Find what is wrong with each `{$tasks: …}` of a mapping; the mapping itself is an object, so it is none."""
    waiting: list[tuple[Loc, Any]] = [(place, value)]
    while waiting:
        at, node = waiting.pop()
        if isinstance(node, Mapping) and TASKS_KEY in node:
            yield from _list(at, node, planning, known, step, is_whole=at == place)
        elif isinstance(node, Mapping):
            waiting += [((*at, key), one) for key, one in node.items() if isinstance(key, str)]
        elif isinstance(node, list | tuple):
            waiting += [((*at, number), one) for number, one in enumerate(node)]


def _list(
    at: Loc,
    node: Mapping[str, Any],
    planning: set[str],
    known: frozenset[str] | set[str],
    step: str,
    *,
    is_whole: bool,
) -> Iterator[Problem]:
    named = node[TASKS_KEY]
    if is_whole or len(node) > 1:
        what = f"`{TASKS_KEY}` is a list, and " + (
            "an object is needed here" if is_whole else "other fields stand beside it"
        )
        yield Problem(at, what, f"write `<field>: {{{TASKS_KEY}: <plan step>}}`")
    elif not isinstance(named, str) or named not in planning:
        what = f"{TASKS_KEY} names {named!r:.80}, which is no plan step of this workflow"
        there = f"the plan steps are {', '.join(sorted(planning))}" if planning else "there is none"
        yield Problem((*at, TASKS_KEY), what, f"{there}; a plan step has `plan:`")
    elif named not in known:
        what = f"{TASKS_KEY}: the tasks of {named!r} need not have ended by then"
        hint = f"add {named!r} to the `needs` of {step!r}, or of a step before it"
        yield Problem((*at, TASKS_KEY), what, hint)


def _no_plan(step: StepSpec, plan: PlanSpec, agent: AgentDefinition) -> str | None:
    """Say why the answer of `agent` cannot be a plan; None where it may be one."""
    schema, text = agent.output.json_schema, {"type": "string"}
    wanted: tuple[tuple[str, tuple[str | int, ...], Mapping[str, Any]], ...] = (
        ("`tasks`, a list", ("tasks",), {"type": "array"}),
        ("an `id`, a text, in `tasks`", ("tasks", 0, "id"), text),
        ("an `agent` in `tasks` that is one of the plan's", ("tasks", 0, "agent"), {"enum": list(plan.agents)}),
        ("a `description`, a text, in `tasks`", ("tasks", 0, "description"), text),
        ("`needs`, a list, in `tasks`", ("tasks", 0, "needs"), {"type": "array"}),
        ("texts in the `needs` of `tasks`", ("tasks", 0, "needs", 0), text),
    )  # fmt: skip
    for told, path, schema_ in wanted:
        found = field_of(schema, path)
        if found is Known.ABSENT or never_fits(found, schema_):
            return f"{agent.name} plans step {step.id!r}, and its output has no {told}"
    return None
