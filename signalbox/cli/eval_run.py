"""Puts labelled rows to the reducer and its questions to the model, several at once where the model is elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from connectors.caching_model import CachingChatModel
from connectors.chat_model import ChatModel
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.errors import RetryableError, SignalboxError, TerminalError
from signalbox.evaluation.results import Result
from signalbox.evaluation.rows import LabelledRow
from signalbox.evaluation.trial import Trial
from signalbox.routing.commands import AskModel
from signalbox.routing.rules import Rulebook

CACHED_ANSWERS: Final = 10_000
_GIVE_UP_AFTER: Final = 5
"""So many rows without an answer before any has one: the model is away, and asking on is of no use."""

Progress = Callable[[int], None]
"""Told how many rows are done."""


@dataclass(slots=True)
class _Counted:
    """How a row's questions went."""

    calls: int = 0
    waited_seconds: float = 0.0


class Evaluation:
    """One pass over the rows. Equal questions share one call, as they do in the operator.

    With `prepares` the model is one that builds an index of each set of agents: that is done before a decision among them
    is timed, as it is beside the stream in the operator.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        model: ChatModel,
        *,
        at_once: int,
        prepares: bool = False,
        cached_answers: int = CACHED_ANSWERS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._rulebook = rulebook
        self._model = CachingChatModel(model, cached_answers)
        self._at_once = at_once
        self._prepares = prepares
        self._prepared: dict[int, Mapping[str, Sequence[str]]] = {}
        self._sleep = sleep
        self._clock = clock
        self._answered = False
        self._unanswered: list[str] = []

    async def run(self, rows: Sequence[LabelledRow], progress: Progress) -> list[Result]:
        """Decide every row; the results are in the rows' order, however the answers come.

        Raises:
            SignalboxError: the model refuses requests whatever is asked, or gives no answer at all.
        """
        results: list[Result | None] = [None] * len(rows)
        left = iter(range(len(rows)))
        done = 0

        async def work() -> None:
            nonlocal done
            for number in left:
                results[number] = await self._decide(rows[number])
                done += 1
                progress(done)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._at_once, len(rows))):
                    group.create_task(work())
        except* SignalboxError as problems:
            raise problems.exceptions[0] from None
        finally:
            await self._model.close()
        return [result for result in results if result is not None]

    async def _decide(self, row: LabelledRow) -> Result:
        trial, counted = Trial(row, self._rulebook), _Counted()
        started = self._clock()
        trial.begin()
        while (question := trial.question) is not None:
            wait_seconds = trial.wait_seconds()
            if wait_seconds:
                before = self._clock()
                await self._sleep(wait_seconds)
                counted.waited_seconds += self._clock() - before
            counted.waited_seconds += await self._prepare(question)
            await self._ask(trial, question, counted)
        seconds = self._clock() - started - counted.waited_seconds
        prediction = trial.prediction(model_calls=counted.calls, decision_ms=seconds * 1000)
        if prediction.error is not None:
            self._give_up_where_nobody_answers(prediction.error)
        return Result(row, prediction)

    async def _prepare(self, question: AskModel) -> float:
        """Put the first question among some agents once more than needed; return how long it took, in seconds."""
        choices = question.request.choices
        if not self._prepares or id(choices) in self._prepared:
            return 0.0
        self._prepared[id(choices)] = (
            choices  # kept, so that nothing else can have its id meanwhile
        )
        before = self._clock()
        with contextlib.suppress(
            RetryableError, TerminalError
        ):  # the row's own question meets it too
            await self._final_answer(
                replace(question.request, cache_key=None), question.timeout_seconds
            )
        return self._clock() - before

    async def _ask(self, trial: Trial, question: AskModel, counted: _Counted) -> None:
        try:
            answer = await self._final_answer(question.request, question.timeout_seconds)
        except RetryableError as error:
            counted.calls += 1
            trial.fail(str(error), is_retryable=True, retry_after_seconds=error.retry_after_seconds)
        except TerminalError as error:
            msg = f"{trial.row.id}: {error}; nothing is reported, because every row would end so"
            raise SignalboxError(msg) from error
        else:
            counted.calls += not answer.cached
            self._answered = True
            trial.answer(answer)

    async def _final_answer(self, request: ChatRequest, timeout_seconds: float) -> ChatAnswer:
        """Ask until the answer is the model's best: in a stream nobody waits for an index of agents, a measurement does."""
        while True:
            answer = await self._model.complete(request, timeout_seconds=timeout_seconds)
            if not answer.is_provisional:
                return answer

    def _give_up_where_nobody_answers(self, error: str) -> None:
        self._unanswered.append(error)
        if not self._answered and len(self._unanswered) >= _GIVE_UP_AFTER:
            msg = (
                f"the model answered none of {len(self._unanswered)} rows: {error}; is it running? "
                "`signalbox config show` says which one is asked"
            )
            raise SignalboxError(msg)
