"""Rows put to a model: several at once, in order, each equal question once, and what happens when nobody answers."""

from __future__ import annotations

import asyncio
import json

import pytest

from connectors.scripted_model import ScriptedChatModel
from signalbox.cli.eval_run import Evaluation
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import RetryableError, SignalboxError, TerminalError
from signalbox.evaluation.rows import LabelledRow
from signalbox.routing.rules import EnginePolicy
from tests.support.fleets import agent, rulebook

pytestmark = pytest.mark.anyio
RULES = rulebook(
    agent("left", ["t"]), agent("right", ["t"]), engine=EnginePolicy(backoff_base_seconds=0.001)
)
LEFT = {"agent": "left", "reason": "why", "confidence": 0.9}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def rows(*texts: str) -> list[LabelledRow]:
    return [
        LabelledRow(number, number, ("left",), {"t": text}, is_text=False)
        for number, text in enumerate(texts, start=1)
    ]


def ignore(done: int) -> None:
    """Nobody watches."""


async def test_questions_are_asked_at_once_up_to_the_bound_and_results_keep_the_rows_order() -> (
    None
):
    """A slow first row holds up neither the others nor their order."""
    in_flight, most, last_asked = 0, 0, asyncio.Event()

    async def answer(request: ChatRequest) -> dict[str, object]:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        if "row-6" in request.user:
            last_asked.set()
        if "row-1" in request.user:
            await last_asked.wait()
        else:
            await asyncio.sleep(0)
        in_flight -= 1
        return LEFT

    evaluation = Evaluation(RULES, ScriptedChatModel(answer), at_once=3)
    results = await evaluation.run(rows(*[f"row-{n}" for n in range(1, 7)]), ignore)

    assert [result.row.id for result in results] == [1, 2, 3, 4, 5, 6]
    assert all(result.is_right for result in results)
    assert 2 <= most <= 3


async def test_equal_questions_are_asked_once() -> None:
    """Repeats are answered from the cache, as they are in the job."""
    model = ScriptedChatModel({"route": LEFT})
    results = await Evaluation(RULES, model, at_once=1).run(rows("x", "x", "y"), ignore)

    assert len(model.requests) == 2
    assert [result.prediction.model_calls for result in results] == [1, 0, 1]
    assert [result.prediction.path for result in results] == ["model", "cache", "model"]


async def test_index_of_agents_is_built_before_a_decision_is_timed() -> None:
    """Where the model prepares a set of agents, that is asked for once, is no row's call, and is in no row's time."""
    clock = 0.0
    asked: list[str | None] = []

    async def answer(request: ChatRequest) -> dict[str, object]:
        nonlocal clock
        clock += 100.0 if not asked else 0.5
        asked.append(request.cache_key)
        return LEFT

    evaluation = Evaluation(
        RULES, ScriptedChatModel(answer), at_once=1, prepares=True, clock=lambda: clock
    )
    results = await evaluation.run(rows("x", "y"), ignore)

    assert [key is None for key in asked] == [True, False, False]
    assert [result.prediction.model_calls for result in results] == [1, 1]
    assert [result.prediction.decision_ms for result in results] == [500.0, 500.0]


async def test_failed_call_is_tried_again_when_the_server_wishes() -> None:
    """The retry and its waiting are the reducer's; waiting is no part of a decision's time."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    said = iter([RetryableError("busy", retry_after_seconds=300), LEFT])
    model = ScriptedChatModel(lambda _: next(said))
    (result,) = await Evaluation(RULES, model, at_once=1, sleep=sleep).run(rows("x"), ignore)

    assert waited == [300]
    assert (result.is_right, result.prediction.model_calls) == (True, 2)


async def test_model_that_refuses_ends_the_evaluation() -> None:
    """A wrong key would fail every row; the first refusal says so."""
    refusing = ScriptedChatModel(lambda _: TerminalError("wrong key", reason="model_failed"))

    with pytest.raises(SignalboxError, match="wrong key; nothing is reported"):
        await Evaluation(RULES, refusing, at_once=2).run(rows("x", "y"), ignore)


async def test_model_that_is_away_is_not_asked_for_ever() -> None:
    """Where no row at all gets an answer, the evaluation ends after a few."""
    away = ScriptedChatModel(lambda _: RetryableError("no connection"))

    with pytest.raises(SignalboxError, match="answered none of 5 rows: no connection"):
        await Evaluation(RULES, away, at_once=1).run(rows(*map(str, range(50))), ignore)
    assert len({request.user for request in away.requests}) == 5


async def test_progress_is_told_row_by_row() -> None:
    """Whoever watches sees the number grow to the end."""
    told: list[int] = []
    await Evaluation(RULES, ScriptedChatModel({"route": LEFT}), at_once=1).run(
        rows("x", "y"), told.append
    )

    assert told == [1, 2]


async def test_answer_that_will_be_better_is_waited_for() -> None:
    """While an index is built a stream is answered by words; what is measured is what comes after."""

    class Building:
        """A model whose first two answers are provisional."""

        name = "building"

        def __init__(self) -> None:
            self.asked = 0

        async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
            self.asked += 1
            agent, is_early = ("right", True) if self.asked < 3 else ("left", False)
            text = json.dumps({**LEFT, "agent": agent})
            return ChatAnswer(text=text, model=self.name, is_provisional=is_early)

        async def close(self) -> None:
            """Nothing to close."""

    model = Building()
    (result,) = await Evaluation(RULES, model, at_once=1).run(rows("x"), ignore)

    assert (result.prediction.agent, model.asked, result.prediction.model_calls) == ("left", 3, 1)
