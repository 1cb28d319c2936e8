"""Whether what a step is given fits its agent's contract, as far as it can be known before anything runs.

Refused is: a required field that nothing sets, a field that the contract forbids, a literal it refuses, and a value handed on
whose schema has nothing in common with what is taken. The same for who judges and who undoes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson

from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.workflows.compiled import CompiledStep, CompiledWorkflow
from signalbox.workflows.filling import PATH_KEY
from signalbox.workflows.mapping import Mapped
from signalbox.workflows.planned import briefing
from signalbox.workflows.problem import Loc, Problem
from signalbox.workflows.references import Reference
from signalbox.workflows.schema_fields import (
    Field,
    Known,
    Schema,
    field_of,
    forbids,
    never_fits,
    refuses,
)

_JUDGED: Final = ("task", "result")
_SHOWN_CHARS: Final = 60
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
BRIEFING_HINT: Final = "add `agents: {type: array, items: {type: object}}` and `max_tasks: {type: integer}` to its input"


@dataclass(frozen=True, slots=True)
class Sources:
    """What mappings take from: the data of the start, and what steps answer."""

    definition: WorkflowDefinition
    agents: Mapping[str, AgentDefinition]

    def knows(self, step: str | None) -> bool:
        """Say whether there is such a step; None is the start."""
        return step is None or any(one.id == step for one in self.definition.steps)

    def schema(self, step: str | None) -> Schema:
        """Return the schema of what a step answers, or of the start's data where `step` is None."""
        if step is None:
            return self.definition.input.json_schema
        return self.agents[self._agent(step)].output.json_schema

    def told(self, step: str | None) -> str:
        """Return what a person calls it."""
        return "`input` of the workflow" if step is None else f"the output of {self._agent(step)}"

    def _agent(self, step: str) -> str:
        return next(one.agent for one in self.definition.steps if one.id == step)


def fit(
    compiled: CompiledWorkflow, agents: Mapping[str, AgentDefinition], sources: Sources
) -> Iterator[Problem]:
    """Find every contract that what it is given cannot fit."""
    for number, spec in enumerate(compiled.definition.steps):
        step = compiled.step(spec.id)
        for problem in _of_step(step, agents, sources):
            yield Problem(("steps", number, *problem.loc), problem.what, problem.hint)


def _of_step(
    step: CompiledStep, agents: Mapping[str, AgentDefinition], sources: Sources
) -> Iterator[Problem]:
    spec = step.spec
    taker = _Taker(agents[spec.agent], sources)
    besides = NOTHING if spec.plan is None else briefing(spec.plan, agents)
    if step.input is None or spec.input is None:
        yield from taker.takes_whole(("agent",), None, besides)
    else:
        yield from taker.takes_mapping(("input",), spec.input, step.input, besides)
    yield from taker.takes_briefing(("agent",), besides)
    if spec.undo is not None:
        undoing = _Taker(agents[spec.undo.agent], sources)
        place: Loc = ("compensate", "input")
        if step.undo is None or spec.undo.input is None:
            yield from undoing.takes_whole(("compensate", "agent"), spec.id)
        else:
            yield from undoing.takes_mapping(place, spec.undo.input, step.undo)
    if spec.validate_by is not None:
        judge = _Taker(agents[spec.validate_by.agent], sources)
        if step.validation is None or spec.validate_by.input is None:
            yield from judge.takes_fields(("validate_by", "agent"), _JUDGED)
        else:
            place = ("validate_by", "input")
            yield from judge.takes_mapping(place, spec.validate_by.input, step.validation)
        yield from judge.answers_with_a_verdict(("validate_by", "agent"))


