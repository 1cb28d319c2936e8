"""Model calls in their thread: submit, collect per shard, cancel, close."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from flink_jobs.operators.call_runner import Finished
from flink_jobs.operators.model_calls import MIN_INTERVAL_MS, ModelCalls
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.routing.commands import AskModel


class EchoModel:
    """Answers with the question as soon as `gate` is open."""

    name = "echo"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.is_closed = threading.Event()

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        while not self.gate.is_set():
            await asyncio.sleep(0.001)
        return ChatAnswer(text=request.user, model=self.name)

    async def close(self) -> None:
        self.is_closed.set()


@pytest.fixture
def model() -> EchoModel:
    """The model; its gate is closed."""
    return EchoModel()


@pytest.fixture
def calls(model: EchoModel) -> Iterator[ModelCalls]:
    """Calls with four slots and room for two waiting ones."""
    running = ModelCalls(lambda: model, slots=4, max_waiting=2)
    running.start()
    yield running
    running.close()


def ask(text: str, sequence: int = 0) -> AskModel:
    """A question."""
    request = ChatRequest(system="s", user=text, schema={}, schema_name="n")
    return AskModel(sequence, request, 5, 0, 30.0)


def collected(calls: ModelCalls, shard: int, count: int) -> list[Finished]:
    """Wait until `count` results of `shard` are there."""
    found: list[Finished] = []
    while len(found) < count:
        found += calls.collect(shard)
    return found


def texts(found: list[Finished]) -> set[str]:
    """What the answers say."""
    return {done.result.text for done in found if isinstance(done.result, ChatAnswer)}


def test_calls_results_come_back_to_their_own_shard(calls: ModelCalls, model: EchoModel) -> None:
    """A shard collects its own results with their context, and is busy until it did."""
    for number in range(4):
        calls.submit(number % 2, f"c-{number}", ask(str(number)), context=f"m-{number}")
    assert calls.is_busy(0)
    model.gate.set()
    found = collected(calls, 0, 2)

    assert texts(found) == {"0", "2"}
    assert {done.call.context for done in found} == {"m-0", "m-2"}
    assert not calls.is_busy(0)
    assert calls.is_busy(1)
    assert texts(collected(calls, 1, 2)) == {"1", "3"}


def test_calls_cancelled_call_is_never_collected(calls: ModelCalls, model: EchoModel) -> None:
    """A cancelled call leaves its shard idle and no result."""
    calls.submit(0, "c-1", ask("one"), context=None)
    calls.submit(0, "c-2", ask("two"), context=None)
    calls.cancel(0, "c-1", 0)
    model.gate.set()

    assert texts(collected(calls, 0, 1)) == {"two"}
    assert not calls.is_busy(0)


def test_calls_cancelled_after_it_finished_is_not_collected(
    calls: ModelCalls, model: EchoModel
) -> None:
    """A result that nobody collected yet disappears with its cancelled call."""
    model.gate.set()
    calls.submit(0, "c-1", ask("one"), context=None)
    while not calls.runner.started or calls.runner.in_flight:
        pass
    calls.cancel(0, "c-1", 0)

    assert list(calls.collect(0)) == []
    assert not calls.is_busy(0)


def test_calls_same_question_again_replaces_the_first(calls: ModelCalls, model: EchoModel) -> None:
    """A retry under the same key counts once."""
    calls.submit(0, "c-1", ask("first"), context=None)
    calls.submit(0, "c-1", ask("second"), context=None)
    model.gate.set()

    assert texts(collected(calls, 0, 1)) == {"second"}
    assert not calls.is_busy(0)


def test_calls_more_waiting_than_allowed_is_full(calls: ModelCalls) -> None:
    """Four run and two may wait; with a seventh the operator is told to hold back its input."""
    for number in range(6):
        calls.submit(0, f"c-{number}", ask(str(number)), context=None)
    while calls.runner.in_flight < 4:
        pass
    assert not calls.is_full

    calls.submit(0, "c-6", ask("6"), context=None)
    assert calls.is_full


def test_calls_interval_grows_with_the_busy_shards(calls: ModelCalls) -> None:
    """One busy shard looks every 5 ms; 64 of them every 16 ms, so that timers stay cheap."""
    calls.submit(0, "c-0", ask("0"), context=None)
    assert calls.interval_ms == MIN_INTERVAL_MS

    for shard in range(1, 64):
        calls.submit(shard, f"c-{shard}", ask(str(shard)), context=None)
    assert calls.interval_ms == 16


def test_calls_close_ends_calls_model_and_thread(calls: ModelCalls, model: EchoModel) -> None:
    """Closing leaves nothing running, whatever was in flight."""
    calls.submit(0, "c-1", ask("one"), context=None)
    calls.close()

    assert model.is_closed.is_set()
    assert "model-calls" not in [thread.name for thread in threading.enumerate()]


def test_calls_model_that_cannot_be_built_says_so_at_the_start() -> None:
    """A wrong model setting surfaces in `start`, with its own message."""

    def broken() -> EchoModel:
        msg = "SIGNALBOX_MODEL__NAME is not set"
        raise ValueError(msg)

    calls = ModelCalls(broken, slots=1, max_waiting=1)
    with pytest.raises(ValueError, match="SIGNALBOX_MODEL__NAME"):
        calls.start()
    calls.close()
