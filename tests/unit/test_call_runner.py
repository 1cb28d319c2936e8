"""The runner of model calls on a real event loop, with a fake model and a clock set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from flink_jobs.operators.call_queue import Call, CallKey
from flink_jobs.operators.call_runner import STARTED_AT_ONCE, CallRunner, Finished
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import RetryableError, TerminalError
from signalbox.routing.breaker import FIRST_OPEN_MS, TRIP_AFTER
from signalbox.routing.commands import AskModel


class FakeModel:
    """A model whose calls end when the test says so."""

    name = "fake"

    def __init__(self) -> None:
        self.asked: dict[str, asyncio.Future[ChatAnswer]] = {}
        self.cancelled: list[str] = []
        self.is_closed = False

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        self.asked[request.user] = asyncio.get_running_loop().create_future()
        try:
            return await self.asked[request.user]
        except asyncio.CancelledError:
            self.cancelled.append(request.user)
            raise

    async def close(self) -> None:
        self.is_closed = True


class World:
    """A runner, its model, its clock, and what finished."""

    def __init__(self, slots: int = 2) -> None:
        self.now_ms = 0
        self.model = FakeModel()
        self.finished: list[Finished] = []
        self.runner = CallRunner(
            self.model, slots=slots, clock_ms=lambda: self.now_ms, finished=self.finished.append
        )

    def submit(self, name: str, *, not_before_ms: int = 0, timeout_seconds: float = 30.0) -> Call:
        request = ChatRequest(system="s", user=name, schema={}, schema_name="n")
        ask = AskModel(0, request, 5, not_before_ms, timeout_seconds)
        call = Call(CallKey(0, name, 0), ask, self.now_ms)
        self.runner.submit(call)
        return call

    async def end(self, name: str, result: ChatAnswer | Exception) -> None:
        """Let the call end and everything that follows from it happen."""
        if isinstance(result, Exception):
            self.model.asked[name].set_exception(result)
        else:
            self.model.asked[name].set_result(result)
        await settle()

    @property
    def results(self) -> list[object]:
        return [finished.result for finished in self.finished]


async def settle() -> None:
    """Let every callback that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(story: Callable[[World], Awaitable[None]], slots: int = 2) -> None:
    """Run `story` on a loop of its own."""

    async def told() -> None:
        world = World(slots)
        await story(world)
        await world.runner.close()
        assert world.model.is_closed

    asyncio.run(told())


ANSWER = ChatAnswer(text="{}", model="fake")


def test_runner_more_calls_than_slots_the_rest_starts_as_slots_free() -> None:
    """At most `slots` calls run; the next starts the moment one returns."""

    async def story(world: World) -> None:
        for name in "abc":
            world.submit(name)
        await settle()
        assert set(world.model.asked) == {"a", "b"}
        assert (world.runner.in_flight, world.runner.waiting) == (2, 1)

        await world.end("a", ANSWER)
        assert set(world.model.asked) == {"a", "b", "c"}
        assert world.results == [ANSWER]

    run(story)


def test_runner_call_beyond_its_timeout_is_cancelled_and_retryable() -> None:
    """A model that hangs is given up: the connection closes and the failure may be tried again."""

    async def story(world: World) -> None:
        world.submit("a", timeout_seconds=0.001)
        while not world.finished:
            await asyncio.sleep(0.001)

        assert isinstance(world.results[0], RetryableError)
        assert world.model.cancelled == ["a"]

    run(story)


def test_runner_errors_of_every_kind_come_back_as_results() -> None:
    """A model's error, and a bug in its client, end that call and nothing else."""

    async def story(world: World) -> None:
        terminal = TerminalError("401", reason="model_failed")
        for name in "abc":
            world.submit(name)
        await settle()
        await world.end("a", terminal)
        await world.end("b", ZeroDivisionError("bug"))
        await world.end("c", ANSWER)

        assert world.results[0] is terminal
        assert isinstance(world.results[1], RetryableError)
        assert "ZeroDivisionError: bug" in str(world.results[1])
        assert world.results[2] is ANSWER
        assert (world.runner.started, world.runner.failed) == (3, 2)

    run(story)


def test_runner_cancelled_call_frees_its_slot_and_reports_nothing() -> None:
    """Cancelling a running call closes it, a waiting one never starts, and neither is a result."""

    async def story(world: World) -> None:
        running, _, waiting = (world.submit(name) for name in "abc")
        last = world.submit("d")
        await settle()
        world.runner.cancel(waiting)
        world.runner.cancel(running)
        await settle()

        assert world.model.cancelled == ["a"]
        assert set(world.model.asked) == {"a", "b", "d"}
        assert world.finished == []
        assert world.runner.waiting == 0
        world.runner.cancel(last)

    run(story)


def test_runner_open_breaker_calls_wait_and_one_probes() -> None:
    """After enough failures nothing starts; when the time is up one call does, and its answer lets the others go."""

    async def story(world: World) -> None:
        for number in range(TRIP_AFTER):
            world.submit(str(number))
            await settle()
            await world.end(str(number), RetryableError("down"))
        for name in "abc":
            world.submit(name)
        await settle()
        assert world.runner.waiting == 3

        world.now_ms = FIRST_OPEN_MS
        world.runner.pump()
        await settle()
        assert set("abc") & set(world.model.asked) == {"a"}

        await world.end("a", ANSWER)
        assert set("abc") <= set(world.model.asked)

    run(story, slots=8)


def test_runner_call_with_a_later_time_starts_by_itself_when_it_is_due() -> None:
    """Nobody has to poke the runner for a retry to start: it wakes up itself."""

    async def story(world: World) -> None:
        world.submit("a", not_before_ms=2)
        await settle()
        assert world.model.asked == {}

        world.now_ms = 2
        while not world.model.asked:
            await asyncio.sleep(0.001)

    run(story)


def test_runner_probe_cancelled_another_call_probes() -> None:
    """A probe whose conversation ended does not leave the breaker half open for ever."""

    async def story(world: World) -> None:
        for number in range(TRIP_AFTER):
            world.submit(str(number))
            await settle()
            await world.end(str(number), RetryableError("down"))
        world.now_ms = FIRST_OPEN_MS
        probe = world.submit("a")
        world.submit("b")
        await settle()
        assert "b" not in world.model.asked

        world.runner.cancel(probe)
        await settle()
        assert "b" in world.model.asked

    run(story, slots=8)


def test_a_crowd_is_started_a_few_at_a_time() -> None:
    """What starts hundreds of calls at once keeps the loop from its sockets; so the loop gets its turn in between."""

    async def story(world: World) -> None:
        crowd = 160
        for number in range(crowd):
            world.submit(f"later{number}", not_before_ms=1000)
        world.now_ms = 1000
        world.runner.pump()
        seen = []
        while world.runner.in_flight < crowd:
            seen.append(world.runner.in_flight)
            await asyncio.sleep(0)
        assert seen == list(range(STARTED_AT_ONCE, crowd, STARTED_AT_ONCE))

    run(story, slots=1000)
