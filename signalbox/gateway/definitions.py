"""The definitions as the read model has them: parsed when they change, not for each request."""

from __future__ import annotations

from threading import Lock

from connectors.registry_history import RegistryHistory, history_of
from connectors.registry_view import RegistryView
from signalbox.gateway.readmodel.queries import ReadModel
from signalbox.routing.rules import EnginePolicy


class Definitions:
    """What the registry says, read up to now at each question. Thread-safe."""

    def __init__(self, read_model: ReadModel, engine: EnginePolicy) -> None:
        self._read_model = read_model
        self._engine = engine
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._view = RegistryView()
        self._history: RegistryHistory | None = None
        self._offset = -1

    def view(self) -> RegistryView:
        """Return what the registry says now."""
        with self._lock:
            newest = self._read_model.registry(self._offset - 1) if self._offset >= 0 else ()
            if self._offset >= 0 and (not newest or newest[0].offset != self._offset):
                # Another topic of its name: what was read is not on it.
                self._begin()
            for record in self._read_model.registry(self._offset):
                self._view.take(record)
                self._offset = record.offset
                self._history = None
            return self._view

    def history(self) -> RegistryHistory:
        """Return every version that the registry tells of."""
        self.view()
        with self._lock:
            if self._history is None:
                self._history = history_of(self._read_model.registry(), self._engine)
            return self._history
