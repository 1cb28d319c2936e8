"""When a removed agent is through: it waits a while for late tasks, then for the end of its topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from agents.clock import Alarms, Clock
from agents.intake import Intake
from connectors.broker import BrokerError, Partition
from signalbox.contracts.registry import BacklogPolicy

LAST_TASKS_MS: Final = 5_000
"""How long it waits at least: decisions that fell before the removal reached the orchestrator are still written."""
LOOK_AGAIN_MS: Final = 500

_ALARM: Final = "look"


class WorkingOff:
    """Says once that nothing waits for the agent any more. `wake` is called when it is time to ask again."""

    def __init__(self, intake: Intake, clock: Clock, wake: Callable[[], None], log: Any) -> None:
        self._intake = intake
        self._clock = clock
        self._alarms = Alarms(clock, wake)
        self._log: structlog.stdlib.BoundLogger = log
        self._backlog: BacklogPolicy | None = None
        self._is_over = False

    def begin(self, backlog: BacklogPolicy | None) -> None:
        """Take up that the agent was removed with this policy; None: that it is active (again)."""
        if backlog == self._backlog:
            return
        self._backlog = backlog
        self._is_over = False
        self._alarms.set(_ALARM, None)
        if backlog is not None:
            self._log.info("agent.removed", backlog=backlog)
            self._wait(LAST_TASKS_MS)

    @property
    def is_to_be_asked(self) -> bool:
        """Whether `has_just_ended` may be true now."""
        return self._backlog is not None and not self._is_over and not self._alarms.is_set(_ALARM)

    async def has_just_ended(self, partitions: frozenset[Partition]) -> bool:
        """Ask whether all that is on `partitions` was taken in; ask only while nothing that was is open."""
        is_at_end = False
        try:
            is_at_end = await self._intake.is_at_end(partitions)
        except BrokerError as error:
            self._log.warning("end.unknown", detail=str(error))
        # The agent may have been applied again while we asked.
        self._is_over = is_at_end and self._backlog is not None
        if self._is_over:
            self._log.info("agent.drained", detail="it was removed, and no task waits for it")
        else:
            self._wait(LOOK_AGAIN_MS)
        return self._is_over

    def stop(self) -> None:
        """Wake nobody any more."""
        self._alarms.clear()

    def _wait(self, milliseconds: int) -> None:
        self._alarms.set(_ALARM, self._clock.now_ms() + milliseconds)
