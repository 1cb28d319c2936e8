"""The runner on the in-memory broker with a clock that stands still: what it writes, when, and what it never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from agents.result import Escalate, HandlerResult, Reply, Retry, Terminal
from agents.serving import Serving
from agents.task import Context, Task
from connectors.broker import BrokerError, FencedError
from connectors.memory import MemoryTransactionalProducer
from connectors.topic_reader import read_topic
from signalbox.contracts.ids import reply_id
from signalbox.errors import RetryableError, TerminalError
from tests.support.agent_lab import TOPICS, AgentLab, numbers, until
from tests.support.fleets import agent

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The runner is asyncio's."""
    return "asyncio"


async def echo(task: Task, context: Context) -> HandlerResult:
    """Answer with the task's data."""
    return Reply(task.data, tokens_used=7)


class Gate:
    """A handler that counts who is inside and lets them out when told."""

    def __init__(self, *, ignores_cancelling: bool = False) -> None:
        self._ignores_cancelling = ignores_cancelling
        self.inside: list[int] = []
        self.most = 0
        self.cancelled: list[int] = []
        self.open = asyncio.Event()

    async def __call__(self, task: Task, context: Context) -> HandlerResult:
        """Wait for the gate."""
        number = task.data["lead"]["number"]
        self.inside.append(number)
        self.most = max(self.most, len(self.inside))
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            if not self._ignores_cancelling:
                raise
        finally:
            self.inside.remove(number)
        return Reply(task.data)


class Scripted:
    """A handler whose n-th attempt at a task gives the n-th result; the last one again after that."""

    def __init__(self, *results: HandlerResult | Exception) -> None:
        self.results = results
        self.attempts: list[int] = []

    async def __call__(self, task: Task, context: Context) -> HandlerResult:
        """Give the result of this attempt."""
        self.attempts.append(task.attempt)
        result = self.results[min(task.attempt, len(self.results)) - 1]
        if isinstance(result, Exception):
            raise result
        return result


async def test_runner_reply_carries_what_the_task_said() -> None:
    """A reply has the definition's type, the task's conversation, trace and priority, and an id derived from the task."""
    lab = AgentLab()
    task = lab.task(
        1,
        correlationid="order-9",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        priority=2,
        hop=3,
    )

    async with lab.running(echo):
        await until(lambda: len(lab.messages()) == 1)

    (message,) = lab.messages()
    assert message.id == reply_id(task.id, 0)
    assert (message.type, message.source) == ("worker.done", "agent/worker")
    assert (message.subject, message.causationid) == (task.subject, task.id)
    assert (message.correlationid, message.traceparent) == ("order-9", task.traceparent)
    assert (message.priority, message.tokensused, message.replystatus) == (2, 7, "success")
    assert message.data == task.data
    assert message.hop is None


async def test_runner_all_hands_full_takes_no_more_and_loses_nothing() -> None:
    """Never more than max_concurrent handlers run; the others wait and are handled, not skipped."""
    lab = AgentLab(max_concurrent=3)
    for number in range(20):
        lab.task(number)
    gate = Gate()

    async with lab.running(gate):
        await until(lambda: len(gate.inside) == 3)
        gate.open.set()
        await until(lambda: len(lab.messages()) == 20)

    assert gate.most == 3
    assert sorted(numbers(lab.messages())) == list(range(20))


async def test_runner_one_conversation_is_handled_in_order() -> None:
    """Tasks of one conversation never overlap and keep their order; another conversation runs beside them."""
    lab = AgentLab()
    for number in range(3):
        lab.task(number, key="lead-a")
    lab.task(3, key="lead-b")
    gate = Gate()

    async with lab.running(gate):
        await until(lambda: len(gate.inside) == 2)
        inside = sorted(gate.inside)
        gate.open.set()
        await until(lambda: len(lab.messages()) == 4)

    assert inside == [0, 3]
    assert [n for n in numbers(lab.messages()) if n < 3] == [0, 1, 2]


async def test_runner_urgent_task_overtakes_those_that_wait() -> None:
    """Among the tasks it holds, priority 1 starts before priority 5."""
    lab = AgentLab(max_concurrent=1)
    for number in range(5):
        lab.task(number)
    lab.task(9, priority=1)
    gate = Gate()

    async with lab.running(gate):
        await until(lambda: bool(gate.inside))
        gate.open.set()
        await until(lambda: len(lab.messages()) == 6)

    assert numbers(lab.messages()).index(9) <= 1


