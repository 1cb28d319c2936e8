"""What the records of `agent_registry` amount to, read one after the other: the active set, definitions, removals.

Keys are `<agent>@<digest>` and `workflow/<name>@<digest>` for definitions, `retired/<agent>` and `manifest`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from connectors.broker import ConsumedRecord
from signalbox.contracts.registry import (
    MANIFEST_KEY,
    RETIRED_PREFIX,
    Manifest,
    PartRecord,
    Retirement,
    agent_key,
    part_from_json,
)
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.registry_state import RegistryState
from signalbox.definitions.specs import AgentDefinition


class RegistryView:
    """What the records read so far amount to. `active` changes only when a manifest and all its parts are there."""

    def __init__(self) -> None:
        self.active: ActiveSet | None = None
        self._records: dict[str, PartRecord] = {}
        self._retired: dict[str, Retirement] = {}
        self._manifest: Manifest | None = None
        self.is_manifest_readable = False
        """Whether readers who come after compaction find a manifest."""

    @property
    def state(self) -> RegistryState:
        """What the registry says; an empty set where nothing was published."""
        if self.active is None:
            return RegistryState.empty()
        agents = self.active.agents
        retired = {name: one for name, one in self._retired.items() if name not in agents}
        return RegistryState(self.active, retired)

    @property
    def definitions(self) -> Mapping[str, PartRecord]:
        """The definitions on the topic, by key, active or not."""
        return self._records

    def retired_definition(self, agent: str) -> AgentDefinition | None:
        """Return what a retired agent was; None where it is not retired or its record cannot be read."""
        retirement = self.state.retired.get(agent)
        record = self._records.get(agent_key(agent, retirement.digest)) if retirement else None
        try:
            return AgentDefinition.model_validate(record.definition) if record else None
        except ValidationError:
            return None

    def take(self, record: ConsumedRecord) -> None:
        """Take one record of the registry topic; a value nobody can read is passed over, the last good set stays."""
        key = record.key_text
        if key is None:
            return
        # What is unreadable is gone for readers who come after compaction; whoever applies next writes it again.
        self._forget(key)
        if key == MANIFEST_KEY:
            self.is_manifest_readable = False
        if record.value is None:
            return
        try:
            self._take(key, record.value)
        except ValidationError:
            return
        self._activate()

    def _forget(self, key: str) -> None:
        self._records.pop(key, None)
        if key.startswith(RETIRED_PREFIX):
            self._retired.pop(key.removeprefix(RETIRED_PREFIX), None)

    def _take(self, key: str, value: bytes) -> None:
        if key == MANIFEST_KEY:
            self._manifest = Manifest.from_json(value)
            self.is_manifest_readable = True
        elif key.startswith(RETIRED_PREFIX):
            retirement: Retirement = Retirement.from_json(value)
            self._retired[retirement.name] = retirement
        else:
            self._records[key] = part_from_json(key, value)

    def _activate(self) -> None:
        if self._manifest is None:
            return
        if self.active is not None and self.active.digest == self._manifest.digest:
            return
        try:
            complete = ActiveSet.from_records(self._manifest, self._records)
        except ValidationError:
            return
        if complete is not None:
            self.active = complete
