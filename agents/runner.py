"""The only loop of an agent process: poll → check → handle concurrently → check → one transaction.

Reads `agent_tasks_<agent>`; writes `agent_messages`, `agent_messages_dlq` and the group's offsets, together. Nothing in
the loop sleeps and nothing is skipped: when all hands are full it stops taking, when a task must wait its key waits.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import structlog

from agents.clock import Alarms, Clock
from agents.hands import ContextFactory, Counters, Hands
from agents.intake import Intake, Polled
from agents.ledger import Entry, Ledger
from agents.serving import AgentTopics, Serving
from agents.working_off import WorkingOff
from agents.workload import Batch, Workload
from agents.written import Written
from connectors.broker import BrokerError, Membership, Partition, RebalancedError
from signalbox.errors import SignalboxError

POLL_SECONDS: Final = 0.1
KEEP_ALIVE_MS: Final = 1_000
RETRY_BROKER_MS: Final = 1_000
MAX_REFUSED_COMMITS: Final = 30
"""Commits refused in a row, about one a second: past any rebalance, so the process ends and the supervisor starts another."""
DRAIN_MS: Final = 15_000
"""How long `stop` waits for running handlers; what still runs then is handled again by whoever comes next."""


class Runner:
    """One agent process's work. `run` returns after `stop`, when all that ran is committed.

    Of a removed agent it also returns once nothing waits for it any more, if `ends_when_empty`.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        ledger: Ledger,
        serving: Serving,
        topics: AgentTopics,
        contexts: ContextFactory,
        clock: Clock,
        max_poll_records: int = 100,
        ends_when_empty: bool = True,
    ) -> None:
        self._intake = intake
        self._ledger = ledger
        self._clock = clock
        self._max_poll_records = max_poll_records
        self._work = Workload(topics)
        self._log: Any = structlog.get_logger().bind(agent=serving.definition.name)
        self._wake = asyncio.Event()
        self._hands = Hands(self._work, serving, topics, contexts, clock=clock, wake=self._wake.set)
        self._is_stopping = False
        self._membership: Membership | None = None
        self._assignment: frozenset[Partition] = frozenset()
        self._poll: asyncio.Future[Polled] | None = None
        self._polled: Polled | None = None
        self._commit: asyncio.Future[None] | None = None
        self._batch: Batch | None = None
        self._alarms = Alarms(clock, self._wake.set)
        self._is_membership_doubted = False
        self._refused_commits = 0
        self.written = Written()
        self._ends_when_empty = ends_when_empty
        self._working_off = WorkingOff(intake, clock, self._wake.set, self._log)
        self._working_off.begin(serving.retired)

    @property
    def serving(self) -> Serving:
        """What is served now."""
        return self._hands.serving

    @property
    def counters(self) -> Counters:
        """What was done so far."""
        return self._hands.counters

    @property
    def waiting(self) -> int:
        """How many tasks were taken from the topic and wait for a free hand, or for their next attempt."""
        return self._work.waiting

    def stop(self, patience_ms: int | None = DRAIN_MS) -> None:
        """Drain: start nothing more, finish what runs, commit, return.

        Args:
            patience_ms: how long to wait for running handlers; None as long as their own timeouts let them.
        """
        self._is_stopping = True
        if patience_ms is not None:
            self._clock.call_at(self._clock.now_ms() + patience_ms, self._hands.cancel)
        self._wake.set()

    def switch(self, serving: Serving) -> None:
        """Serve a changed definition from the next start on; what runs ends under the old one."""
        if serving.definition.digest != self.serving.definition.digest:
            self._log.info("definition.switched", digest=serving.definition.digest)
        self._working_off.begin(serving.retired)
        self._hands.serving = serving
        self._wake.set()

    def rest(self, is_resting: bool) -> None:
        """Start nothing more until told otherwise: what runs ends, the other tasks wait in the topic."""
        if is_resting != self._hands.is_resting:
            self._log.info("agent.paused" if is_resting else "agent.resumed")
        self._hands.is_resting = is_resting
        self._wake.set()

    @property
    def is_resting(self) -> bool:
        """Whether an event made it rest."""
        return self._hands.is_resting

    async def run(self) -> None:
        """Work until `stop`.

        Delivery: records exactly once; handlers at least once; equal ids for equal tasks.

        Raises:
            FencedError: another process has this instance's id now, or the broker gave up a transaction while it
                could not be reached; end without writing, and let the supervisor decide.
            BrokerError: the broker could not be reached at the start.
        """
        await self._ledger.open()
        await self._intake.open()
        try:
            while not self._is_drained():
                await self._take_polled()
                await self._take_committed()
                await self._end_if_empty()
                if not self._is_stopping:
                    self._hands.start_what_may()
                self._poll_if_useful()
                self._commit_if_needed()
                await self._sleep()
        finally:
            await self._close()

    async def _end_if_empty(self) -> None:
        is_idle = not (self._poll or self._polled or self._commit or self._hands.are_busy)
        if not self._working_off.is_to_be_asked or not is_idle or self._work.held:
            return
        if self._membership is None or not await self._working_off.has_just_ended(self._assignment):
            return
        if self._ends_when_empty:
            self.stop()

    def _is_drained(self) -> bool:
        is_busy = (
            self._hands.are_busy
            or self._commit
            or (self._work.is_commit_needed and self._membership)
        )
        return self._is_stopping and not is_busy

    # polling

    def _poll_if_useful(self) -> None:
        if self._poll or self._polled or self._alarms.is_set("poll"):
            return
        room = 0 if self._is_stopping else self._room()
        if room == 0 and self._alarms.is_set("keep alive") and not self._is_membership_doubted:
            return
        timeout_seconds = POLL_SECONDS if room or self._is_membership_doubted else 0.0
        self._alarms.set("keep alive", self._clock.now_ms() + KEEP_ALIVE_MS)
        self._poll = self._intake.poll(
            timeout_seconds=timeout_seconds, max_records=min(room, self._max_poll_records)
        )
        self._poll.add_done_callback(self._woken)

    def _room(self) -> int:
        # Twice the hands, so that priorities have something to choose from; and a poll's worth for fast handlers.
        return max(0, self._hold_limit() - self._work.held)

    def _hold_limit(self) -> int:
        # Enough to choose from by priority, and enough to stay busy while a transaction is under way.
        return max(2 * self.serving.definition.max_concurrent, 5 * self._max_poll_records)

    async def _take_polled(self) -> None:
        if self._poll is not None and self._poll.done():
            poll, self._poll = self._poll, None
            try:
                self._polled = poll.result()
            except BrokerError as error:
                self._log.warning("poll.failed", detail=str(error))
                self._hold("poll", RETRY_BROKER_MS)
        if self._polled is None:
            return
        polled = self._polled
        if polled.membership.generation < 0:
            self._polled = None  # between two assignments; nothing was read
            return
        if not self._is_same_membership(polled):
            # The standing is only true with no commit of ours on its way; the records wait that long.
            if self._commit is not None and not self._commit.done():
                return
            await self._take_committed()
            if not await self._take_over(polled):
                return
        self._polled = None
        self._work.receive(polled.records, self._clock.now_ms())

    def _is_same_membership(self, polled: Polled) -> bool:
        known = self._membership
        return (
            known is not None
            and known.generation == polled.membership.generation
            and self._assignment == polled.assignment
        )

    async def _take_over(self, polled: Polled) -> bool:
        try:
            standing = await self._intake.standing(polled.assignment)
        except BrokerError as error:
            self._log.warning("standing.failed", detail=str(error))
            self._hold("poll", RETRY_BROKER_MS)
            return False
        change = self._work.take_over(polled.assignment, standing)
        self._hands.cancel(lambda partition: partition in change.lost)
        if change.behind:
            await self._intake.seek(change.behind)
        self._membership = polled.membership
        self._assignment = polled.assignment
        self._is_membership_doubted = False
        self._alarms.set("commit", None)
        self._log.info(
            "partitions.assigned",
            partitions=sorted(p.number for p in polled.assignment),
            lost=sorted(p.number for p in change.lost),
            generation=polled.membership.generation,
        )
        return True

    # committing

    def _commit_if_needed(self) -> None:
        is_held = self._alarms.is_set("commit")
        if self._commit or is_held or self._membership is None or not self._work.is_commit_needed:
            return
        self._batch = self._work.next_batch(0 if self._is_stopping else self._hold_limit())
        entry = Entry(self._batch.records, self._batch.offsets, self._membership)
        self._commit = self._ledger.commit(entry)
        self._commit.add_done_callback(self._woken)

    async def _take_committed(self) -> None:
        if self._commit is None or self._batch is None or not self._commit.done():
            return
        commit, batch = self._commit, self._batch
        self._commit = self._batch = None
        try:
            commit.result()
        except RebalancedError as error:
            self._refused_commits += 1
            self.written.failures["rebalanced"] += 1
            if self._refused_commits > MAX_REFUSED_COMMITS:
                msg = f"{self._refused_commits} commits in a row were refused; the membership is lost: {error}"
                raise BrokerError(msg) from error
            # The next poll brings the new membership; until then there is nobody to commit as.
            self._log.info("commit.rebalanced", detail=str(error))
            self._is_membership_doubted = True
            self._hold("commit", RETRY_BROKER_MS)
            return
        except BrokerError as error:
            self._log.warning("commit.unknown", detail=str(error))
            self.written.failures["broker"] += 1
            if not await self._was_committed(batch):
                return
        self._is_membership_doubted = False
        self._refused_commits = 0
        self._work.committed(batch)
        self.written.add(batch)
        for start in batch.starts:
            if not self._is_stopping:
                self._hands.run(start)

    async def _was_committed(self, batch: Batch) -> bool:
        """Find out, after a new producer has ended the old one's transaction, which way it ended."""
        while True:
            try:
                await self._ledger.open()
                standing = await self._intake.standing(frozenset(batch.offsets))
            except BrokerError as error:
                self._log.warning("broker.unreachable", detail=str(error))
                await self._pause(RETRY_BROKER_MS)
                continue
            return all(standing.committed.get(p) == offset for p, offset in batch.offsets.items())

    # waiting

    def _woken(self, _: asyncio.Future[Polled] | asyncio.Future[None]) -> None:
        self._wake.set()

    def _hold(self, what: str, milliseconds: int) -> None:
        self._alarms.set(what, self._clock.now_ms() + milliseconds)

    async def _pause(self, milliseconds: int) -> None:
        passed = asyncio.Event()
        self._clock.call_at(self._clock.now_ms() + milliseconds, passed.set)
        await passed.wait()

    async def _sleep(self) -> None:
        self._hands.raise_failure()
        if self._is_drained():
            return
        self._alarms.set("retry", self._next_retry_ms())
        await self._wake.wait()
        self._wake.clear()

    def _next_retry_ms(self) -> int | None:
        due_ms = self._work.next_due_ms
        # One that is due already waits for a free hand, and a hand that gets free wakes the loop anyway.
        is_future = due_ms is not None and due_ms > self._clock.now_ms()
        return due_ms if is_future and not self._is_stopping else None

    async def _close(self) -> None:
        self._alarms.clear()
        self._working_off.stop()
        self._hands.cancel()
        if self._poll is not None:
            await asyncio.wait([self._poll])
        # What counts is committed; a broker that is gone must not change how this ended.
        with suppress(SignalboxError):
            await self._intake.close()
        with suppress(SignalboxError):
            await self._ledger.close()
        self._log.info("agent.stopped", handled=self.counters.handled, failed=self.counters.failed)