async def test_runner_retry_waits_on_the_clock_and_blocks_nobody() -> None:
    """A failed attempt is made again after one second, on the clock; other conversations go on meanwhile."""
    lab = AgentLab()
    flaky = Scripted(Retry(None, "busy"), Reply({"lead": {"number": 0}}))

    async def handle(task: Task, context: Context) -> HandlerResult:
        return await flaky(task, context) if task.id == "task-0" else Reply(task.data)

    lab.task(0)
    lab.task(1)
    async with lab.running(handle):
        await until(lambda: numbers(lab.messages()) == [1])
        attempts_before = list(flaky.attempts)
        lab.clock.advance(1000)
        await until(lambda: len(lab.messages()) == 2)

    assert attempts_before == [1]
    assert flaky.attempts == [1, 2]


@pytest.mark.parametrize(
    "result",
    [
        Retry(None, "busy"),
        RetryableError("busy", retry_after_seconds=1),
        ValueError("busy"),
    ],
    ids=["retry", "retryable error", "any exception"],
)
async def test_runner_attempts_exhausted_ends_in_dead_letter_and_message(
    result: HandlerResult | Exception,
) -> None:
    """After max_attempts the task is a dead letter, and its conversation is told by task.failed."""
    lab = AgentLab(max_attempts=3)
    lab.task(0)
    handler = Scripted(result)

    async with lab.running(handler):
        for attempts in (1, 2):
            await until(partial(has_attempts, handler, attempts))
            lab.clock.advance(60_000)
        await until(lambda: len(lab.dead_letters()) == 1)

    (letter,) = lab.dead_letters()
    (message,) = lab.messages()
    assert handler.attempts == [1, 2, 3]
    assert (letter.reason, letter.attempts, letter.message_id) == ("handler_failed", 3, "task-0")
    assert (letter.topic, letter.offset, letter.key) == ("agent_tasks_worker", 0, "lead-0")
    assert (message.type, message.data["reason"]) == ("task.failed", "handler_failed")
    assert "busy" in message.data["detail"]


async def test_runner_output_that_breaks_the_contract_is_tried_again_then_refused() -> None:
    """An answer outside the output contract never leaves: one more attempt, then a dead letter with the violation."""
    lab = AgentLab(max_attempts=2)
    lab.definition = agent(
        "worker",
        ["lead"],
        limits={"max_attempts": 2},
        output={
            "type": "lead.scored",
            "description": "A score.",
            "schema": {"type": "object", "required": ["score"]},
        },
    )
    lab.task(0)
    handler = Scripted(Reply({"note": "no score"}))

    async with lab.running(handler):
        await until(lambda: len(handler.attempts) == 1)
        lab.clock.advance(1000)
        await until(lambda: bool(lab.dead_letters()))

    (letter,) = lab.dead_letters()
    assert handler.attempts == [1, 2]
    assert letter.reason == "output_contract_violated"
    assert "score: required" in letter.detail


@pytest.mark.parametrize(
    "data",
    [{"big": "x" * 300_000}, {"odd": {1, 2}}, {"bad": "\ud800"}, {1: "key"}],
    ids=["too large", "not JSON", "lone surrogate", "key not text"],
)
async def test_runner_answer_that_cannot_travel_is_refused(data: Any) -> None:
    """What is no JSON or too large for admission is a dead letter, not an endless loop."""
    lab = AgentLab(max_attempts=1)
    lab.task(0)

    async with lab.running(Scripted(Reply(data))):
        await until(lambda: len(lab.dead_letters()) == 1)

    assert lab.dead_letters()[0].reason == "output_contract_violated"


async def test_runner_task_outside_the_input_contract_is_not_handled() -> None:
    """Data the definition does not accept never reaches the handler."""
    lab = AgentLab()
    lab.task(0, data={"order": 1})
    handler = Scripted(Reply({}))

    async with lab.running(handler):
        await until(lambda: len(lab.dead_letters()) == 1)

    assert handler.attempts == []
    assert "lead: required" in lab.dead_letters()[0].detail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{not json", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (None, "malformed_json"),
        (b"[" * 10_000, "malformed_json"),
        (b"[1]", "invalid_envelope"),
        (b'{"id": "x"}', "invalid_envelope"),
    ],
)
async def test_runner_record_that_is_no_task_is_a_dead_letter_and_the_partition_goes_on(
    value: bytes | None, reason: str
) -> None:
    """A record nobody can read is kept with its reason; the next one is handled."""
    lab = AgentLab()
    lab.raw(value)
    lab.task(1)

    async with lab.running(echo):
        await until(lambda: len(lab.dead_letters()) + len(lab.messages()) == 2)

    assert lab.dead_letters()[0].reason == reason
    assert numbers(lab.messages()) == [1]


