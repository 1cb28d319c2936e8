"""The hands of a runner: which items to start, how many at once, and what their handlers' ends mean for the workload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from agents.attempt import run_handler
from agents.backlog import Item
from agents.clock import Clock
from agents.result import HandlerResult, Terminal
from agents.serving import AgentTopics, Serving
from agents.settle import Again, Attempt, Settled, acknowledgement, give_up, settle
from agents.task import Context, Task
from agents.workload import Start, Workload
from connectors.broker import Partition
from signalbox.contracts.dead_letter import DeadLetterReason
from signalbox.contracts.envelope import TASK_ESCALATED
from signalbox.measured import HANDLING_SECONDS, Buckets

KILLED: Final = "the process ended during its last attempt"
REMOVED: Final = "the agent was removed while this task waited for it"
_ANY_TIME_MS: Final = 2**63

ContextFactory = Callable[[Attempt, Serving], Context]


@dataclass(slots=True)
class Counters:
    """What heartbeats and metrics say. `handled` counts settled tasks, `failed` those of them that became dead letters.

    `busy_ms` is how long handlers ran in all.
    """

    active: int = 0
    handled: int = 0
    failed: int = 0
    escalated: int = 0
    attempts: int = 0
    retries: int = 0
    busy_ms: int = 0
    handling: Buckets = field(default_factory=lambda: Buckets(HANDLING_SECONDS))


class Hands:
    """Runs up to `limits.max_concurrent` handlers. `wake` is called whenever one ends."""

    def __init__(
        self,
        work: Workload,
        serving: Serving,
        topics: AgentTopics,
        contexts: ContextFactory,
        *,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self.serving = serving
        self.is_resting = False
        """While true nothing is started; what runs ends."""
        self.counters = Counters()
        self._work = work
        self._topics = topics
        self._contexts = contexts
        self._clock = clock
        self._wake = wake
        self._log: Any = structlog.get_logger().bind(agent=serving.definition.name)
        self._running: dict[asyncio.Task[None], Item] = {}
        self._alone: Item | None = None
        self._is_alone_begun = False
        self._failure: BaseException | None = None

    @property
    def are_busy(self) -> bool:
        """Say whether a handler runs."""
        return bool(self._running)

    def raise_failure(self) -> None:
        """Raise what went wrong in our own code around a handler, if anything did."""
        if self._failure is not None:
            raise self._failure

    def cancel(self, is_chosen: Callable[[Partition], bool] = lambda _: True) -> None:
        """Cancel the handlers of chosen partitions; nothing of them is committed."""
        for task, item in self._running.items():
            if is_chosen(item.partition):
                task.cancel()

    def start_what_may(self) -> None:
        """Start items until all hands are full or nothing may start; of a removed agent without a drain, end them all."""
        if self._turns_away:
            self._turn_away_all()
            return
        if self.is_resting:
            return
        limit = self.serving.definition.max_concurrent
        while len(self._running) + self._work.noting < limit:
            item = self._next_item()
            if item is None:
                return
            if self._work.starts_before(item) >= self.serving.definition.limits.max_attempts:
                self._give_up(item, "handler_failed", KILLED)
            elif self._work.is_suspect(item) and item is not self._alone:
                self._alone = item
            elif (start := self._work.begin(item)) is not None:
                self.run(start)

    def _next_item(self) -> Item | None:
        """Return the item to look at next. While one is to run alone, nothing else is started."""
        if self._alone is None:
            return self._work.take(self._clock.now_ms())
        if self._running or self._work.noting:
            return None
        item, is_begun = self._alone, self._is_alone_begun
        if is_begun or not self._work.is_ours(item):
            self._alone, self._is_alone_begun = None, False
            if not is_begun:
                self._work.leave(item)
            return self._next_item()
        self._is_alone_begun = True
        return item

    @property
    def _turns_away(self) -> bool:
        return self.serving.retired == "dead-letter"

    def _turn_away_all(self) -> None:
        alone, is_begun = self._alone, self._is_alone_begun
        self._alone, self._is_alone_begun = None, False
        waits = alone if alone is not None and not is_begun else None
        while waits is not None or (waits := self._work.take(_ANY_TIME_MS)) is not None:
            self._turn_away(waits)
            waits = None

    def _turn_away(self, item: Item) -> None:
        if self._work.is_ours(item):
            self._give_up(item, "agent_removed", REMOVED)
        else:
            self._work.leave(item)

    def _give_up(self, item: Item, reason: DeadLetterReason, detail: str) -> None:
        now_ms = self._clock.now_ms()
        attempt = Attempt(item.record, item.envelope, self._work.starts_before(item), now_ms)
        end = give_up(self.serving, self._topics, attempt, reason, detail, now_ms)
        self._finish(item, attempt, end)

    def run(self, start: Start) -> None:
        """Run the handler of a counted start."""
        if self._turns_away:
            # Counted, noted with a commit, and not begun when the agent was removed.
            self._turn_away(start.item)
            return
        if self.serving.definition.limits.acknowledge_seconds is not None:
            self._acknowledge(start)
        task = asyncio.get_running_loop().create_task(self._handle(start, self.serving))
        self._running[task] = start.item
        self.counters.attempts += 1
        self.counters.active = len(self._running)
        task.add_done_callback(self._handled)

    def _acknowledge(self, start: Start) -> None:
        now_ms = self._clock.now_ms()
        attempt = Attempt(start.item.record, start.item.envelope, start.attempt, now_ms)
        record = acknowledgement(self.serving, self._topics, attempt, now_ms)
        self._work.acknowledge(start.item, record)

    def _handled(self, task: asyncio.Task[None]) -> None:
        item = self._running.pop(task)
        self.counters.active = len(self._running)
        if task.cancelled():
            self._work.leave(item)
        else:
            self._failure = task.exception() or self._failure
        self._wake()

    async def _handle(self, start: Start, serving: Serving) -> None:
        item = start.item
        attempt = Attempt(item.record, item.envelope, start.attempt, self._clock.now_ms())
        result = await self._result(attempt, serving)
        took_ms = max(0, self._clock.now_ms() - attempt.started_ms)
        self.counters.handling.observe(took_ms / 1000)
        self.counters.busy_ms += took_ms
        if not self._work.is_ours(item):
            self._work.leave(item)
            return
        now_ms = self._clock.now_ms()
        end = settle(serving, self._topics, attempt, result, now_ms)
        if isinstance(end, Again):
            self.counters.retries += 1
            log = self._log_of(attempt)
            log.warning("task.retried", delay_ms=end.delay_ms, detail=end.detail)
            self._work.retry(item, end, now_ms)
        else:
            self._finish(item, attempt, end)

    def _finish(self, item: Item, attempt: Attempt, end: Settled) -> None:
        self.counters.handled += 1
        self.counters.failed += end.is_failure
        self.counters.escalated += end.event == TASK_ESCALATED
        log = self._log_of(attempt)
        write = log.error if end.is_failure else log.info
        took_ms = self._clock.now_ms() - attempt.started_ms
        write(end.event, ms=took_ms, **({"detail": end.detail} if end.detail else {}))
        self._work.settle(item, end)

    def _log_of(self, attempt: Attempt) -> Any:
        return self._log.bind(
            task=attempt.task.id, conversation=attempt.task.subject, attempt=attempt.number
        )

    async def _result(self, attempt: Attempt, serving: Serving) -> HandlerResult:
        violations = serving.input_contract.violations(attempt.task.data)
        if violations:
            return Terminal("handler_failed", f"input contract: {'; '.join(violations)}")
        context = self._contexts(attempt, serving)
        task = Task(attempt.task, attempt.number)
        return await run_handler(
            serving.handler,
            task,
            context,
            timeout_seconds=serving.definition.limits.timeout_seconds,
        )
