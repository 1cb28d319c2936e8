"""The records on `agent_registry`: immutable definitions `<agent>@<digest>`, removals `retired/<agent>`, one manifest.

A change is one transaction with the manifest last; a reader activates a manifest once every definition it names is
there, so a half-applied change is never seen. A removal counts only while the manifest does not name its agent.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from signalbox.contracts.ids import data_digest
from signalbox.contracts.record import Name, Record, Timestamp

MANIFEST_KEY: Final = "manifest"
RETIRED_PREFIX: Final = "retired/"

BacklogPolicy = Literal["drain", "dead-letter"]
"""What becomes of the tasks that wait for an agent when it is removed: worked off, or each a dead letter `agent_removed`."""


class AgentRecord(Record):
    """One definition as it was applied; the Kafka key is `key`."""

    name: Name
    digest: str
    fleet: Name
    definition: dict[str, Any]

    @property
    def key(self) -> str:
        """`<agent>@<digest>`."""
        return f"{self.name}@{self.digest}"


class Manifest(Record):
    """The whole active set: agent → digest and fleet → policy. `digest` names it in every decision."""

    digest: str
    agents: dict[Name, str]
    fleets: dict[Name, dict[str, Any]]
    applied_at: Timestamp

    @staticmethod
    def digest_of(agents: dict[str, str], fleets: dict[str, dict[str, Any]]) -> str:
        """Return the digest of a set: equal definitions and policies, equal digest."""
        return data_digest({"agents": agents, "fleets": fleets})[:16]


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
