"""The scorer beside an event loop: indexes are built in one thread, texts are placed in another, and nobody waits for ever.

A question about choices whose index is ready is answered in milliseconds while the index of others is built. One that
comes before its index is ready waits for it, as long as it is told to; what happens then is the caller's to say.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from signalbox.matching.embedder import Embedder
from signalbox.matching.scorer import Choices, Index, Scorer, Signals
from signalbox.matching.vectors import Kept

MAX_WAIT_SECONDS: Final = 10.0
"""How long a decision waits for an index at most; five agents' takes 0.2 s, a thousand agents' half a minute."""


class Matcher:
    """One embedder with its indexes. Its methods may be called on any event loop."""

    def __init__(self, embedder: Embedder, kept: Kept | None = None) -> None:
        """Match with `embedder`; `kept` are vectors of an earlier run."""
        self.name = embedder.name
        self._scorer = Scorer(embedder, kept)
        self._placing = ThreadPoolExecutor(1, thread_name_prefix="matching")
        self._building = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._under_way: dict[int, tuple[Choices, Future[Index]]] = {}

    async def place(
        self, query: str, choices: Choices, *, timeout_seconds: float
    ) -> Signals | None:
        """Say how near `query` is to each of `choices`; None where their index took too long. It goes on being built.

        Args:
            query: the text to place.
            choices: name → its description, then what it takes and its examples.
            timeout_seconds: of the whole question; at most half of it is waited for the index.

        Raises:
            RetryableError, TerminalError: the embedder's.
        """
        index = self._scorer.find(choices)
        if index is None:
            building = asyncio.wrap_future(self._build(choices))
            wait_seconds = min(MAX_WAIT_SECONDS, timeout_seconds / 2)
            try:
                # Shielded: whoever gives up waiting does not end what others wait for.
                index = await asyncio.wait_for(asyncio.shield(building), wait_seconds)
            except TimeoutError:
                return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._placing, self._scorer.place_in, index, query)

    def close(self) -> None:
        """Stop building; indexes that are not ready will not be."""
        self._scorer.stop()
        self._building.shutdown(wait=False, cancel_futures=True)
        self._placing.shutdown(wait=False, cancel_futures=True)

    def _build(self, choices: Choices) -> Future[Index]:
        key = id(choices)
        known = self._under_way.get(key)
        if known is not None:
            return known[1]
        future = self._building.submit(self._scorer.index, choices)
        # The choices are kept with it, so that nothing else can have their id meanwhile.
        self._under_way[key] = (choices, future)
        future.add_done_callback(lambda _: self._under_way.pop(key, None))
        return future
