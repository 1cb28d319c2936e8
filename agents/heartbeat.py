"""Heartbeats to `agent_heartbeats`: what this process does, every two seconds, whether or not it has work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agents.clock import Clock
from signalbox.contracts.heartbeat import Heartbeat

INTERVAL_MS: Final = 2_000


class HeartbeatSender:
    """Sends what `observe` sees, on the clock's beat. `send` must not block: it runs on the event loop."""

    def __init__(
        self, send: Callable[[Heartbeat], object], clock: Clock, observe: Callable[[], Heartbeat]
    ) -> None:
        self._send = send
        self._clock = clock
        self._observe = observe
        self._cancel: Callable[[], None] = lambda: None

    def beat(self) -> None:
        """Send one now and arm the next."""
        self._send(self._observe())
        self._cancel = self._clock.call_at(self._clock.now_ms() + INTERVAL_MS, self.beat)

    def stop(self) -> None:
        """Send no more."""
        self._cancel()