@pytest.mark.parametrize(
    "result",
    [Terminal("model_failed", "401"), TerminalError("401", reason="model_failed")],
    ids=["result", "error"],
)
async def test_runner_terminal_result_is_not_tried_again(result: HandlerResult | Exception) -> None:
    """Terminal means one attempt and a dead letter with the given reason."""
    lab = AgentLab()
    lab.task(0)
    handler = Scripted(result)

    async with lab.running(handler):
        await until(lambda: len(lab.dead_letters()) == 1)

    assert handler.attempts == [1]
    assert lab.dead_letters()[0].reason == "model_failed"


async def test_runner_escalation_asks_for_a_person() -> None:
    """Escalate becomes task.escalated with the reason, and no dead letter."""
    lab = AgentLab()
    lab.task(0)

    async with lab.running(Scripted(Escalate("the amount is unusual"))):
        await until(lambda: len(lab.messages()) == 1)

    (message,) = lab.messages()
    assert (message.type, message.data) == ("task.escalated", {"reason": "the amount is unusual"})
    assert lab.dead_letters() == []


async def test_runner_handler_over_its_time_is_cancelled_and_counted() -> None:
    """A handler that hangs is one failed attempt, and it is told by cancellation."""
    lab = AgentLab(max_attempts=1, timeout_seconds=0.01)
    lab.task(0)
    cancelled = []

    async def hang(task: Task, context: Context) -> HandlerResult:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(task.id)
            raise
        return Reply({})

    async with lab.running(hang):
        await until(lambda: len(lab.dead_letters()) == 1)

    assert cancelled == ["task-0"]
    assert "no answer within 0.01 s" in lab.dead_letters()[0].detail


async def test_runner_drain_finishes_what_runs_and_leaves_the_rest() -> None:
    """After stop the running handler's result is committed; what had not started is the next process's."""
    lab = AgentLab(max_concurrent=1)
    for number in range(3):
        lab.task(number)
    gate = Gate()
    runner = lab.runner(gate)
    work = asyncio.create_task(runner.run())
    await until(lambda: gate.inside == [0])
    runner.stop()
    gate.open.set()
    await asyncio.wait_for(work, 20)
    drained = numbers(lab.messages())

    async with lab.running(echo):
        await until(lambda: len(lab.messages()) == 3)

    assert drained == [0]
    assert numbers(lab.messages()) == [0, 1, 2]


async def test_runner_crash_hands_finished_work_on_as_finished() -> None:
    """What was committed beyond an unfinished record is not handled again after a crash; the unfinished one is."""
    lab = AgentLab()
    for number in range(4):
        lab.task(number)
    gate = Gate()

    async def first_hangs(task: Task, context: Context) -> HandlerResult:
        return await gate(task, context) if task.id == "task-0" else Reply(task.data)

    await crash_when(lab, first_hangs, lambda: len(lab.messages()) == 3)
    committed = lab.committed()
    handler = Scripted(Reply({"lead": {"number": 0}}))
    async with lab.running(handler):
        await until(lambda: len(lab.messages()) == 4)

    assert committed is not None
    assert committed.offset == 0
    assert handler.attempts == [2]


async def test_runner_record_that_ends_the_process_is_given_up_and_its_neighbours_are_not() -> None:
    """A handler that takes the process down is counted; after max_attempts the record is a dead letter, alone.

    Here whatever runs beside another one hangs: all eight are running when the process ends the first time.
    """
    lab = AgentLab(max_attempts=3)
    for number in range(8):
        lab.task(number)
    killing: list[int] = []

    while len(killing) < 3:
        running: list[str] = []

        async def deadly(
            task: Task, context: Context, beside: list[str] = running
        ) -> HandlerResult:
            beside.append(task.id)
            await asyncio.sleep(0)
            if task.id == "task-5":
                killing.append(task.attempt)
                await asyncio.Event().wait()
            if len(beside) > 1:
                await asyncio.Event().wait()
            beside.remove(task.id)
            return Reply(task.data)

        await crash_when(lab, deadly, partial(is_longer, killing, len(killing)))
    async with lab.running(echo):
        await until(lambda: len(lab.messages()) == 8)

    (letter,) = lab.dead_letters()
    assert (letter.message_id, letter.attempts) == ("task-5", 3)
    assert killing == [1, 2, 3]
    assert sorted(m.id for m in lab.messages()) == sorted(
        reply_id(f"task-{n}", 0) for n in range(8)
    )


