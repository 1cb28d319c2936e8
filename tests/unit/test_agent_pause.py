"""An agent that events pause: its process reads `agent_control`, starts nothing meanwhile, and loses nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from agents.control_watch import ControlWatch
from agents.result import HandlerResult, Reply
from agents.task import Context, Task
from connectors.memory import MemoryBroker
from connectors.topic_reader import read_topic
from flink_jobs.operators.rows import Rows
from signalbox.contracts.control import Pause
from signalbox.routing.commands import SetPaused
from signalbox.topics import AGENT_CONTROL
from tests.support.agent_lab import AgentLab, numbers, until
from tests.support.fleets import agent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    """The runner is asyncio's."""
    return "asyncio"


async def echo(task: Task, context: Context) -> HandlerResult:
    return Reply(task.data)


def pause(is_paused: bool, *, minute: int = 0, name: str = "worker") -> Pause:
    return Pause(
        agent=name,
        paused=is_paused,
        message_id="m-1",
        conversation_id="news",
        type="market.halt",
        source="cli",
        at=NOON + timedelta(minutes=minute),
    )


class Control:
    """The control topic of a broker, and what the watch of `worker` told of it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topic(AGENT_CONTROL)
        self.told: list[bool] = []
        self.watch = ControlWatch("worker", self.broker, "", threading.Event(), self.told.append)
        self._read = 0

    def write(self, *pauses: Pause) -> None:
        producer = self.broker.producer()
        for one in pauses:
            row = Rows("").of(SetPaused(one))
            assert row is not None
            producer.send(row.topic, key=str(row.key).encode(), value=row.value)

    def read(self) -> list[bool]:
        records = list(read_topic(self.broker, AGENT_CONTROL))
        self.watch.take(tuple(records[self._read :]))
        self._read = len(records)
        return self.told


def test_watch_tells_at_the_start_that_nothing_pauses_the_agent():
    """Who may have to rest waits for this word, so it comes also of an empty topic."""
    assert Control().read() == [False]


def test_watch_tells_what_the_newest_record_of_its_agent_says():
    """A pause and its end; records of other agents are not its own."""
    control = Control()
    control.write(pause(True), pause(False, minute=1, name="other"))
    assert control.read() == [True]

    control.write(pause(False, minute=2))

    assert control.read() == [True, False]


def test_watch_that_starts_after_the_end_of_a_pause_never_hears_of_it():
    """What is on the topic at the start is read whole."""
    control = Control()
    control.write(pause(True), pause(False, minute=1))

    assert control.read() == [False]


def test_watch_holds_to_the_later_event_whatever_was_written_last():
    """Two conversations decide side by side: the record of the later moment holds, in either order of writing."""
    control = Control()
    control.write(pause(False, minute=2), pause(True, minute=1))

    assert control.read() == [False]


def test_watch_ignores_what_is_no_record():
    """Something else under the agent's key changes nothing and ends nothing."""
    control = Control()
    control.write(pause(True))
    control.broker.producer().send(AGENT_CONTROL, key=b"worker", value=b"{")

    assert control.read() == [True]


@pytest.mark.anyio
async def test_resting_runner_starts_nothing_and_handles_everything_after_it():
    """Tasks that come during a pause wait in the topic, unread or held, and none is lost or dead-lettered."""
    lab = AgentLab(max_concurrent=5)
    async with lab.running(echo) as runner:
        lab.task(1)
        await until(lambda: numbers(lab.messages()) == [1])
        runner.rest(True)
        for number in range(2, 40):
            lab.task(number)
        lab.clock.advance(60_000)
        await until(lambda: runner.counters.active == 0)
        assert numbers(lab.messages()) == [1]

        runner.rest(False)

        await until(lambda: len(lab.messages()) == 39)
    assert sorted(numbers(lab.messages())) == list(range(1, 40))
    assert lab.dead_letters() == []


@pytest.mark.anyio
async def test_resting_runner_still_ends_when_it_is_told_to():
    """A pause does not keep a process from being stopped; what waits is there for the next one."""
    lab = AgentLab()
    async with lab.running(echo) as runner:
        runner.rest(True)
        lab.task(1)

    assert lab.messages() == []
    assert lab.committed() is None or lab.committed().offset == 0  # type: ignore[union-attr]


def test_subscription_s_max_concurrent_bounds_what_a_process_handles():
    """The stricter of the two limits counts."""
    more = {"role": "subscriber", "max_concurrent": 5}
    limits = {"max_concurrent": 10}

    assert agent("worker", ["x"], limits=limits, subscribe=more).max_concurrent == 5
    assert agent("worker", ["x"], limits={"max_concurrent": 2}, subscribe=more).max_concurrent == 2
    assert agent("worker", ["x"], limits=limits).max_concurrent == 10


def test_max_concurrent_of_a_candidate_s_subscription_is_refused():
    """Its tasks come by routing too, so only its limits can bound them."""
    with pytest.raises(ValueError, match=r"set limits\.max_concurrent"):
        agent("worker", ["x"], subscribe={"max_concurrent": 5})
