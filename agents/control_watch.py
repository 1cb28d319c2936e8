"""What `agent_control` says about one agent: whether an event made it rest. Followed in a thread of its own.

A pause holds while the definition has `pause_on`, so taking that out resumes an agent whose resuming event never comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from pydantic import ValidationError

from connectors.broker import Broker, ConsumedRecord
from connectors.topic_reader import follow_topics
from signalbox.contracts.control import Pause
from signalbox.errors import SignalboxError
from signalbox.topics import AGENT_CONTROL, full_name

_RETRY_SECONDS: Final = 1.0


class ControlWatch:
    """Follows `agent_control` for agent `name` until `stopped` is set; `tell` hears, on its thread, whether the agent is paused."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        topic_prefix: str,
        stopped: threading.Event,
        tell: Callable[[bool], None],
    ) -> None:
        self._name = name
        self._broker = broker
        self._topic = full_name(topic_prefix, AGENT_CONTROL)
        self._stopped = stopped
        self._tell = tell
        self._newest: Pause | None = None
        self._is_started = False
        self._has_told = False
        self._log: Any = structlog.get_logger().bind(agent=name)

    def start(self) -> None:
        """Follow in a thread of its own; a second time changes nothing."""
        if not self._is_started:
            self._is_started = True
            threading.Thread(target=self._follow, name="control", daemon=True).start()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                # What is there at the start comes whole, so that an old pause that was long ended is never heard of.
                for batch in follow_topics(
                    self._broker,
                    [self._topic],
                    is_stopped=self._stopped.is_set,
                    is_first_whole=True,
                ):
                    self.take(batch)
            except SignalboxError as error:
                self._log.warning("control.unreadable", detail=str(error))
                self._stopped.wait(_RETRY_SECONDS)

    def take(self, batch: tuple[ConsumedRecord, ...]) -> None:
        """Tell what the newest record of the agent in `batch` says, where it is news; of the first batch always."""
        before, is_first = self._newest, not self._has_told
        for record in batch:
            pause = self._read(record)
            if pause is not None and (self._newest is None or pause.at >= self._newest.at):
                self._newest = pause
        if self._newest is not before or is_first:
            self._has_told = True
            self._tell(self._newest is not None and self._newest.paused)

    def _read(self, record: ConsumedRecord) -> Pause | None:
        if record.key != self._name.encode() or record.value is None:
            return None
        try:
            pause: Pause = Pause.from_json(record.value)
        except ValidationError as error:
            self._log.warning("control.ignored", offset=record.offset, detail=str(error))
            return None
        return pause if pause.agent == self._name else None