async def test_runner_second_process_of_one_instance_fences_the_first() -> None:
    """The old process ends with FencedError and writes nothing more; the new one does the work once."""
    lab = AgentLab()
    gate = Gate()
    old = asyncio.create_task(lab.runner(gate).run())
    lab.task(0)
    await until(lambda: gate.inside == [0])

    async with lab.running(echo):
        await until(lambda: len(lab.messages()) == 1)
        gate.open.set()
        with pytest.raises(FencedError):
            await asyncio.wait_for(old, 20)

    assert len(lab.messages()) == 1


async def test_runner_two_instances_share_the_partitions_and_do_everything_once() -> None:
    """An instance that joins takes partitions over; every task ends under one id, and none is missing."""
    lab = AgentLab(partitions=4)
    for number in range(40):
        lab.task(number)

    async with lab.running(echo, instance="a"):
        await until(lambda: len(lab.messages()) > 10)
        async with lab.running(echo, instance="b"):
            for number in range(40, 80):
                lab.task(number)
            await until(lambda: len({m.id for m in lab.messages()}) == 80)

    assert set(numbers(lab.messages())) == set(range(80))


@pytest.mark.parametrize("is_stubborn", [False, True], ids=["obedient", "stubborn"])
async def test_runner_lost_partition_takes_its_running_work_along(is_stubborn: bool) -> None:
    """What runs on a partition that another instance takes is not answered twice, even if its handler ignores cancelling."""
    lab = AgentLab(partitions=2)
    number = 0
    while {r.partition for r in read_topic(lab.broker, TOPICS.tasks)} != {0, 1}:
        lab.task(number)
        number += 1
    gate, other = Gate(ignores_cancelling=is_stubborn), Gate()

    async with lab.running(gate, instance="a"):
        await until(lambda: len(gate.inside) == number)
        async with lab.running(other, instance="b"):
            await until(lambda: bool(other.inside))
            gate.open.set()
            await until(lambda: len(lab.messages()) == number - len(other.inside))
            other.open.set()
            await until(lambda: len(lab.messages()) >= number)

    assert sorted(numbers(lab.messages())) == list(range(number))
    assert gate.cancelled != []


async def test_runner_switched_definition_counts_from_the_next_start() -> None:
    """A changed definition is served without a restart."""
    lab = AgentLab()
    changed = agent("worker", ["lead"], answers="worker.improved")

    async with lab.running(echo) as runner:
        lab.task(0)
        await until(lambda: len(lab.messages()) == 1)
        runner.switch(Serving.of(changed, echo))
        lab.task(1)
        await until(lambda: len(lab.messages()) == 2)

    assert [m.type for m in lab.messages()] == ["worker.done", "worker.improved"]


