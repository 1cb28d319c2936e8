"""The records on `agent_registry`: immutable definitions, removals `retired/<agent>`, one manifest.

A definition's key is `<agent>@<digest>` or `workflow/<name>@<digest>`.

A change is one transaction with the manifest last; a reader activates a manifest once every definition it names is
there, so a half-applied change is never seen. A removal counts only while the manifest does not name its agent.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from signalbox.contracts.ids import data_digest
from signalbox.contracts.record import Name, Record, Timestamp

MANIFEST_KEY: Final = "manifest"
RETIRED_PREFIX: Final = "retired/"
WORKFLOW_PREFIX: Final = "workflow/"

BacklogPolicy = Literal["drain", "dead-letter"]
"""What becomes of the tasks that wait for an agent when it is removed: worked off, or each a dead letter `agent_removed`."""


def agent_key(name: str, digest: str) -> str:
    """Return the Kafka key of an agent's definition."""
    return f"{name}@{digest}"


def workflow_key(name: str, digest: str) -> str:
    """Return the Kafka key of a workflow."""
    return f"{WORKFLOW_PREFIX}{name}@{digest}"


class _Part(Record):
    name: Name
    digest: str
    fleet: Name
    definition: dict[str, Any]


class AgentRecord(_Part):
    """One definition as it was applied; the Kafka key is `key`."""

    @property
    def key(self) -> str:
        """`<agent>@<digest>`."""
        return agent_key(self.name, self.digest)


class WorkflowRecord(_Part):
    """One workflow as it was applied; the Kafka key is `key`."""

    @property
    def key(self) -> str:
        """`workflow/<name>@<digest>`."""
        return workflow_key(self.name, self.digest)


PartRecord = AgentRecord | WorkflowRecord
"""What a manifest names."""


def part_from_json(key: str, value: bytes) -> PartRecord:
    """Parse the definition under `key`. Raises `pydantic.ValidationError`."""
    kind = WorkflowRecord if key.startswith(WORKFLOW_PREFIX) else AgentRecord
    part: PartRecord = kind.from_json(value)
    return part


class Manifest(Record):
    """The whole active set: agent → digest, workflow → digest, and fleet → policy. `digest` names it in every decision.

    Without workflows it has neither the field nor another digest than before there were any.
    """

    digest: str
    agents: dict[Name, str]
    workflows: dict[Name, str] = Field(default_factory=dict)
    fleets: dict[Name, dict[str, Any]]
    applied_at: Timestamp

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {
            field: value for field, value in handler(self).items() if value or field != "workflows"
        }

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all definitions it names."""
        agents = (agent_key(*named) for named in self.agents.items())
        workflows = (workflow_key(*named) for named in self.workflows.items())
        return (*agents, *workflows)

    @staticmethod
    def digest_of(
        agents: dict[str, str], fleets: dict[str, dict[str, Any]], workflows: dict[str, str]
    ) -> str:
        """Return the digest of a set: equal definitions and policies, equal digest."""
        whole: dict[str, Any] = {"agents": agents, "fleets": fleets}
        if workflows:
            whole["workflows"] = workflows
        return data_digest(whole)[:16]


class Retirement(Record):
    """An agent that was taken out of the active set: what it was, and what becomes of its tasks; the Kafka key is `key`."""

    name: Name
    digest: str
    fleet: Name
    backlog: BacklogPolicy = "drain"
    removed_at: Timestamp

    @property
    def key(self) -> str:
        """`retired/<agent>`."""
        return f"{RETIRED_PREFIX}{self.name}"
