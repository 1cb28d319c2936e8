"""A circuit breaker around one endpoint of an agent process: while it is down, tasks wait for it and nobody calls it.

The breaker is the models' (`signalbox.routing.breaker`). Here a task waits inside its own time: given back it would spend
its attempts within seconds, and an outage would make dead letters of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from signalbox.contracts.record import to_epoch_ms
from signalbox.routing.breaker import Breaker

_LOOK_SECONDS: Final = 0.05
"""How often a task that waits looks whether it may call."""


class Circuit:
    """The breaker of one endpoint. Every `enter` is followed by exactly one of the other three. Belongs to one event loop."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        """Begin closed; `now` is the moment, in UTC."""
        self._now = now
        self._breaker = Breaker()

    async def enter(self) -> bool:
        """Wait until a call may start; return whether it is the one that looks if the endpoint is back."""
        while not self._breaker.may_call(to_epoch_ms(self._now())):
            await asyncio.sleep(_LOOK_SECONDS)
        is_probe = self._breaker.open_until_ms != 0
        self._breaker = self._breaker.started()
        return is_probe

    def succeeded(self) -> None:
        """The endpoint answered, whatever it said: it is there."""
        self._breaker = self._breaker.succeeded()

    def failed(self, *, is_probe: bool) -> None:
        """No answer came, or one that says the endpoint is down (5xx)."""
        self._breaker = self._breaker.failed(to_epoch_ms(self._now()), was_probe=is_probe)

    def released(self, *, is_probe: bool) -> None:
        """The call was given up without a word about the endpoint."""
        if is_probe:
            self._breaker = self._breaker.released()
