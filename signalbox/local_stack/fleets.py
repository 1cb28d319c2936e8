"""The definitions of the stack: fleets from their folders onto `agent_registry`, and which agents are active now."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from connectors.broker import Broker, BrokerError, LogReader
from connectors.registry import RegistryView, publish, read_active_set
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import load_fleet
from signalbox.errors import ConfigurationError
from signalbox.local_stack.layout import PROJECT_ROOT
from signalbox.settings import Settings
from signalbox.topics import AGENT_REGISTRY, full_name

_POLL_SECONDS: Final = 0.02
_BATCH: Final = 500


def load_fleets(settings: Settings, root: Path = PROJECT_ROOT) -> ActiveSet:
    """Load the folders `agent_definitions/<fleet>` of `settings.fleets`.

    Raises:
        ConfigurationError: no such folder, or two fleets declare one agent.
        DefinitionError: a file is wrong; with the place.
    """
    return _joined([load_fleet(_folder(root, name)) for name in settings.fleets])


def apply_fleets(broker: Broker, settings: Settings, loaded: ActiveSet) -> ActiveSet:
    """Publish `loaded`, and keep what `agents apply` added from elsewhere; return the set that is active then.

    A fleet that is loaded replaces its former self whole, so an agent whose file is gone is gone.

    Raises:
        BrokerError: the broker does not take it.
    """
    prefix = settings.kafka.topic_prefix
    before = read_active_set(broker, topic_prefix=prefix)
    active = loaded if before is None else _joined([*_kept(before, loaded), *_fleets(loaded)])
    if before is None or before.digest != active.digest:
        publish(broker, active, topic_prefix=prefix, applied_at=datetime.now(UTC))
    return active


class ActiveAgents:
    """Follows `agent_registry` and says which agents are active; made to be asked often."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._topic = full_name(settings.kafka.topic_prefix, AGENT_REGISTRY)
        self._view = RegistryView()
        self._reader: LogReader | None = None

    def names(self) -> frozenset[str] | None:
        """Return the active agents, None while no set is known; keeps its answer while the broker is away."""
        try:
            self._read()
        except BrokerError:
            self.close()
        return None if self._view.active is None else frozenset(self._view.active.agents)

    def close(self) -> None:
        """Let go of the connection."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _read(self) -> None:
        if self._reader is None:
            self._reader = self._broker.log_reader()
            partitions = self._reader.partitions(self._topic)
            if not partitions:
                # Nobody created the topic yet; a new reader asks again.
                self.close()
                return
            self._reader.assign(partitions)
        while batch := self._reader.poll(timeout_seconds=_POLL_SECONDS, max_records=_BATCH):
            for record in batch:
                self._view.take(record)


def _folder(root: Path, name: str) -> Path:
    parent = root / "agent_definitions"
    folder = parent / name
    # The name becomes a path: only a plain one may.
    if Path(name).name != name or not folder.is_dir():
        known = sorted(path.parent.name for path in parent.glob("*/fleet.yaml"))
        msg = (
            f"SIGNALBOX_FLEETS names {name!r}, there is no folder {folder}; "
            f"fleets here: {', '.join(known) or 'none'}"
        )
        raise ConfigurationError(msg)
    return folder


def _joined(fleets: list[Fleet]) -> ActiveSet:
    try:
        return ActiveSet.of(fleets)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _kept(before: ActiveSet, loaded: ActiveSet) -> list[Fleet]:
    return [fleet for fleet in _fleets(before) if fleet.name not in loaded.policies]


def _fleets(active: ActiveSet) -> list[Fleet]:
    return [
        Fleet(
            policy,
            {
                agent: definition
                for agent, definition in active.agents.items()
                if active.fleet_of[agent] == name
            },
        )
        for name, policy in active.policies.items()
    ]
