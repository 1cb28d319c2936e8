"""Equal questions share one call and one answer: an LRU cache with single flight, in the process that holds the client.

It sits between the decision operator and the provider. It is no state: after a restart it is empty, and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace

from connectors.chat_model import ChatModel
from signalbox.contracts.chat import ChatAnswer, ChatRequest

_Followers = list[asyncio.Future[ChatAnswer | None]]


class CachingChatModel:
    """Wraps a model; requests without a `cache_key` pass through.

    Who asks first makes the call, in its own task: one more for each call would cost 3 kB, and thousands are in flight. The
    others wait for that answer. Where the first is cancelled its connection closes, and the next of those who wait asks
    again. Failures reach everybody who waited and are not kept.
    """

    def __init__(self, inner: ChatModel, max_entries: int = 10_000) -> None:
        self.name = inner.name
        self._inner = inner
        self._max_entries = max_entries
        self._answers: OrderedDict[str, ChatAnswer] = OrderedDict()
        self._flights: dict[str, _Followers] = {}

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Answer from the cache (`cached` is True), from a call under way (True as well), or by a call of its own.

        What a call cost is in one answer only: that of the one who made it. A cached answer cost nothing.

        Raises:
            RetryableError, TerminalError: what the one call raised.
        """
        key = request.cache_key
        if key is None:
            return await self._inner.complete(request, timeout_seconds=timeout_seconds)
        while True:
            kept = self._answers.get(key)
            if kept is not None:
                self._answers.move_to_end(key)
                return replace(_free(kept), latency_ms=0)
            followers = self._flights.get(key)
            if followers is None:
                return await self._lead(key, request, timeout_seconds)
            answer = await _follow(followers)
            if answer is not None:
                return _free(answer)

    async def close(self) -> None:
        """Forget the answers and close the inner model. Calls under way are their callers' to cancel."""
        self._answers.clear()
        await self._inner.close()

    async def _lead(self, key: str, request: ChatRequest, timeout_seconds: float) -> ChatAnswer:
        followers = self._flights[key] = []
        try:
            answer = await self._inner.complete(request, timeout_seconds=timeout_seconds)
        except Exception as error:
            for follower in _waiting(followers):
                follower.set_exception(error)
            raise
        else:
            if not answer.is_provisional:
                self._keep(key, answer)
            for follower in _waiting(followers):
                follower.set_result(answer)
            return answer
        finally:
            del self._flights[key]
            # Whoever still waits here was left by a leader that was cancelled: the first to wake leads.
            for follower in _waiting(followers):
                follower.set_result(None)

    def _keep(self, key: str, answer: ChatAnswer) -> None:
        self._answers[key] = answer
        while len(self._answers) > self._max_entries:
            self._answers.popitem(last=False)


async def _follow(followers: _Followers) -> ChatAnswer | None:
    """Wait for the one who asks; None where it gave up."""
    follower: asyncio.Future[ChatAnswer | None] = asyncio.get_running_loop().create_future()
    followers.append(follower)
    return await follower


def _waiting(followers: _Followers) -> _Followers:
    return [follower for follower in followers if not follower.done()]


def _free(answer: ChatAnswer) -> ChatAnswer:
    return replace(answer, cached=True, tokens_in=0, tokens_out=0)
