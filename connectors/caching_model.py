"""Equal questions share one call and one answer: an LRU cache with single flight, in the process that holds the client.

It sits between the decision operator and the provider. It is no state: after a restart it is empty, and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace

from connectors.chat_model import ChatModel
from signalbox.contracts.chat import ChatAnswer, ChatRequest


@dataclass(slots=True)
class _Flight:
    """One call under way and how many wait for it."""

    task: asyncio.Task[ChatAnswer]
    waiting: int = 0
    is_paid: bool = False


class CachingChatModel:
    """Wraps a model; requests without a `cache_key` pass through.

    Callers are cancelled one by one: the call itself ends only when nobody waits for it any more. Failures reach
    everybody who waited and are not kept.
    """

    def __init__(self, inner: ChatModel, max_entries: int = 10_000) -> None:
        self.name = inner.name
        self._inner = inner
        self._max_entries = max_entries
        self._answers: OrderedDict[str, ChatAnswer] = OrderedDict()
        self._flights: dict[str, _Flight] = {}

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Answer from the cache (`cached` is True), from a call under way (True as well), or by a call of its own.

        What a call cost is in one answer only: that of the first who got it. A cached answer cost nothing.

        Raises:
            RetryableError, TerminalError: what the one call raised.
        """
        key = request.cache_key
        if key is None:
            return await self._inner.complete(request, timeout_seconds=timeout_seconds)
        kept = self._answers.get(key)
        if kept is not None:
            self._answers.move_to_end(key)
            return replace(_free(kept), latency_ms=0)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._take_off(key, request, timeout_seconds)
        answer = await self._await_landing(key, flight)
        if flight.is_paid:
            return _free(answer)
        # Not always the one whose question it was: that one may have been cancelled meanwhile.
        flight.is_paid = True
        return answer

    async def close(self) -> None:
        """Give up what is under way and close the inner model."""
        flights = [flight.task for flight in self._flights.values()]
        for task in flights:
            task.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        self._answers.clear()
        await self._inner.close()

    def _take_off(self, key: str, request: ChatRequest, timeout_seconds: float) -> _Flight:
        # A task of its own, so that the caller who happened to be first can be cancelled without ending it.
        task = asyncio.create_task(self._inner.complete(request, timeout_seconds=timeout_seconds))
        flight = _Flight(task)
        self._flights[key] = flight
        task.add_done_callback(lambda done: self._land(key, flight, done))
        return flight

    def _land(self, key: str, flight: _Flight, done: asyncio.Task[ChatAnswer]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        # Reading the exception also tells asyncio that it was seen, though every waiter may be gone.
        if done.cancelled() or done.exception() is not None:
            return
        if done.result().is_provisional:
            return
        self._answers[key] = done.result()
        while len(self._answers) > self._max_entries:
            self._answers.popitem(last=False)

    async def _await_landing(self, key: str, flight: _Flight) -> ChatAnswer:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                # Nobody is left: close the connection, and let the next equal question start afresh.
                if self._flights.get(key) is flight:
                    del self._flights[key]
                flight.task.cancel()


def _free(answer: ChatAnswer) -> ChatAnswer:
    return replace(answer, cached=True, tokens_in=0, tokens_out=0)