@pytest.mark.parametrize("is_done", [True, False], ids=["after it took effect", "before"])
async def test_runner_commit_of_unknown_end_is_found_out(
    is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that failed without an answer is checked against the group's offsets: nothing is lost or doubled."""
    lab = AgentLab()
    commit = MemoryTransactionalProducer.commit
    failures = iter([True])

    def flaky(producer: MemoryTransactionalProducer) -> None:
        has_records = bool(producer._current().touched)
        if has_records and next(failures, False):
            if is_done:
                commit(producer)
            msg = "the broker went away"
            raise BrokerError(msg)
        commit(producer)

    monkeypatch.setattr(MemoryTransactionalProducer, "commit", flaky)
    for number in range(5):
        lab.task(number)

    async with lab.running(echo):
        await until(lambda: len(lab.messages()) == 5)

    assert sorted(numbers(lab.messages())) == list(range(5))


def has_attempts(handler: Scripted, count: int) -> bool:
    """Say whether the handler was called that often."""
    return len(handler.attempts) == count


def is_longer(grown: list[int], than: int) -> bool:
    """Say whether the list has grown."""
    return len(grown) > than


async def crash_when(
    lab: AgentLab, handler: Callable[..., Any], condition: Callable[[], bool]
) -> None:
    """Run until `condition`, then end without draining or committing."""
    work = asyncio.create_task(lab.runner(handler).run())
    await until(condition)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


class TestAcknowledged:
    async def test_runner_acknowledges_a_task_when_it_takes_it_up_while_the_handler_runs(
        self,
    ) -> None:
        """Where the definition asks for it: a `task.status` with the task's identity, in a transaction of its own, not waited for."""
        lab, gate = AgentLab(acknowledge_seconds=5), Gate()
        async with lab.running(gate):
            task = lab.task(1)
            await until(lambda: len(lab.messages()) == 1)
            (said,) = lab.messages()
            assert (said.type, said.data) == ("task.status", {"state": "assigned", "attempt": 1})
            assert (said.causationid, said.subject) == (task.id, task.subject)
            assert gate.inside == [1]
            gate.open.set()
            await until(lambda: len(lab.messages()) == 2)

        assert [one.type for one in lab.messages()] == ["task.status", "worker.done"]
        assert len({one.id for one in lab.messages()}) == 2

    async def test_runner_whose_definition_does_not_ask_acknowledges_nothing(self) -> None:
        """Not a record more than before."""
        lab = AgentLab()
        async with lab.running(echo):
            lab.task(1)
            await until(lambda: len(lab.messages()) == 1)

        assert [one.type for one in lab.messages()] == ["worker.done"]

    async def test_runner_tells_of_a_beginning_before_the_end_and_again_at_each_attempt(
        self,
    ) -> None:
        """A handler faster than the transaction is told of in order; a second attempt has an acknowledgement of its own."""

        async def second_time(task: Task, context: Context) -> HandlerResult:
            return Retry(0.0) if task.attempt == 1 else Reply(task.data)

        lab = AgentLab(acknowledge_seconds=5)
        async with lab.running(second_time):
            lab.task(1)
            await until(lambda: len(lab.messages()) == 3)

        assert [one.type for one in lab.messages()] == ["task.status", "task.status", "worker.done"]
        assert [one.data.get("attempt") for one in lab.messages()[:2]] == [1, 2]

    async def test_runner_a_task_that_waits_for_a_hand_is_not_acknowledged(self) -> None:
        """Taken from the topic is not taken up: what only waits can be given to somebody else."""
        lab, gate = AgentLab(acknowledge_seconds=5, max_concurrent=1), Gate()
        async with lab.running(gate):
            lab.task(1)
            lab.task(2)
            await until(lambda: len(lab.messages()) == 1)
            assert [one.subject for one in lab.messages()] == ["lead-1"]
            gate.open.set()
            await until(lambda: len(lab.messages()) == 4)

        assert [one.subject for one in lab.messages()] == ["lead-1", "lead-1", "lead-2", "lead-2"]

    async def test_runner_a_failure_says_reason_detail_and_attempts(self) -> None:
        """Who asked learns by `task.failed` what its request came to: which task, why, after how many attempts."""

        async def broken(task: Task, context: Context) -> HandlerResult:
            return Terminal("handler_failed", "no such account")

        lab = AgentLab()
        async with lab.running(broken):
            task = lab.task(1, correlationid="m-1")
            await until(lambda: len(lab.messages()) == 1)

        (failed,) = lab.messages()
        assert (failed.type, failed.causationid, failed.correlationid) == (
            "task.failed",
            task.id,
            "m-1",
        )
        assert failed.data == {
            "reason": "handler_failed",
            "detail": "no such account",
            "attempts": 1,
            "permanent": True,
        }

    @pytest.mark.parametrize(
        ("result", "is_permanent"),
        [
            (Terminal("handler_failed", "no such account"), True),
            (Terminal("output_contract_violated", "misfit", is_permanent=False), False),
            (Retry(detail="busy"), False),
        ],
    )
    async def test_runner_a_failure_says_whether_trying_again_can_help(
        self, result: HandlerResult, is_permanent: bool
    ) -> None:
        """What a handler calls permanent is told so; used-up attempts are not, the next task may find better times."""

        async def broken(task: Task, context: Context) -> HandlerResult:
            return result

        lab = AgentLab(max_attempts=1)
        async with lab.running(broken):
            lab.task(1)
            await until(lambda: len(lab.messages()) == 1)

        assert lab.messages()[0].data["permanent"] is is_permanent
