"""A model that reads prompts is asked of the nearest candidates only, where there are many: cheaper, and easier to answer.

Nearness is that of the embedded model, without its threshold: saying NONE is the asked model's part. The names it was
asked of stand in the answer and in the decision record, and are all that it may answer beside NONE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from connectors.chat_model import ChatModel
from connectors.matcher import Matcher
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.definitions.specs import SemanticCalibration
from signalbox.errors import ConfigurationError, RetryableError, TerminalError
from signalbox.routing.prompt import SHORTLIST_SIZE


class ShortlistingChatModel:
    """Wraps a model; requests that need no narrowing pass through."""

    def __init__(self, inner: ChatModel, matcher_factory: Callable[[], Matcher]) -> None:
        self.name = inner.name
        self._inner = inner
        self._matcher_factory = matcher_factory
        self._matcher: Matcher | None = None
        self._making = asyncio.Lock()

    async def complete(self, request: ChatRequest, *, timeout_seconds: float) -> ChatAnswer:
        """Ask `inner` of the nearest `SHORTLIST_SIZE` choices.

        Raises:
            RetryableError: as the inner model, or the candidates' index is not ready yet: a model is not asked of a thousand
                agents, nor of twenty that were not chosen.
            TerminalError: as the inner model and the embedder.
        """
        if request.narrow is None:
            return await self._inner.complete(request, timeout_seconds=timeout_seconds)
        matcher = await self._made()
        found = await matcher.place(request.query, request.choices, timeout_seconds=timeout_seconds)
        if found is None:
            msg = (
                f"the index of {len(request.choices)} agents is still being built; the question is asked again. "
                "It is quicker the next time where SIGNALBOX_EMBEDDER__CACHE_FOLDER is set"
            )
            raise RetryableError(msg)
        calibration = SemanticCalibration.model_validate(request.calibration.get("semantic", {}))
        scores = found.combined(calibration.lexical_weight)
        chosen = tuple(scores)[:SHORTLIST_SIZE]
        answer = await self._inner.complete(request.narrow(chosen), timeout_seconds=timeout_seconds)
        return replace(
            answer,
            shortlist=chosen,
            scores={name: round(score, 4) for name, score in scores.items()},
            calibration=f"{calibration.name}:{matcher.name}",
        )

    async def close(self) -> None:
        """Close the inner model and stop building."""
        if self._matcher is not None:
            self._matcher.close()
        await self._inner.close()

    async def _made(self) -> Matcher:
        async with self._making:
            if self._matcher is None:
                try:
                    self._matcher = await asyncio.to_thread(self._matcher_factory)
                except ConfigurationError as error:
                    # A wrong weight stays wrong until somebody acts; the message is a dead letter with the remedy.
                    raise TerminalError(str(error), reason="model_failed") from error
            return self._matcher
