"""The definitions of the stack: fleets from their folders onto `agent_registry`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from connectors.broker import Broker
from connectors.registry import change_registry
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.registry_state import RegistryState
from signalbox.errors import ConfigurationError
from signalbox.local_stack.layout import PROJECT_ROOT
from signalbox.settings import Settings
from signalbox.workflows.loading import load_fleet


def load_fleets(settings: Settings, root: Path = PROJECT_ROOT) -> ActiveSet:
    """Load the folders `agent_definitions/<fleet>` of `settings.fleets`.

    Raises:
        ConfigurationError: no such folder, or two fleets declare one agent.
        DefinitionError: a file is wrong; with the place.
    """
    return _joined([load_fleet(_folder(root, name)) for name in settings.fleets])


def apply_fleets(broker: Broker, settings: Settings, loaded: ActiveSet) -> ActiveSet:
    """Publish `loaded`, and keep what `agents apply` added from elsewhere; return the set that is active then.

    A fleet that is loaded replaces its former self whole: an agent whose file is gone is removed, and its tasks drained.

    Raises:
        BrokerError: the broker does not take it.
    """
    prefix = settings.kafka.topic_prefix
    moment = datetime.now(UTC)

    def replaced(state: RegistryState) -> RegistryState:
        active = _joined([*_kept(state.active, loaded), *loaded.fleets()])
        return state.activated(active, removed_at=moment)

    change = change_registry(broker, replaced, topic_prefix=prefix, applied_at=moment)
    return change.after.active


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
    return [fleet for fleet in before.fleets() if fleet.name not in loaded.policies]
