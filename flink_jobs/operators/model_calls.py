"""Model calls beside the operator: one event loop in a thread beside the operator's, results collected per shard.

The operator's thread submits and collects and never waits for a model; a checkpoint therefore never does either.
Nothing here is durable: what is in flight is in the operator's state `pending` and is submitted again after a restore.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from connectors.chat_model import ChatModel
from flink_jobs.operators.call_queue import Call, CallKey
from flink_jobs.operators.call_runner import CallRunner, Finished
from flink_jobs.operators.clock import now_ms
from signalbox.routing.commands import AskModel

MIN_INTERVAL_MS = 5
INTERVAL_PER_SHARD_MS = 0.25
CLOSE_SECONDS = 5.0


class ModelCalls:
    """The calls of one subtask. Every method is for the operator's thread."""

    def __init__(
        self,
        model_factory: Callable[[], ChatModel],
        *,
        slots: int,
        max_waiting: int,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._model_factory = model_factory
        self._slots = slots
        self._max_waiting = max_waiting
        self._clock_ms = clock_ms
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="model-calls", daemon=True
        )
        self._runner: CallRunner | None = None
        self._open: dict[CallKey, Call] = {}
        self._busy: dict[int, int] = {}
        self._finished: dict[int, deque[Finished]] = {}

    def start(self) -> None:
        """Start the thread and create the model on its loop. Raises what the model's construction raises."""
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._create(), self._loop).result()

    @property
    def runner(self) -> CallRunner:
        """The runner on the loop; only its counters may be read from here."""
        if self._runner is None:
            msg = "the model calls were not started; call start() in the operator's open()"
            raise RuntimeError(msg)
        return self._runner

    @property
    def is_full(self) -> bool:
        """Whether more calls wait than the bound allows: the operator should hold back its input."""
        return len(self._open) - self.runner.in_flight > self._max_waiting

    def is_busy(self, shard: int) -> bool:
        """Say whether calls of this shard are open or results wait to be collected."""
        return shard in self._busy

    @property
    def interval_ms(self) -> int:
        """How long until a busy shard looks again, so that all timers together cost a bounded share of the subtask."""
        return max(MIN_INTERVAL_MS, round(len(self._busy) * INTERVAL_PER_SHARD_MS))

    def submit(self, shard: int, conversation: str, ask: AskModel, context: Any) -> None:
        """Ask the model; the result comes out of `collect(shard)` with `context`. Replaces an open call of the same key."""
        key = CallKey(shard, conversation, ask.sequence)
        self.cancel(shard, conversation, ask.sequence)
        call = Call(key, ask, self._clock_ms(), context)
        self._open[key] = call
        self._busy[shard] = self._busy.get(shard, 0) + 1
        self._loop.call_soon_threadsafe(self.runner.submit, call)

    def cancel(self, shard: int, conversation: str, sequence: int) -> None:
        """Forget the call of this key, if one is open; its result will not be collected."""
        call = self._open.get(CallKey(shard, conversation, sequence))
        if call is not None:
            self._close(call)
            self._loop.call_soon_threadsafe(self.runner.cancel, call)

    def collect(self, shard: int) -> Iterable[Finished]:
        """Return what finished for this shard since the last time."""
        finished = self._finished.get(shard)
        while finished:
            done = finished.popleft()
            if self._open.get(done.call.key) is done.call:
                self._close(done.call)
                yield done

    def close(self) -> None:
        """Cancel everything and end the thread."""
        if self._thread.is_alive():
            if self._runner is not None:
                closing = asyncio.run_coroutine_threadsafe(self._runner.close(), self._loop)
                with contextlib.suppress(
                    TimeoutError
                ):  # a client that hangs must not hang the job's end
                    closing.result(CLOSE_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_SECONDS)

    async def _create(self) -> CallRunner:
        return CallRunner(
            self._model_factory(),
            slots=self._slots,
            clock_ms=self._clock_ms,
            finished=self._keep,
        )

    def _keep(self, finished: Finished) -> None:
        # On the loop's thread. A deque hands single items over without a lock.
        self._finished.setdefault(finished.call.key.shard, deque()).append(finished)

    def _close(self, call: Call) -> None:
        del self._open[call.key]
        shard = call.key.shard
        self._busy[shard] -= 1
        if not self._busy[shard]:
            del self._busy[shard]
