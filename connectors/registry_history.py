"""Every version of the definitions that `agent_registry` still tells of: for explanations and what-if replay.

The topic is compacted: a manifest that was replaced long ago may be gone, and then its version is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from pydantic import ValidationError

from connectors.broker import Broker, ConsumedRecord
from connectors.topic_reader import read_topic
from signalbox.contracts.registry import MANIFEST_KEY, Manifest, PartRecord, part_from_json
from signalbox.definitions.fleet import ActiveSet
from signalbox.routing.rules import EnginePolicy, Rules
from signalbox.topics import AGENT_REGISTRY, full_name


class RegistryHistory:
    """The versions by digest and by time, compiled when asked for. `Versions` of what-if replay."""

    def __init__(
        self,
        manifests: list[tuple[int, Manifest]],
        records: dict[str, PartRecord],
        engine: EnginePolicy,
    ) -> None:
        self._manifests = sorted(manifests, key=lambda entry: entry[0])
        self._records = records
        self._engine = engine
        self._compiled: dict[str, Rules | None] = {}

    @cached_property
    def active(self) -> ActiveSet | None:
        """The newest version whose parts are all there; None where nothing was ever published."""
        sets = (self._set(manifest) for _, manifest in reversed(self._manifests))
        return next((found for found in sets if found is not None), None)

    def of(self, digest: str) -> Rules | None:
        """Return the version with this digest; None where the registry forgot it."""
        if digest not in self._compiled:
            manifest = next((one for _, one in self._manifests if one.digest == digest), None)
            self._compiled[digest] = None if manifest is None else self._rules(manifest)
        return self._compiled[digest]

    def set_of(self, digest: str) -> ActiveSet | None:
        """Return the definitions of the version with this digest, not compiled; None where the registry forgot it."""
        manifest = next((one for _, one in self._manifests if one.digest == digest), None)
        return None if manifest is None else self._set(manifest)

    def all(self) -> Iterator[Rules]:
        """Yield every version, the newest first."""
        for digest in dict.fromkeys(one.digest for _, one in reversed(self._manifests)):
            rules = self.of(digest)
            if rules is not None:
                yield rules

    @property
    def newest(self) -> str | None:
        """The digest of the newest version."""
        return None if self.active is None else self.active.digest

    def at(self, at_ms: int) -> Rules | None:
        """Return the version that was newest at `at_ms`; None where that is not known."""
        earlier = [manifest for published_ms, manifest in self._manifests if published_ms <= at_ms]
        return self.of(earlier[-1].digest) if earlier else None

    def _rules(self, manifest: Manifest) -> Rules | None:
        active = self._set(manifest)
        return None if active is None else Rules.compile(active, self._engine)

    def _set(self, manifest: Manifest) -> ActiveSet | None:
        try:
            return ActiveSet.from_records(manifest, self._records)
        except ValueError:  # a definition of an older Signalbox; pydantic's error is one
            return None


def read_history(broker: Broker, *, topic_prefix: str, engine: EnginePolicy) -> RegistryHistory:
    """Read the registry to its current end. A record nobody can read is passed over."""
    return history_of(read_topic(broker, full_name(topic_prefix, AGENT_REGISTRY)), engine)


def history_of(registry: Iterable[ConsumedRecord], engine: EnginePolicy) -> RegistryHistory:
    """Return the versions that records of the registry tell of."""
    manifests: list[tuple[int, Manifest]] = []
    records: dict[str, PartRecord] = {}
    for record in registry:
        key = record.key_text
        if record.value is None or key is None:
            continue
        try:
            if key == MANIFEST_KEY:
                manifests.append((record.timestamp_ms, Manifest.from_json(record.value)))
            else:
                found = part_from_json(key, record.value)
                records[found.key] = found
        except ValidationError:
            continue
    return RegistryHistory(manifests, records, engine)
