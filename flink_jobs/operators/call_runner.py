"""Runs model calls on an event loop: at most so many at once, by the queue's order, behind the model's circuit breaker.

Everything here runs on one loop; `model_calls.py` puts that loop into a thread. A slot is free the moment its call returns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connectors.chat_model import ChatModel
from flink_jobs.operators.call_queue import Call, CallQueue
from signalbox.contracts.chat import ChatAnswer
from signalbox.errors import RetryableError, TerminalError
from signalbox.routing.breaker import Breaker

LOG = logging.getLogger(__name__)

STARTED_AT_ONCE: Final = 16
"""Calls started before the loop looks at its sockets again. Hundreds at once kept it from noticing for five seconds that they
were connected; all timed out, the breaker opened, and when it closed the same began again: 10 calls a second instead of 400."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A call and what came of it: an answer, or the error that says whether trying again can help."""

    call: Call
    result: ChatAnswer | RetryableError | TerminalError


class CallRunner:
    """Starts calls while slots and the breaker allow it, and hands each result to `finished`, on the loop's thread."""

    def __init__(
        self,
        model: ChatModel,
        *,
        slots: int,
        clock_ms: Callable[[], int],
        finished: Callable[[Finished], None],
    ) -> None:
        self._model = model
        self._clock_ms = clock_ms
        self._finished = finished
        self._queue = CallQueue(slots)
        self._breaker = Breaker()
        self._waiting: set[Call] = set()
        self._running: dict[Call, asyncio.Task[None]] = {}
        self._wake_up: asyncio.TimerHandle | None = None
        self._is_pump_due = False
        self.started = 0
        self.failed = 0

    @property
    def in_flight(self) -> int:
        """How many calls run now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many calls wait for a slot, their time or the breaker."""
        return len(self._queue)

    @property
    def is_breaker_open(self) -> bool:
        """Whether calls wait because the model failed too often; also while one call tries whether it is back."""
        return self._breaker.open_until_ms > 0

    def submit(self, call: Call) -> None:
        """Let `call` run as soon as it may."""
        self._waiting.add(call)
        self._queue.add(call, self._clock_ms())
        self.pump()

    def cancel(self, call: Call) -> None:
        """Forget `call`; if it runs, its connection closes."""
        if call in self._waiting:
            self._waiting.discard(call)
            self._queue.cancel(call)
        elif call in self._running:
            self._running[call].cancel()

    def pump(self) -> None:
        """Start the calls that may start now, a few at a time, and come back when the next one may."""
        if self._is_pump_due:
            return
        now_ms = self._clock_ms()
        for _ in range(STARTED_AT_ONCE):
            call = self._next(now_ms)
            if call is None:
                self._sleep_until_next(now_ms)
                return
            self._start(call)
        self._is_pump_due = True
        asyncio.get_running_loop().call_soon(self._pump_on)

    async def close(self) -> None:
        """Cancel what runs and close the model. Calls that never ended are asked again after a restore."""
        if self._wake_up is not None:
            self._wake_up.cancel()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._model.close()

    def _next(self, now_ms: int) -> Call | None:
        if not self._breaker.may_call(now_ms):
            return None
        return self._queue.take(now_ms, self.in_flight)

    def _pump_on(self) -> None:
        self._is_pump_due = False
        self.pump()

    def _start(self, call: Call) -> None:
        self._waiting.discard(call)
        is_probe = self._breaker.open_until_ms > 0
        self._breaker = self._breaker.started()
        self.started += 1
        task = asyncio.get_running_loop().create_task(self._run(call, is_probe=is_probe))
        self._running[call] = task
        task.add_done_callback(lambda _: self._ended(call))

    def _ended(self, call: Call) -> None:
        del self._running[call]
        self.pump()

    async def _run(self, call: Call, *, is_probe: bool) -> None:
        try:
            result = await self._ask(call)
        except asyncio.CancelledError:
            if is_probe:
                self._breaker = self._breaker.released()
            raise
        self._tell_breaker(result, is_probe=is_probe)
        self._finished(Finished(call, result))

    async def _ask(self, call: Call) -> ChatAnswer | RetryableError | TerminalError:
        seconds = call.ask.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._model.complete(call.ask.request, timeout_seconds=seconds)
        except (RetryableError, TerminalError) as error:
            return error
        except TimeoutError:
            return RetryableError(
                f"model {self._model.name} did not answer within {seconds:g} s; raise the agent's or model's timeout"
            )
        except Exception as error:
            # A client's own bug must not stop the job: the attempt counts, and the last one is a dead letter.
            LOG.exception("model %s raised an unexpected error", self._model.name)
            return RetryableError(f"{type(error).__name__}: {error}")

    def _tell_breaker(
        self, result: ChatAnswer | RetryableError | TerminalError, *, is_probe: bool
    ) -> None:
        if isinstance(result, RetryableError):
            self.failed += 1
            self._breaker = self._breaker.failed(self._clock_ms(), was_probe=is_probe)
        elif isinstance(result, ChatAnswer) and result.cached:
            self._breaker = self._breaker.released() if is_probe else self._breaker
        else:
            self.failed += isinstance(result, TerminalError)
            self._breaker = self._breaker.succeeded()

    def _sleep_until_next(self, now_ms: int) -> None:
        if self._wake_up is not None:
            self._wake_up.cancel()
            self._wake_up = None
        due_ms = self._queue.next_due_ms()
        if len(self._queue) and self._breaker.open_until_ms > now_ms:
            due_ms = self._breaker.open_until_ms
        if due_ms is not None:
            delay_seconds = max(due_ms - now_ms, 1) / 1000
            self._wake_up = asyncio.get_running_loop().call_later(delay_seconds, self.pump)
