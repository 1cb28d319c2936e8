"""An agent that was removed, or changed, while it works: what the runner ends, leaves, answers, and when it is through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from agents.result import HandlerResult, Reply, Retry
from agents.runner import DRAIN_MS, Runner
from agents.serving import Serving
from agents.task import Context, Handler, Task
from agents.working_off import LAST_TASKS_MS
from connectors.memory import MemoryGroupConsumer
from signalbox.contracts.registry import BacklogPolicy
from tests.support.agent_lab import PATIENCE_SECONDS, AgentLab, numbers, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The runner is asyncio's."""
    return "asyncio"


class Door:
    """A handler that lets one task after the other through once it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.began: list[int] = []

    async def __call__(self, task: Task, context: Context) -> HandlerResult:
        """Note the task and wait."""
        self.began.append(task.data["lead"]["number"])
        await self.open.wait()
        return Reply(task.data)


@asynccontextmanager
async def at_work(
    lab: AgentLab, handler: Handler, **options: bool
) -> AsyncIterator[tuple[Runner, asyncio.Task[None]]]:
    """A runner that ends by itself or not at all; the test says which."""
    runner = lab.runner(handler, **options)
    work = asyncio.create_task(runner.run())
    yield runner, work
    if not work.done():
        runner.stop()
    await asyncio.wait_for(work, PATIENCE_SECONDS)


def removed(runner: Runner, backlog: BacklogPolicy) -> Serving:
    """What is served, of an agent that is removed."""
    return replace(runner.serving, retired=backlog)


async def test_removed_drain_answers_all_that_waits_and_ends() -> None:
    """Tasks that came before the removal and shortly after it are answered once each, then `run` returns by itself."""
    lab = AgentLab(max_concurrent=1)
    for number in range(3):
        lab.task(number)
    door = Door()
    async with at_work(lab, door) as (runner, work):
        await until(lambda: door.began == [0])
        runner.switch(removed(runner, "drain"))
        door.open.set()
        await until(lambda: len(lab.messages()) == 3)
        lab.task(3)
        await until(lambda: len(lab.messages()) == 4)
        assert not work.done()

        lab.clock.advance(LAST_TASKS_MS)
        await asyncio.wait_for(work, PATIENCE_SECONDS)

    assert sorted(numbers(lab.messages())) == [0, 1, 2, 3]
    assert lab.dead_letters() == []


async def test_removed_drain_does_not_end_before_its_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that brings nothing although the topic holds a task is not its end."""
    lab = AgentLab()
    is_deaf = True
    poll = MemoryGroupConsumer.poll

    def deaf(consumer: MemoryGroupConsumer, *, timeout_seconds: float, max_records: int) -> object:
        if is_deaf and max_records:
            consumer.pause(consumer.assignment())
        found = poll(consumer, timeout_seconds=timeout_seconds, max_records=max_records)
        consumer.resume(consumer.assignment())
        return found

    monkeypatch.setattr(MemoryGroupConsumer, "poll", deaf)
    lab.task(0)
    async with at_work(lab, Door()) as (runner, work):
        runner.switch(removed(runner, "drain"))
        for _ in range(5):
            lab.clock.advance(LAST_TASKS_MS)
            await asyncio.sleep(0.15)
        assert not work.done()
        is_deaf = False
        await until(lambda: runner.counters.active == 1)
        runner.switch(removed(runner, "dead-letter"))
        runner.stop()
        lab.clock.advance(DRAIN_MS)


async def test_removed_dead_letter_ends_what_waits_and_answers_what_runs() -> None:
    """Each waiting task is a dead letter `agent_removed` with a `task.failed` for its conversation, at once; the one that
    runs is answered."""
    lab = AgentLab(max_concurrent=1)
    for number in range(4):
        lab.task(number)
    lab.task(4, key="lead-0")
    door = Door()
    async with at_work(lab, door) as (runner, work):
        await until(lambda: door.began == [0])
        runner.switch(removed(runner, "dead-letter"))

        await until(lambda: len(lab.dead_letters()) == 3)
        assert {letter.reason for letter in lab.dead_letters()} == {"agent_removed"}
        assert {m.causationid for m in lab.messages()} == {"task-1", "task-2", "task-3"}
        assert {m.type for m in lab.messages()} == {"task.failed"}
        assert {m.data["reason"] for m in lab.messages()} == {"agent_removed"}

        door.open.set()
        await until(lambda: len(lab.messages()) == 5)
        lab.clock.advance(LAST_TASKS_MS)
        await asyncio.wait_for(work, PATIENCE_SECONDS)

    answers = {m.causationid: m.type for m in lab.messages()}
    assert (answers["task-0"], answers["task-4"]) == ("worker.done", "task.failed")
    assert door.began == [0]


