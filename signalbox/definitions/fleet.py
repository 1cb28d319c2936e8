"""A fleet: a policy and its agents, as one value; and the registry records that carry it to the running system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from signalbox.contracts.registry import (
    AgentRecord,
    Manifest,
    PartRecord,
    WorkflowRecord,
    agent_key,
    workflow_key,
)
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.definitions.workflow import WorkflowDefinition

MAX_AGENTS: Final = 2_000
"""Agents that are active together. Each has a topic of four partitions and a process; deciding would bear many more."""
MAX_WORKFLOWS: Final = 500
"""Workflows that are active together; each is compiled in every subtask."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A folder of definitions with its policy; agents and workflows by name."""

    policy: FleetPolicy
    agents: Mapping[str, AgentDefinition]
    workflows: Mapping[str, WorkflowDefinition] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The fleet's name, from `fleet.yaml`."""
        return self.policy.name


@dataclass(frozen=True, slots=True)
class ActiveSet:
    """All active definitions: one set, names unique, every agent a candidate.

    `fleet_of` maps agent → fleet name, `workflow_fleet_of` workflow → fleet name.

    A policy may be of a fleet without agents: those that were removed may still answer in its conversations.
    """

    digest: str
    agents: Mapping[str, AgentDefinition]
    fleet_of: Mapping[str, str]
    policies: Mapping[str, FleetPolicy]
    workflows: Mapping[str, WorkflowDefinition] = field(default_factory=dict)
    workflow_fleet_of: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, fleets: Iterable[Fleet]) -> ActiveSet:
        """Join fleets into one set.

        Raises:
            ValueError: two fleets declare the same agent or the same workflow, or there would be too many agents.
        """
        workflows: dict[str, WorkflowDefinition] = {}
        workflow_fleet_of: dict[str, str] = {}
        agents: dict[str, AgentDefinition] = {}
        fleet_of: dict[str, str] = {}
        policies: dict[str, FleetPolicy] = {}
        for fleet in fleets:
            policies[fleet.name] = fleet.policy
            for name, definition in fleet.agents.items():
                if name in agents:
                    msg = f"agent {name!r} is declared by fleets {fleet_of[name]!r} and {fleet.name!r}; rename one"
                    raise ValueError(msg)
                agents[name] = definition
                fleet_of[name] = fleet.name
            for name, workflow in fleet.workflows.items():
                if name in workflows:
                    owner = workflow_fleet_of[name]
                    msg = f"workflow {name!r} is declared by fleets {owner!r} and {fleet.name!r}; rename one"
                    raise ValueError(msg)
                workflows[name] = workflow
                workflow_fleet_of[name] = fleet.name
        if len(agents) > MAX_AGENTS:
            msg = f"fleets {', '.join(policies)} have {len(agents)} agents; at most {MAX_AGENTS} are active together: leave some out"
            raise ValueError(msg)
        return cls("", agents, fleet_of, policies, workflows, workflow_fleet_of)._changed()

    @classmethod
    def from_records(
        cls, manifest: Manifest, records: Mapping[str, PartRecord]
    ) -> ActiveSet | None:
        """Build the set a manifest names from registry records by key; None while one of them is missing."""
        agents: dict[str, AgentDefinition] = {}
        fleet_of: dict[str, str] = {}
        for name, digest in manifest.agents.items():
            record = records.get(agent_key(name, digest))
            if record is None:
                return None
            agents[name] = AgentDefinition.model_validate(record.definition)
            fleet_of[name] = record.fleet
        workflows: dict[str, WorkflowDefinition] = {}
        workflow_fleet_of: dict[str, str] = {}
        for name, digest in manifest.workflows.items():
            record = records.get(workflow_key(name, digest))
            if record is None:
                return None
            workflows[name] = WorkflowDefinition.model_validate(record.definition)
            workflow_fleet_of[name] = record.fleet
        policies = {
            name: FleetPolicy.model_validate(policy) for name, policy in manifest.fleets.items()
        }
        return cls(manifest.digest, agents, fleet_of, policies, workflows, workflow_fleet_of)

    def _changed(self, **parts: Any) -> ActiveSet:
        """Return the set with `parts` in place of its own, under the digest that follows from the whole."""
        after = replace(self, **parts)
        digest = Manifest.digest_of(
            {name: definition.digest for name, definition in after.agents.items()},
            {name: policy.as_json() for name, policy in after.policies.items()},
            {name: workflow.digest for name, workflow in after.workflows.items()},
        )
        return replace(after, digest=digest)

    def with_fleet(self, fleet: Fleet) -> ActiveSet:
        """Return the set after `agents apply`: `fleet`'s agents and workflows upserted, its policy replaced.

        Raises:
            ValueError: an agent or workflow of `fleet` already belongs to another fleet, or there would be too many.
        """
        together = len({*self.agents, *fleet.agents})
        if together > MAX_AGENTS:
            msg = f"with fleet {fleet.name!r} {together} agents would be active; at most {MAX_AGENTS} are, so remove some first"
            raise ValueError(msg)
        together = len({*self.workflows, *fleet.workflows})
        if together > MAX_WORKFLOWS:
            msg = f"with fleet {fleet.name!r} {together} workflows would be active; at most {MAX_WORKFLOWS} are, so remove some first"
            raise ValueError(msg)
        _refuse_foreign("agent", fleet.agents, self.fleet_of, fleet.name)
        _refuse_foreign("workflow", fleet.workflows, self.workflow_fleet_of, fleet.name)
        return self._changed(
            agents={**self.agents, **fleet.agents},
            fleet_of={**self.fleet_of, **dict.fromkeys(fleet.agents, fleet.name)},
            policies={**self.policies, fleet.name: fleet.policy},
            workflows={**self.workflows, **fleet.workflows},
            workflow_fleet_of={
                **self.workflow_fleet_of,
                **dict.fromkeys(fleet.workflows, fleet.name),
            },
        )

    def without(self, agent: str) -> ActiveSet:
        """Return the set after `agents remove`; a fleet without agents goes too.

        Raises:
            KeyError: no such agent.
            ValueError: a workflow has it do a step.
        """
        fleet_of = {name: fleet for name, fleet in self.fleet_of.items() if name != agent}
        if len(fleet_of) == len(self.fleet_of):
            raise KeyError(agent)
        using = [name for name, workflow in self.workflows.items() if agent in workflow.agents]
        if using:
            msg = (
                f"workflow {using[0]!r} has {agent!r} do a step; delete the workflow's file and `apply --prune` first, "
                "or give the step to another agent"
            )
            raise ValueError(msg)
        left = set(fleet_of.values())
        return self._changed(
            agents={name: definition for name, definition in self.agents.items() if name != agent},
            fleet_of=fleet_of,
            policies={name: policy for name, policy in self.policies.items() if name in left},
        )

    def without_workflow(self, workflow: str) -> ActiveSet:
        """Return the set without a workflow; runs that have begun end under the version they began with.

        Raises:
            KeyError: no such workflow.
        """
        if workflow not in self.workflows:
            raise KeyError(workflow)
        return self._changed(
            workflows={name: one for name, one in self.workflows.items() if name != workflow},
            workflow_fleet_of={
                name: fleet for name, fleet in self.workflow_fleet_of.items() if name != workflow
            },
        )

    def with_policies(self, policies: Mapping[str, FleetPolicy]) -> ActiveSet:
        """Return the set with exactly these policies; every agent's fleet must be among them."""
        return self._changed(policies=dict(policies))

    def fleets(self) -> tuple[Fleet, ...]:
        """Return the fleets that the set is of, in the order of their policies."""
        return tuple(
            Fleet(
                policy,
                {one: agent for one, agent in self.agents.items() if self.fleet_of[one] == name},
                {
                    one: workflow
                    for one, workflow in self.workflows.items()
                    if self.workflow_fleet_of[one] == name
                },
            )
            for name, policy in self.policies.items()
        )

    def records(self, applied_at: datetime) -> tuple[tuple[PartRecord, ...], Manifest]:
        """Return what goes to `agent_registry`: the definitions first, the manifest last."""
        agents = tuple(
            AgentRecord(
                name=name,
                digest=definition.digest,
                fleet=self.fleet_of[name],
                definition=definition.as_json(),
            )
            for name, definition in self.agents.items()
        )
        workflows = tuple(
            WorkflowRecord(
                name=name,
                digest=workflow.digest,
                fleet=self.workflow_fleet_of[name],
                definition=workflow.as_json(),
            )
            for name, workflow in self.workflows.items()
        )
        manifest = Manifest(
            digest=self.digest,
            agents={record.name: record.digest for record in agents},
            workflows={record.name: record.digest for record in workflows},
            fleets={name: policy.as_json() for name, policy in self.policies.items()},
            applied_at=applied_at,
        )
        return (*agents, *workflows), manifest


def _refuse_foreign(
    kind: str, names: Iterable[str], fleet_of: Mapping[str, str], fleet: str
) -> None:
    for name in names:
        owner = fleet_of.get(name, fleet)
        if owner != fleet:
            msg = f"{kind} {name!r} belongs to fleet {owner!r}; rename it in {fleet!r} or remove it there first"
            raise ValueError(msg)
