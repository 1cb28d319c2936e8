"""What is linted: fleets as they stand in their folders, together, with every agent's place and who can answer to whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations

from signalbox.definitions.contract import schema_digest
from signalbox.definitions.filters.event_types import TypePattern
from signalbox.definitions.loader import FleetFolder
from signalbox.definitions.specs import AgentDefinition
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.definitions.yaml_file import YamlFile
from signalbox.lint.finding import Finding, Level
from signalbox.lint.value_sets import ValueSet


class Subject:
    """Several fleets as one set, as they would be active together."""

    def __init__(self, folders: Sequence[FleetFolder]) -> None:
        self.folders = folders
        self.agents: Mapping[str, AgentDefinition] = {
            name: agent for folder in folders for name, agent in folder.fleet.agents.items()
        }
        self._files = {name: file for folder in folders for name, file in folder.files.items()}
        self.workflows: Mapping[str, WorkflowDefinition] = {
            name: one for folder in folders for name, one in folder.fleet.workflows.items()
        }
        self._workflow_files = {
            name: file for folder in folders for name, file in folder.workflow_files.items()
        }
        self._folder_of = {name: folder for folder in folders for name in folder.files}
        self._inputs: dict[str, ValueSet] = {}
        self._outputs: dict[str, ValueSet] = {}
        self._sets: dict[str, ValueSet] = {}

    def finding(
        self, rule: str, level: Level, agent: str, loc: Sequence[str | int], what: str, remedy: str
    ) -> Finding:
        """Return a finding at a place in the file of `agent`."""
        return _finding(self._files[agent], rule, level, loc, what, remedy)

    def finding_in_workflow(
        self, rule: str, level: Level, name: str, loc: Sequence[str | int], what: str, remedy: str
    ) -> Finding:
        """Return a finding at a place in the file of a workflow."""
        return _finding(self._workflow_files[name], rule, level, loc, what, remedy)

    def finding_in_fleet(
        self,
        rule: str,
        level: Level,
        folder: FleetFolder,
        loc: Sequence[str | int],
        what: str,
        remedy: str,
    ) -> Finding:
        """Return a finding at a place in a `fleet.yaml`."""
        return _finding(folder.head_file, rule, level, loc, what, remedy)

    @cached_property
    def in_workflows(self) -> frozenset[str]:
        """The agents that a workflow gives tasks to; what they answer goes to the workflow."""
        return frozenset().union(*(workflow.agents for workflow in self.workflows.values()))

    def accepts(self, schema: dict[str, object]) -> ValueSet:
        """Return what `schema` accepts."""
        return self._set(schema)

    def folder_of(self, agent: str) -> FleetFolder:
        """Return the fleet that `agent` is of."""
        return self._folder_of[agent]

    def takes(self, agent: str) -> ValueSet:
        """Return what the input contract of `agent` accepts."""
        if agent not in self._inputs:
            self._inputs[agent] = self._set(self.agents[agent].input.json_schema)
        return self._inputs[agent]

    def gives(self, agent: str) -> ValueSet:
        """Return what `agent` may answer with."""
        if agent not in self._outputs:
            self._outputs[agent] = self._set(self.agents[agent].output.json_schema)
        return self._outputs[agent]

    def allows(self, sender: str, receiver: str) -> bool:
        """Say whether the handoffs of `sender` let `receiver` act on its answer."""
        handoffs = self.agents[sender].handoffs
        return handoffs is None or receiver in handoffs

    def is_made_for_another(self, receiver: str) -> bool:
        """Say whether `receiver` accepts whatever some other agent answers."""
        takes = self.takes(receiver)
        return any(takes.covers(given) for given, senders in self._answers if senders != {receiver})

    @cached_property
    def fits(self) -> Mapping[str, tuple[str, ...]]:
        """Agent → candidates whose input may accept its answer, whatever the handoffs say."""
        taken = [(name, self.takes(name)) for name in self._candidates]
        found = {}
        for sender in self.agents:
            given = self.gives(sender)
            found[sender] = tuple(name for name, takes in taken if given.may_meet(takes))
        return found

    @cached_property
    def flow(self) -> Mapping[str, tuple[str, ...]]:
        """Agent → those that may act on its answer: it fits and the handoffs allow it, or they subscribe to it."""
        return {
            sender: tuple(
                dict.fromkeys(
                    (
                        *(one for one in receivers if self.allows(sender, one)),
                        *self._hearing(sender),
                    )
                )
            )
            for sender, receivers in self.fits.items()
        }

    def heard_types(self, agent: str) -> frozenset[TypePattern] | None:
        """Return the patterns of types outside which `agent` hears nothing; None where it does not say, or hears all."""
        subscribe = self.agents[agent].subscribe
        return None if subscribe is None else subscribe.types

    def _hearing(self, sender: str) -> Iterator[str]:
        """Yield who acts on the answer of `sender` by subscription; those that only listen do not act."""
        kind = self.agents[sender].output.type
        for name, agent in self.agents.items():
            if agent.subscribe is None or agent.subscribe.role == "listener" or name == sender:
                continue
            patterns = self.heard_types(name)
            is_heard = patterns is None or any(pattern.accepts(kind) for pattern in patterns)
            if is_heard and self.gives(sender).may_meet(self.takes(name)):
                yield name

    @cached_property
    def _candidates(self) -> tuple[str, ...]:
        return tuple(name for name, agent in self.agents.items() if agent.is_candidate)

    @cached_property
    def _answers(self) -> Sequence[tuple[ValueSet, set[str]]]:
        """What is answered, each set once, with who may answer so."""
        senders: dict[ValueSet, set[str]] = defaultdict(set)
        for name in self.agents:
            senders[self.gives(name)].add(name)
        return tuple(senders.items())

    def overlapping(self) -> Iterator[tuple[str, str]]:
        """Yield pairs of candidates whose input contracts accept some data in common."""
        taken = [(name, self.takes(name)) for name in self._candidates]
        for (one, takes), (other, others) in combinations(taken, 2):
            if takes.must_meet(others):
                yield one, other

    def _set(self, schema: dict[str, object]) -> ValueSet:
        digest = schema_digest(schema)
        if digest not in self._sets:
            self._sets[digest] = ValueSet(schema)
        return self._sets[digest]


def _finding(
    file: YamlFile, rule: str, level: Level, loc: Sequence[str | int], what: str, remedy: str
) -> Finding:
    line, column = file.place(*loc)
    return Finding(file.path, line, column, rule, level, what, remedy)