async def test_removed_dead_letter_does_not_wait_for_a_retry() -> None:
    """A task that waits for its next attempt is ended at once; its dead letter counts the attempts it had."""
    lab = AgentLab(max_attempts=5)
    lab.task(0)

    tried = []

    async def busy(task: Task, context: Context) -> HandlerResult:
        tried.append(task.attempt)
        return Retry(3600.0, "busy")

    async with at_work(lab, busy) as (runner, _):
        await until(lambda: tried == [1] and runner.counters.active == 0)
        runner.switch(removed(runner, "dead-letter"))
        await until(lambda: len(lab.dead_letters()) == 1)

    assert (lab.dead_letters()[0].reason, lab.dead_letters()[0].attempts) == ("agent_removed", 1)


async def test_removed_dead_letter_after_drain_ends_the_rest() -> None:
    """The policy may be changed while the agent drains."""
    lab = AgentLab(max_concurrent=1)
    for number in range(3):
        lab.task(number)
    door = Door()
    async with at_work(lab, door) as (runner, work):
        await until(lambda: door.began == [0])
        runner.switch(removed(runner, "drain"))
        runner.switch(removed(runner, "dead-letter"))
        await until(lambda: len(lab.dead_letters()) == 2)
        door.open.set()
        await until(lambda: len(lab.messages()) == 3)
        lab.clock.advance(LAST_TASKS_MS)
        await asyncio.wait_for(work, PATIENCE_SECONDS)


async def test_removed_agent_that_is_applied_again_goes_on() -> None:
    """Back before it was through: it does not end, and takes tasks as before."""
    lab = AgentLab()
    async with at_work(lab, Door()) as (runner, work):
        active = runner.serving
        runner.switch(removed(runner, "drain"))
        runner.switch(active)
        lab.clock.advance(10 * LAST_TASKS_MS)
        lab.task(0)
        await until(lambda: runner.counters.active == 1)
        assert not work.done()
        runner.stop()
        lab.clock.advance(DRAIN_MS)


async def test_removed_agent_that_is_to_stay_serves_late_tasks() -> None:
    """Where an ended process would only be started again it says that it is through, and still ends what comes late."""
    lab = AgentLab()
    door = Door()
    door.open.set()
    async with at_work(lab, door, ends_when_empty=False) as (runner, work):
        runner.switch(removed(runner, "drain"))
        for number in range(2):
            lab.clock.advance(10 * LAST_TASKS_MS)
            lab.task(number)
            await until(lambda done=number + 1: len(lab.messages()) == done)  # type: ignore[misc]
        assert not work.done()


async def test_removed_agent_started_again_ends_what_a_former_process_left() -> None:
    """A process that starts for a removed agent works off its topic under the same policy."""
    lab = AgentLab()
    for number in range(3):
        lab.task(number)
    runner = lab.runner(Door())
    runner.switch(removed(runner, "dead-letter"))

    work = asyncio.create_task(runner.run())
    await until(lambda: len(lab.dead_letters()) == 3)
    lab.clock.advance(LAST_TASKS_MS)
    await asyncio.wait_for(work, PATIENCE_SECONDS)


async def test_stop_without_patience_limit_lets_the_handler_finish() -> None:
    """For a new version nobody cancels the old one's work: it is done once, by the old process."""
    lab = AgentLab(max_concurrent=1)
    lab.task(0)
    lab.task(1)
    door = Door()
    async with at_work(lab, door) as (runner, work):
        await until(lambda: door.began == [0])
        runner.stop(patience_ms=None)
        lab.clock.advance(10 * DRAIN_MS)
        await asyncio.sleep(0.05)
        assert not work.done()
        door.open.set()
        await asyncio.wait_for(work, PATIENCE_SECONDS)

    assert (door.began, numbers(lab.messages())) == ([0], [0])
