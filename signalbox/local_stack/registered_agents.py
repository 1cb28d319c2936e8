"""Which agents the registry names now, for a loop that asks often."""

from __future__ import annotations

from typing import Final

from connectors.broker import Broker, BrokerError, LogReader
from connectors.registry_view import RegistryView
from signalbox.definitions.registry_state import RegistryState
from signalbox.settings import Settings
from signalbox.topics import AGENT_REGISTRY, full_name

_POLL_SECONDS: Final = 0.02
_BATCH: Final = 500


class RegisteredAgents:
    """Follows `agent_registry`; made to be asked often."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._topic = full_name(settings.kafka.topic_prefix, AGENT_REGISTRY)
        self._view = RegistryView()
        self._reader: LogReader | None = None

    def state(self) -> RegistryState | None:
        """Return active and retired agents, None while no set is known; keeps its answer while the broker is away."""
        try:
            self._read()
        except BrokerError:
            self.close()
        return None if self._view.active is None else self._view.state

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
