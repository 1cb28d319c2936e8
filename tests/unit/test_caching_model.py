"""The cache beside the model: one call for equal questions, whoever is cancelled, and never a failure kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from connectors.caching_model import CachingChatModel
from connectors.scripted_model import ScriptedChatModel
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import RetryableError

REQUEST = ChatRequest(system="s", user="u", schema={}, schema_name="route", cache_key="k1")


class Gate:
    """A scripted answer that waits until it is opened, and knows whether it was cancelled."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.cancelled = 0
        self.model = ScriptedChatModel(self.say)

    async def say(self, request: ChatRequest) -> str:
        """Wait for the gate."""
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "open"


def ask(model: CachingChatModel, request: ChatRequest = REQUEST) -> asyncio.Task[ChatAnswer]:
    """Start one call."""
    return asyncio.create_task(model.complete(request, timeout_seconds=60))


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def test_equal_questions_one_after_the_other_make_one_call() -> None:
    """The second answer comes from the cache and says so."""

    async def run() -> None:
        inner = ScriptedChatModel({"route": "answer"})
        model = CachingChatModel(inner)
        first, second = await ask(model), await ask(model)

        assert (first.cached, second.cached) == (False, True)
        assert first.text == second.text
        assert len(inner.requests) == 1

    asyncio.run(run())


def test_equal_questions_at_once_make_one_call() -> None:
    """Those who come while the call is under way wait for it."""

    async def run() -> None:
        gate = Gate()
        model = CachingChatModel(gate.model)
        calls = [ask(model) for _ in range(5)]
        await until(lambda: len(gate.model.requests) == 1)
        gate.opened.set()
        answers = await asyncio.gather(*calls)

        assert len(gate.model.requests) == 1
        assert [answer.cached for answer in answers] == [False, True, True, True, True]

    asyncio.run(run())


def _counted(request: ChatRequest) -> ChatAnswer:
    return ChatAnswer("said", "m", tokens_in=100, tokens_out=7, latency_ms=5)


class CountedModel(ScriptedChatModel):
    """Every answer costs 107 tokens."""

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Answer as scripted, with a price."""
        await super().complete(request, timeout_seconds=timeout_seconds)
        return _counted(request)


def test_call_is_paid_once_however_many_share_its_answer() -> None:
    """The tokens of one call are in one answer: the sum over all answers is what was spent."""

    async def run() -> None:
        model = CachingChatModel(CountedModel({"route": "said"}))
        together = await asyncio.gather(*(ask(model) for _ in range(4)))
        later = await ask(model)

        tokens = [one.tokens_in + one.tokens_out for one in (*together, later)]
        assert tokens == [107, 0, 0, 0, 0]
        assert [one.cached for one in (*together, later)] == [False, True, True, True, True]

    asyncio.run(run())


def test_call_whose_asker_went_is_paid_by_the_next_who_waits() -> None:
    """A cancelled asker takes no answer, so its price is not lost with it."""

    async def run() -> None:
        opened = asyncio.Event()

        class _Slow(CountedModel):
            async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
                await opened.wait()
                return _counted(request)

        model = CachingChatModel(_Slow({"route": "said"}))
        leader, follower = ask(model), ask(model)
        await asyncio.sleep(0)
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        opened.set()
        answer = await follower

        assert (answer.cached, answer.tokens_in) == (False, 100)

    asyncio.run(run())


def test_cancelled_leader_is_followed_by_one_of_those_who_wait() -> None:
    """Who asked first may go, and its connection with it; one of the others asks again, and all have that answer."""

    async def run() -> None:
        gate = Gate()
        model = CachingChatModel(gate.model)
        leader, *others = (ask(model) for _ in range(4))
        await until(lambda: len(gate.model.requests) == 1)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        await until(lambda: len(gate.model.requests) == 2)
        gate.opened.set()
        answers = await asyncio.gather(*others)

        assert [answer.text for answer in answers] == ["open"] * 3
        assert sorted(answer.cached for answer in answers) == [False, True, True]
        assert (gate.cancelled, len(gate.model.requests)) == (1, 2)

    asyncio.run(run())


def test_call_that_nobody_waits_for_is_cancelled() -> None:
    """When the last caller goes, the connection goes too, and the next question starts afresh."""

    async def run() -> None:
        gate = Gate()
        model = CachingChatModel(gate.model)
        calls = [ask(model), ask(model)]
        await until(lambda: len(gate.model.requests) == 1)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await until(lambda: gate.cancelled == 1)
        gate.opened.set()

        assert (await ask(model)).text == "open"
        assert len(gate.model.requests) == 2

    asyncio.run(run())


def test_failure_reaches_everybody_and_is_not_kept() -> None:
    """A failed call fails all who waited; the next one tries again."""

    async def run() -> None:
        async def say(request: ChatRequest) -> str:
            is_first = len(inner.requests) == 1
            await asyncio.sleep(0)
            if is_first:
                raise RetryableError("away")
            return "back"

        inner = ScriptedChatModel(say)
        model = CachingChatModel(inner)
        failed = await asyncio.gather(ask(model), ask(model), return_exceptions=True)

        assert all(isinstance(error, RetryableError) for error in failed)
        assert len(inner.requests) == 1
        assert (await ask(model)).text == "back"

    asyncio.run(run())


def test_question_without_a_key_is_always_asked() -> None:
    """A repair attempt has no key and must reach the model."""

    async def run() -> None:
        inner = ScriptedChatModel({"route": "answer"})
        model = CachingChatModel(inner)
        keyless = replace(REQUEST, cache_key=None)
        answers = [await ask(model, keyless), await ask(model, keyless)]

        assert len(inner.requests) == 2
        assert not any(answer.cached for answer in answers)

    asyncio.run(run())


def test_least_recently_used_answer_goes_first() -> None:
    """The cache is bounded, and what was used last stays."""

    async def run() -> None:
        inner = ScriptedChatModel({"route": "answer"})
        model = CachingChatModel(inner, max_entries=2)
        for key in ("a", "b", "a", "c"):
            await ask(model, replace(REQUEST, cache_key=key))

        assert (await ask(model, replace(REQUEST, cache_key="a"))).cached
        assert not (await ask(model, replace(REQUEST, cache_key="b"))).cached

    asyncio.run(run())