@dataclass(frozen=True, slots=True)
class _Taker:
    agent: AgentDefinition
    sources: Sources

    @property
    def schema(self) -> Schema:
        return self.agent.input.json_schema

    def takes_whole(
        self, place: Loc, step: str | None, besides: Mapping[str, Any] = NOTHING
    ) -> Iterator[Problem]:
        """Find what keeps it from taking the start's data, or what `step` answers, as it is; `besides` is added to it."""
        given, told = self.sources.schema(step), self.sources.told(step)
        hint = "add an `input` to the step that says what it is given"
        for name in _required(self.schema):
            if name not in besides and field_of(given, (name,)) is Known.ABSENT:
                what = (
                    f"{self.agent.name} requires {name!r}, and {told}, which is handed on, has none"
                )
                yield Problem(place, what, hint)
                return
        if not besides and never_fits(given, self.schema):
            what = f"{self.agent.name} accepts nothing of {told}, which is handed on"
            yield Problem(place, what, hint)

    def takes_fields(self, place: Loc, names: tuple[str, ...]) -> Iterator[Problem]:
        """Find what keeps it from taking an object with exactly the fields `names`."""
        hint = "add an `input` that says what it is given"
        missing = [name for name in _required(self.schema) if name not in names]
        forbidden = [name for name in names if forbids(self.schema, (), name)]
        if missing or forbidden:
            given = " and ".join(f"`{name}`" for name in names)
            refused = f"requires {missing[0]!r}" if missing else f"does not take {forbidden[0]!r}"
            what = f"{self.agent.name} is given {given}, and {refused}"
            yield Problem(place, what, hint)

    def answers_with_a_verdict(self, place: Loc) -> Iterator[Problem]:
        """Find what keeps its answer from saying whether a result is accepted."""
        verdict = field_of(self.agent.output.json_schema, ("accepted",))
        if verdict is Known.ABSENT or never_fits(verdict, {"type": "boolean"}):
            what = f"{self.agent.name} judges, and its output has no boolean `accepted`"
            yield Problem(
                place, what, "add `accepted: {type: boolean}` to its output, or name another agent"
            )

    def takes_briefing(self, place: Loc, besides: Mapping[str, Any]) -> Iterator[Problem]:
        """Find what keeps it from taking what the orchestrator tells who plans."""
        for name, value in besides.items():
            reason = refuses(field_of(self.schema, (name,)), value)
            if reason is not None or forbids(self.schema, (), name):
                what = f"{self.agent.name} plans and is given `{name}`, which its contract does not take"
                yield Problem(place, f"{what}: {reason}" if reason else what, BRIEFING_HINT)

    def takes_mapping(
        self,
        place: Loc,
        mapping: Mapping[str, Any],
        mapped: Mapped,
        besides: Mapping[str, Any] = NOTHING,
    ) -> Iterator[Problem]:
        """Find what keeps it from taking what `mapping` makes; the fields `besides` are set, too."""
        yield from self._fields(place, mapping, (), besides)
        for inner, value in mapped.literals:
            reason = refuses(field_of(self.schema, inner), value)
            if reason is not None:
                what = f"{_dotted(inner)} of {self.agent.name}: {reason}"
                yield Problem((*place, *inner), what, "write a value that its contract takes")
        for inner, reference in mapped.references:
            yield from self._handed_on((*place, *inner), reference, inner)

    def _handed_on(self, place: Loc, reference: Reference, inner: Loc) -> Iterator[Problem]:
        if not reference.is_whole or not self.sources.knows(reference.step):
            return  # a step that is not there is told where it is named
        target = inner[:-1] if inner and inner[-1] == PATH_KEY else inner
        given = field_of(self.sources.schema(reference.step), reference.fields)
        taken = field_of(self.schema, target)
        if never_fits(given, taken):
            name = _dotted(target) or "its data"
            what = f"{reference} is {_shown(given)}, and {self.agent.name} takes {name} as {_shown(taken)}"
            yield Problem(place, what, "hand on another field, or mend one of the two schemas")

    def _fields(
        self, place: Loc, value: Any, path: Loc, besides: Mapping[str, Any] = NOTHING
    ) -> Iterator[Problem]:
        is_list = isinstance(value, list | tuple)
        if not is_list and (not isinstance(value, Mapping) or PATH_KEY in value):
            return
        taken = field_of(self.schema, path)
        if path and never_fits({"type": "array" if is_list else "object"}, taken):
            given = "a list" if is_list else "an object"
            what = f"{_dotted(path)} is {given}, and {self.agent.name} takes it as {_shown(taken)}"
            yield Problem((*place, *path), what, "write what its contract takes")
            return
        if is_list:
            for number, one in enumerate(value):
                yield from self._fields(place, one, (*path, number))
            return
        for name in _required(taken):
            if name not in value and name not in besides:
                what = f"{self.agent.name} requires {_dotted((*path, name))!r}, and nothing sets it"
                yield Problem((*place, *path), what, f"add `{name}:` to the mapping")
        for name, one in value.items():
            if forbids(self.schema, path, name):
                what = f"{self.agent.name} does not take {_dotted((*path, name))!r}"
                fields = ", ".join(_properties(taken)) or "no fields"
                yield Problem((*place, *path, name), what, f"it takes {fields}")
            yield from self._fields(place, one, (*path, name))


def _required(schema: Field) -> tuple[str, ...]:
    return tuple(schema.get("required", ())) if isinstance(schema, Mapping) else ()


def _properties(schema: Field) -> tuple[str, ...]:
    return tuple(schema.get("properties", ())) if isinstance(schema, Mapping) else ()


def _dotted(path: Loc) -> str:
    return ".".join(map(str, path))


def _shown(schema: Field) -> str:
    if not isinstance(schema, Mapping):
        return "anything"
    text = orjson.dumps({key: one for key, one in schema.items() if key != "$defs"}).decode()
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
