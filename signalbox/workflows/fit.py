"""Whether what a step is given fits its agent's contract, as far as it can be known before anything runs.

Refused is: a required field that nothing sets, a field that the contract forbids, a literal it refuses, and a value handed on
whose schema has nothing in common with what is taken. The same for who judges and who undoes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.workflows.compiled import CompiledStep, CompiledWorkflow
from signalbox.workflows.filling import PATH_KEY
from signalbox.workflows.mapping import Mapped
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


@dataclass(frozen=True, slots=True)
class Sources:
    """What mappings take from: the data of the start, and what steps answer."""

    definition: WorkflowDefinition
    agents: Mapping[str, AgentDefinition]

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
    if step.input is None or spec.input is None:
        yield from taker.takes_whole(("agent",), None)
    else:
        yield from taker.takes_mapping(("input",), spec.input, step.input)
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

    def takes_whole(self, place: Loc, step: str | None) -> Iterator[Problem]:
        """Find what keeps it from taking the start's data, or what `step` answers, as it is."""
        given, told = self.sources.schema(step), self.sources.told(step)
        hint = "add an `input` to the step that says what it is given"
        for name in _required(self.schema):
            if field_of(given, (name,)) is Known.ABSENT:
                what = (
                    f"{self.agent.name} requires {name!r}, and {told}, which is handed on, has none"
                )
                yield Problem(place, what, hint)
                return
        if never_fits(given, self.schema):
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

    def takes_mapping(
        self, place: Loc, mapping: Mapping[str, Any], mapped: Mapped
    ) -> Iterator[Problem]:
        """Find what keeps it from taking what `mapping` makes."""
        yield from self._fields(place, mapping, ())
        for inner, value in mapped.literals:
            reason = refuses(field_of(self.schema, inner), value)
            if reason is not None:
                what = f"{_dotted(inner)} of {self.agent.name}: {reason}"
                yield Problem((*place, *inner), what, "write a value that its contract takes")
        for inner, reference in mapped.references:
            yield from self._handed_on((*place, *inner), reference, inner)

    def _handed_on(self, place: Loc, reference: Reference, inner: Loc) -> Iterator[Problem]:
        if not reference.is_whole:
            return
        target = inner[:-1] if inner and inner[-1] == PATH_KEY else inner
        given = field_of(self.sources.schema(reference.step), reference.fields)
        taken = field_of(self.schema, target)
        if never_fits(given, taken):
            name = _dotted(target) or "its data"
            what = f"{reference} is {_shown(given)}, and {self.agent.name} takes {name} as {_shown(taken)}"
            yield Problem(place, what, "hand on another field, or mend one of the two schemas")

    def _fields(self, place: Loc, value: Any, path: Loc) -> Iterator[Problem]:
        if isinstance(value, list | tuple):
            for number, one in enumerate(value):
                yield from self._fields(place, one, (*path, number))
        if not isinstance(value, Mapping) or PATH_KEY in value:
            return
        taken = field_of(self.schema, path)
        for name in _required(taken):
            if name not in value:
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
