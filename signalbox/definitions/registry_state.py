"""What `agent_registry` says at one moment: the active set, and the agents that were removed with tasks still to end.

Pure: a change is a new value, and the records that make readers see it come from comparing the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from signalbox.contracts.registry import (
    MANIFEST_KEY,
    BacklogPolicy,
    Manifest,
    PartRecord,
    Retirement,
)
from signalbox.definitions.fleet import ActiveSet
from signalbox.topics import agent_tasks, spec_of


@dataclass(frozen=True, slots=True)
class RegistryState:
    """The active set and, by name, the retired agents; no agent is both."""

    active: ActiveSet
    retired: Mapping[str, Retirement] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Self:
        """Return what a registry says on which nothing was ever published."""
        return cls(ActiveSet.of(()))

    def activated(
        self, after: ActiveSet, *, removed_at: datetime, backlog: BacklogPolicy = "drain"
    ) -> Self:
        """Return the state with `after` active; what was active and is no longer is retired, and its fleet's policy kept.

        Args:
            after: the new active set.
            removed_at: the time of the change. Retirements older than a task topic's retention are forgotten: the
                topic can hold nothing of theirs.
            backlog: what becomes of the tasks of the agents that this change removes.
        """
        retired = {
            name: retirement
            for name, retirement in self.retired.items()
            if name not in after.agents and removed_at - retirement.removed_at < _kept(name)
        }
        for name, definition in self.active.agents.items():
            if name not in after.agents:
                retired[name] = Retirement(
                    name=name,
                    digest=definition.digest,
                    fleet=self.active.fleet_of[name],
                    backlog=backlog,
                    removed_at=removed_at,
                )
        return type(self)(self._with_policies_of(after, retired), retired)

    def _with_policies_of(self, after: ActiveSet, retired: Mapping[str, Retirement]) -> ActiveSet:
        # What removed agents still answer completes, and is bounded, as their fleet says.
        needed = {*after.fleet_of.values(), *(retirement.fleet for retirement in retired.values())}
        known = {**after.policies, **self.active.policies, **after.policies}
        return after.with_policies({name: one for name, one in known.items() if name in needed})

    def retired_with(self, name: str, backlog: BacklogPolicy) -> Self:
        """Return the state with another policy for an agent that is retired already.

        Raises:
            KeyError: it is not.
        """
        changed = self.retired[name].model_copy(update={"backlog": backlog})
        return type(self)(self.active, {**self.retired, name: changed})

    def records_since(
        self, before: RegistryState, known: Mapping[str, PartRecord], applied_at: datetime
    ) -> tuple[tuple[str, PartRecord | Retirement | Manifest | None], ...]:
        """Return what goes to the topic so that readers of `before` see this: keys with records, None is a tombstone.

        Args:
            before: what the topic says now.
            known: the definitions that are on the topic, by key; these are not written again.
            applied_at: the time of the change.
        """
        definitions, manifest = self.active.records(applied_at)
        missing = [record for record in definitions if known.get(record.key) != record]
        changes: list[tuple[str, PartRecord | Retirement | Manifest | None]] = [
            (record.key, record) for record in missing
        ]
        changes += [
            (retirement.key, retirement)
            for name, retirement in self.retired.items()
            if before.retired.get(name) != retirement
        ]
        changes += [
            (retirement.key, None)
            for name, retirement in before.retired.items()
            if name not in self.retired
        ]
        if missing or self.active != before.active:
            changes.append((MANIFEST_KEY, manifest))
        return tuple(changes)


def _kept(agent: str) -> timedelta:
    return timedelta(milliseconds=spec_of(agent_tasks(agent)).retention_ms)
