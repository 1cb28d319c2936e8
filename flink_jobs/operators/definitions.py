"""Definitions as they arrive on `agent_registry`: parts and manifests in broadcast state, compiled rules in memory.

A manifest becomes active once every definition it names is there. The last three stay, so that a message in flight
finishes under the version that admitted it; of agents that were removed the definitions stay, because they may still
answer. Whatever else is on the topic is logged and ignored.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

import orjson
from pydantic import ValidationError

from signalbox.contracts.liveness import (
    LIVENESS_KEY,
    LOADS_KEY,
    failed_from_json,
    loads_from_json,
)
from signalbox.contracts.registry import (
    MANIFEST_KEY,
    RETIRED_PREFIX,
    AgentRecord,
    Manifest,
    PartRecord,
    Retirement,
    agent_key,
    part_from_json,
)
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.specs import AgentDefinition
from signalbox.routing.rules import KEPT_VERSIONS, EnginePolicy, Rulebook, Rules

LOG = logging.getLogger(__name__)

HISTORY_KEY: Final = "active_manifests"
"""In broadcast state: a JSON array of the active manifest and its predecessors, newest first, each as text."""
RETIRED_KEY: Final = "retired_agents"
"""In broadcast state: a JSON object, removed agent → digest of its definition."""


class ReadableParts(Protocol):
    """What may be read of the broadcast state while a message is processed."""

    def get(self, key: str) -> bytes | None:
        """Return the value under `key`."""


class Parts(ReadableParts, Protocol):
    """The broadcast state while a registry record is processed."""

    def put(self, key: str, value: bytes) -> None:
        """Keep `value` under `key`."""

    def remove(self, key: str) -> None:
        """Forget `key`."""


class Definitions:
    """The rulebook of one subtask. `rulebook.current` is None until the first manifest is complete."""

    def __init__(self, engine: EnginePolicy) -> None:
        self._engine = engine
        self.is_restored = False
        self.rulebook = Rulebook()
        # The newest manifest and which of its parts are not there yet: ten thousand parts are not counted anew for each.
        self._latest: Manifest | None = None
        self._missing: set[str] = set()

    def restore(self, parts: ReadableParts) -> None:
        """Rebuild the rulebook from broadcast state, once per start of the operator."""
        if self.is_restored:
            return
        self.is_restored = True
        for manifest in reversed(_history(parts)):
            self._activate(manifest, parts)
        self._know_retired(parts)
        if (failed := parts.get(LIVENESS_KEY)) is not None:
            self.rulebook = replace(self.rulebook, failed=failed_from_json(failed))

    def take(self, key: str | None, value: bytes | None, parts: Parts) -> None:
        """Take one record of `agent_registry`; never raises on what it holds."""
        self.restore(parts)
        if key is None:
            LOG.warning("agent_registry: a record without a key was ignored")
        elif value is None:
            self._forget(key, parts)
        elif key == LIVENESS_KEY:
            self._know_failed(value, parts)
        elif key == LOADS_KEY:
            self._know_loads(value)
        elif key.startswith(RETIRED_PREFIX):
            self._retire(key, value, parts)
        elif self._keep(key, value, parts):
            self._activate_latest(key, parts)

    def _keep(self, key: str, value: bytes, parts: Parts) -> bool:
        try:
            record: Manifest | PartRecord = (
                Manifest.from_json(value) if key == MANIFEST_KEY else part_from_json(key, value)
            )
        except ValidationError as error:
            LOG.warning("agent_registry: record %r was ignored: %s", key, error)
            return False
        if not isinstance(record, Manifest) and record.key != key:
            LOG.warning("agent_registry: record %r holds %r and was ignored", key, record.key)
            return False
        parts.put(key, value)
        return True

    def _retire(self, key: str, value: bytes, parts: Parts) -> None:
        try:
            retirement: Retirement = Retirement.from_json(value)
        except ValidationError as error:
            LOG.warning("agent_registry: record %r was ignored: %s", key, error)
            return
        self._set_retired({**_retired(parts), retirement.name: retirement.digest}, parts)

    def _know_failed(self, value: bytes, parts: Parts) -> None:
        """Take who failed from the job's own watch over heartbeats."""
        try:
            failed = failed_from_json(value)
        except ValueError as error:
            LOG.warning("agent_registry: record %r was ignored: %s", LIVENESS_KEY, error)
            return
        parts.put(LIVENESS_KEY, value)
        self.rulebook = replace(self.rulebook, failed=failed)

    def _know_loads(self, value: bytes) -> None:
        """Take how agents do. In memory only: it is told anew within seconds, and till then everybody is as good as another."""
        try:
            self.rulebook = replace(self.rulebook, loads=loads_from_json(value))
        except ValueError as error:
            LOG.warning("agent_registry: record %r was ignored: %s", LOADS_KEY, error)

    def _set_retired(self, retired: dict[str, str], parts: Parts) -> None:
        parts.put(RETIRED_KEY, orjson.dumps(retired))
        self._know_retired(parts)

    def _know_retired(self, parts: ReadableParts) -> None:
        known = {}
        for name, digest in _retired(parts).items():
            raw = parts.get(agent_key(name, digest))
            with suppress(ValidationError):
                if raw is not None:
                    record: AgentRecord = AgentRecord.from_json(raw)
                    known[name] = AgentDefinition.model_validate(record.definition)
        self.rulebook = replace(self.rulebook, retired=known)

    def _forget(self, key: str, parts: Parts) -> None:
        if key.startswith(RETIRED_PREFIX):
            name = key.removeprefix(RETIRED_PREFIX)
            left = {other: one for other, one in _retired(parts).items() if other != name}
            self._set_retired(left, parts)
            return
        named = {key for manifest in _history(parts) for key in manifest.keys}
        named |= {agent_key(*one) for one in _retired(parts).items()}
        if key == MANIFEST_KEY or key in named:
            LOG.warning("agent_registry: the tombstone of %r was ignored: it is in use", key)
        else:
            parts.remove(key)
            self._latest = None  # it may have named that part

    def _activate_latest(self, key: str, parts: Parts) -> None:
        if key == MANIFEST_KEY or self._latest is None:
            self._expect(parts)
        elif key in self._missing:
            self._missing.discard(key)
        else:
            return
        manifest, current = self._latest, self.rulebook.current
        if manifest is None or self._missing:
            return
        if (current is not None and current.digest == manifest.digest) or not self._activate(
            manifest, parts
        ):
            return
        kept = [old for old in _history(parts) if old.digest != manifest.digest]
        history = [manifest, *kept][:KEPT_VERSIONS]
        parts.put(HISTORY_KEY, orjson.dumps([old.to_json().decode() for old in history]))

    def _expect(self, parts: ReadableParts) -> None:
        raw = parts.get(MANIFEST_KEY)
        if raw is None:
            return
        manifest: Manifest = Manifest.from_json(raw)
        self._latest = manifest
        self._missing = {key for key in manifest.keys if parts.get(key) is None}

    def _activate(self, manifest: Manifest, parts: ReadableParts) -> bool:
        try:
            active = ActiveSet.from_records(manifest, _records(manifest, parts))
            if active is None:
                return False
            self.rulebook = self.rulebook.activate(Rules.compile(active, self._engine))
        except ValueError as error:  # pydantic's error is one
            LOG.warning("agent_registry: manifest %s was ignored: %s", manifest.digest, error)
            return False
        LOG.info(
            "manifest %s is active: %d agents, %d workflows",
            manifest.digest,
            len(active.agents),
            len(active.workflows),
        )
        return True


def _history(parts: ReadableParts) -> list[Manifest]:
    raw = parts.get(HISTORY_KEY)
    return [] if raw is None else [Manifest.from_json(text) for text in orjson.loads(raw)]


def _retired(parts: ReadableParts) -> dict[str, str]:
    raw = parts.get(RETIRED_KEY)
    return {} if raw is None else orjson.loads(raw)


def _records(manifest: Manifest, parts: ReadableParts) -> dict[str, PartRecord]:
    found = ((key, parts.get(key)) for key in manifest.keys)
    return {key: part_from_json(key, raw) for key, raw in found if raw is not None}
