"""A fleet: a policy and its agents, as one value; and the registry records that carry it to the running system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox.contracts.registry import AgentRecord, Manifest
from signalbox.definitions.specs import AgentDefinition, FleetPolicy

MAX_AGENTS: Final = 2_000
"""Agents that are active together. Each has a topic of four partitions and a process; deciding would bear many more."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A folder of definitions with its policy; agents by name."""

    policy: FleetPolicy
    agents: Mapping[str, AgentDefinition]

    @property
    def name(self) -> str:
        """The fleet's name, from `fleet.yaml`."""
        return self.policy.name


@dataclass(frozen=True, slots=True)
class ActiveSet:
    """All active definitions: one set, names unique, every agent a candidate. `fleet_of` maps agent → fleet name.

    A policy may be of a fleet without agents: those that were removed may still answer in its conversations.
    """

    digest: str
    agents: Mapping[str, AgentDefinition]
    fleet_of: Mapping[str, str]
    policies: Mapping[str, FleetPolicy]

    @classmethod
    def of(cls, fleets: Iterable[Fleet]) -> ActiveSet:
        """Join fleets into one set.

        Raises:
            ValueError: two fleets declare the same agent, or there would be too many.
        """
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
        if len(agents) > MAX_AGENTS:
            msg = f"fleets {', '.join(policies)} have {len(agents)} agents; at most {MAX_AGENTS} are active together: leave some out"
            raise ValueError(msg)
        return cls._build(agents, fleet_of, policies)

    @classmethod
    def from_records(
        cls, manifest: Manifest, records: Mapping[str, AgentRecord]
    ) -> ActiveSet | None:
        """Build the set a manifest names from registry records by key; None while one of them is missing."""
        agents: dict[str, AgentDefinition] = {}
        fleet_of: dict[str, str] = {}
        for name, digest in manifest.agents.items():
            record = records.get(f"{name}@{digest}")
            if record is None:
                return None
            agents[name] = AgentDefinition.model_validate(record.definition)
            fleet_of[name] = record.fleet
        policies = {
            name: FleetPolicy.model_validate(policy) for name, policy in manifest.fleets.items()
        }
        return cls(manifest.digest, agents, fleet_of, policies)

    @classmethod
    def _build(
        cls,
        agents: dict[str, AgentDefinition],
        fleet_of: dict[str, str],
        policies: dict[str, FleetPolicy],
    ) -> ActiveSet:
        digest = Manifest.digest_of(
            {name: definition.digest for name, definition in agents.items()},
            {name: policy.as_json() for name, policy in policies.items()},
        )
        return cls(digest, agents, fleet_of, policies)

    def with_fleet(self, fleet: Fleet) -> ActiveSet:
        """Return the set after `agents apply`: `fleet`'s agents upserted, its policy replaced.

        Raises:
            ValueError: an agent of `fleet` already belongs to another fleet, or there would be too many.
        """
        together = len({*self.agents, *fleet.agents})
        if together > MAX_AGENTS:
            msg = f"with fleet {fleet.name!r} {together} agents would be active; at most {MAX_AGENTS} are, so remove some first"
            raise ValueError(msg)
        for name in fleet.agents:
            owner = self.fleet_of.get(name, fleet.name)
            if owner != fleet.name:
                msg = f"agent {name!r} belongs to fleet {owner!r}; rename it in {fleet.name!r} or remove it there first"
                raise ValueError(msg)
        return self._build(
            {**self.agents, **fleet.agents},
            {**self.fleet_of, **dict.fromkeys(fleet.agents, fleet.name)},
            {**self.policies, fleet.name: fleet.policy},
        )

    def without(self, agent: str) -> ActiveSet:
        """Return the set after `agents remove`; a fleet without agents goes too.

        Raises:
            KeyError: no such agent.
        """
        fleet_of = {name: fleet for name, fleet in self.fleet_of.items() if name != agent}
        if len(fleet_of) == len(self.fleet_of):
            raise KeyError(agent)
        left = set(fleet_of.values())
        return self._build(
            {name: definition for name, definition in self.agents.items() if name != agent},
            fleet_of,
            {name: policy for name, policy in self.policies.items() if name in left},
        )

    def with_policies(self, policies: Mapping[str, FleetPolicy]) -> ActiveSet:
        """Return the set with exactly these policies; every agent's fleet must be among them."""
        return self._build(dict(self.agents), dict(self.fleet_of), dict(policies))

    def records(self, applied_at: datetime) -> tuple[tuple[AgentRecord, ...], Manifest]:
        """Return what goes to `agent_registry`: the definitions first, the manifest last."""
        records = tuple(
            AgentRecord(
                name=name,
                digest=definition.digest,
                fleet=self.fleet_of[name],
                definition=definition.as_json(),
            )
            for name, definition in self.agents.items()
        )
        manifest = Manifest(
            digest=self.digest,
            agents={record.name: record.digest for record in records},
            fleets={name: policy.as_json() for name, policy in self.policies.items()},
            applied_at=applied_at,
        )
        return records, manifest
