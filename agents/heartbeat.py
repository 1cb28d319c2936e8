"""Heartbeats to `agent_heartbeats`: what this process does, every two seconds, whether or not it has work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from agents.clock import Clock
from connectors.broker import Producer
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.errors import SignalboxError

INTERVAL_MS: Final = 2_000


class HeartbeatSender:
    """Sends what `observe` sees, on the clock's beat. A heartbeat that cannot be sent is missed, never waited for.

    Delivery: at least once, unordered with the work's transactions; keyed by instance.
    """

    def __init__(
        self, producer: Producer, topic: str, clock: Clock, observe: Callable[[], Heartbeat]
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._clock = clock
        self._observe = observe
        self._cancel: Callable[[], None] = lambda: None

    def beat(self) -> None:
        """Send one now and arm the next."""
        heartbeat = self._observe()
        key = f"{heartbeat.agent}/{heartbeat.instance}".encode()
        try:
            self._producer.send(self._topic, key=key, value=heartbeat.to_json())
        except SignalboxError as error:
            structlog.get_logger().warning("heartbeat.missed", detail=str(error))
        self._cancel = self._clock.call_at(self._clock.now_ms() + INTERVAL_MS, self.beat)

    def stop(self) -> None:
        """Send no more."""
        self._cancel()
