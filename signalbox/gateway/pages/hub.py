"""What the read model learns, told to everybody who looks: one question for all of them, and none while nobody does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from signalbox.cli.facts import Fact
from signalbox.gateway.problems import TooManyRequestsError
from signalbox.gateway.readmodel.queries import Cursor, NotReadyError, Tail

_log: Any = structlog.get_logger()
MAX_LOOKERS: Final = 200
MAX_FACTS: Final = 2000
"""Of one question; of what is beyond only the number is told."""
_POLL_SECONDS: Final = 0.1
_REST_SECONDS: Final = 1.0
"""After a question that failed."""
_KEPT_BATCHES: Final = 50
"""Whoever reads slower than five seconds behind misses some."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was learnt at once. `left_out` is how many facts were too many to be told."""

    number: int
    facts: tuple[Fact, ...]
    left_out: int


class Hub:
    """Asks `tail(cursor, limit)` every tenth of a second while anybody follows."""

    def __init__(
        self,
        tail: Callable[[Cursor | None, int], Tail],
        *,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self._tail = tail
        self._poll_seconds = poll_seconds
        self._batches: deque[Batch] = deque(maxlen=_KEPT_BATCHES)
        self._news = asyncio.Condition()
        self._begun = asyncio.Event()
        self._number = 0
        self._lookers = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def lookers(self) -> int:
        """How many follow now."""
        return self._lookers

    @property
    def is_asking(self) -> bool:
        """Whether the read model is asked now."""
        return self._task is not None and not self._task.done()

    def require_room(self) -> None:
        """Refuse one more than can be served.

        Raises:
            TooManyRequestsError: so many follow already.
        """
        if self._lookers >= MAX_LOOKERS:
            msg = f"{self._lookers} pages are open already"
            raise TooManyRequestsError(msg, "close some of them", retry_after_seconds=10)

    async def follow(self, *, tells_begin: bool = False) -> AsyncIterator[tuple[Batch, ...]]:
        """Yield what is learnt from now on, as often as there is something; who is slow gets several batches at once.

        With `tells_begin` the first time is an empty one: whatever is learnt after it is yielded. It ends at once where so many
        came in one moment that there was room for each when it asked.
        """
        if self._lookers >= MAX_LOOKERS:
            return
        self._lookers += 1
        try:
            if not self.is_asking:
                self._task = asyncio.create_task(self._poll())
            seen = self._number
            if tells_begin:
                await self._begun.wait()
                yield ()
            while True:
                async with self._news:
                    while self._number == seen:
                        await self._news.wait()
                news = tuple(one for one in self._batches if one.number > seen)
                seen = self._number
                yield news
        finally:
            self._lookers -= 1
            if not self._lookers and self._task is not None:
                self._task.cancel()
                self._task = None
                self._begun.clear()

    async def _poll(self) -> None:
        cursor: Cursor | None = None
        is_failing = False
        while True:
            try:
                tail = await asyncio.to_thread(self._tail, cursor, MAX_FACTS)
            except Exception as error:
                # While the read model is made anew there is nothing to tell. Whatever else it is, who asks goes on: without it
                # every open page would wait for news for ever.
                if not isinstance(error, NotReadyError) and not is_failing:
                    _log.exception("hub.not_told", detail=repr(error))
                    is_failing = True
            else:
                is_failing = False
                cursor = tail.cursor
                self._begun.set()
                if tail.facts:
                    await self._tell(tail)
            await asyncio.sleep(_REST_SECONDS if is_failing else self._poll_seconds)

    async def _tell(self, tail: Tail) -> None:
        async with self._news:
            self._number += 1
            self._batches.append(Batch(self._number, tail.facts, tail.left_out))
            self._news.notify_all()
