"""The run of a what-if replay: conversation by conversation out of the store, through the reducer, into the report.

It writes to no topic and starts no agent. Models are asked only where a caller is given.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from connectors.chat_model import ChatModel
from connectors.replay_store import ReplayStore
from signalbox.contracts.chat import ChatAnswer, ChatRequest
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import TASK_ASSIGNED, Envelope
from signalbox.contracts.review import Review, data_given
from signalbox.definitions.specs import RESERVED_TYPES
from signalbox.errors import RetryableError, TerminalError
from signalbox.replay.answers import Recorded
from signalbox.replay.history import Met, history
from signalbox.replay.judging import NOBODY, Case, Choice, Ended, Judgement, Missing, judge
from signalbox.replay.records import (
    Fate,
    Records,
    SeenMessage,
    fate_of,
    stop_of,
    taken_up,
    undecided_fate,
)
from signalbox.replay.report import Compared, Report
from signalbox.routing.admit import decode
from signalbox.routing.backoff import backoff_ms
from signalbox.routing.rules import EnginePolicy, Rulebook
from signalbox.routing.ticks import Origin
from signalbox.topics import AGENT_MESSAGES

LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelCaller:
    """Asks a model for what is not on record, with the engine's own patience."""

    model: ChatModel
    engine: EnginePolicy

    async def ask(self, request: ChatRequest) -> ChatAnswer | Missing:
        """Return the answer, or why there is none after all attempts."""
        for attempt in range(1, self.engine.model_max_attempts + 1):
            try:
                return await self.model.complete(
                    request, timeout_seconds=self.engine.model_timeout_seconds
                )
            except TerminalError as error:
                return Missing(f"{self.model.name} refused the question: {error}")
            except RetryableError as error:
                problem = str(error)
                wait_ms = backoff_ms(
                    attempt,
                    base_seconds=self.engine.backoff_base_seconds,
                    cap_seconds=self.engine.backoff_cap_seconds,
                    seed=request.user[-64:],
                    retry_after_seconds=error.retry_after_seconds,
                )
            if attempt < self.engine.model_max_attempts:
                await asyncio.sleep(wait_ms / 1000)
        return Missing(f"{self.model.name} did not answer: {problem}")


@dataclass(frozen=True, slots=True)
class _Compare:
    """A case with what is on record: `first` is the fate it met first (a review), `before` the last."""

    case: Case
    met: Met
    first: Fate
    before: Fate
    asked: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay. `caller` is None where nothing but the records may answer; `parallel` bounds conversations under way."""

    store: ReplayStore
    recorded: Recorded
    caller: ModelCaller | None = None
    parallel: int = 8

    async def run(self, report: Report) -> None:
        """Compare every message of the range; memory holds `parallel` conversations and the report."""
        window = self.parallel if self.caller is not None else 1
        under_way: set[asyncio.Task[None]] = set()
        for records in self.store.conversations():
            under_way.add(asyncio.create_task(self._conversation(records, report)))
            if len(under_way) >= window:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        for task in under_way:
            await task

    async def _conversation(self, records: Records, report: Report) -> None:
        report.take(
            records.conversation_id,
            [await self._compared(one) for one in self._cases(records, report)],
        )

    def _cases(self, records: Records, report: Report) -> Iterator[_Compare]:
        met = {one.message_id: one for one in history(records)}
        died, genuine, stops = records.died(), records.genuine(), records.stops()
        reviews = {review.message.id: review for review in reversed(records.reviews)}
        in_range = Counter(one.id for one in records.messages if one.in_range)
        for message_id, copies in in_range.items():
            report.skip("duplicate", copies - 1)
            seen = genuine[message_id]
            if not seen.in_range:
                report.skip("duplicate")
                continue
            review, dead = reviews.get(message_id), died.get(message_id)
            found = met.get(message_id)
            first = undecided_fate(review, dead)
            if found is None or (first is None and not found.decisions):
                report.skip(_why_skipped(seen, dead))
                continue
            message = self._message(seen)
            fate = first
            decisions = taken_up(found.decisions, review)
            report.skip("decided later", len(found.decisions) - len(decisions))
            if decisions:
                fate = fate_of(decisions, stop_of(decisions, stops), seen.type)
            if fate is None or message is None:
                continue
            choice = self._choice(decisions, genuine)
            case = Case(message, found.at_ms, found.before, choice)
            asked = _was_asked(found, review, first)
            yield _Compare(case, found, first or fate, fate, asked)

    def _choice(
        self, decisions: Sequence[Decision], genuine: Mapping[str, SeenMessage]
    ) -> Choice | None:
        if not decisions or decisions[0].path != "human":
            return None
        first = decisions[0]
        if first.data_from is None:
            return Choice(first.agent)
        seen = genuine.get(first.data_from)
        said = self._message(seen) if seen is not None and seen.in_range else None
        return Choice(first.agent, None if said is None else data_given(said), said is None)

    def _message(self, seen: SeenMessage) -> Envelope | None:
        decoded = decode(self.store.body(seen), Origin(AGENT_MESSAGES), seen.at_ms)
        return decoded if isinstance(decoded, Envelope) else None

    async def _compared(self, one: _Compare) -> Compared:
        rulebook = self._rulebook(one.met)
        try:
            after = await self._judged(one, rulebook)
        except Exception as error:
            # Whatever candidate definitions make of one message, the others are still compared.
            LOG.exception("message %s could not be decided", one.case.message.id)
            told = f"could not be decided: {type(error).__name__}: {error}"[:500]
            after = Judgement(NOBODY, unknown=told)
        return Compared(one.case, one.before, after, _tokens(one.met), one.asked, rulebook)

    async def _judged(self, one: _Compare, rulebook: Rulebook) -> Judgement:
        judging = judge(one.case, rulebook)
        try:
            request = next(judging)
            while True:
                answer = self.recorded.answer(one.case, one.first, request)
                if isinstance(answer, Ended):
                    answer = replace(answer, tokens=_tokens(one.met))
                if isinstance(answer, Missing) and self.caller is not None:
                    answer = await self.caller.ask(request)
                request = judging.send(answer)
        except StopIteration as done:
            judged: Judgement = done.value
            return judged

    def _rulebook(self, met: Met) -> Rulebook:
        """The candidate, with the version of that time behind it: an agent that is gone keeps its allowlist, as after `apply`."""
        candidate = self.recorded.rulebook.current
        if candidate is None:
            return self.recorded.rulebook
        versions = self.recorded.versions
        digest = met.decisions[0].definitions_digest if met.decisions else None
        then = versions.of(digest) if digest is not None else versions.at(met.at_ms)
        if then is None or then.digest == candidate.digest:
            return Rulebook(candidate)
        return Rulebook(candidate, (then,))


def _why_skipped(seen: SeenMessage, dead: DeadLetter | None) -> str:
    if dead is not None:
        return dead.reason
    if seen.type in RESERVED_TYPES - {TASK_ASSIGNED}:
        return seen.type
    return "undecided"


def _paid(decision: Decision) -> bool:
    """Say whether a call was paid for it. A person's decision has the tokens of the model that was asked before."""
    tokens = decision.tokens_in + decision.tokens_out
    return not decision.cached and (decision.model is not None or tokens > 0)


def _tokens(met: Met) -> int:
    return sum(one.tokens_in + one.tokens_out for one in met.decisions if _paid(one))


def _was_asked(met: Met, review: Review | None, first: Fate | None) -> bool:
    """Say whether a model was called. Calls that failed, or whose answer went to a person, left no decision."""
    if any(_paid(decision) for decision in met.decisions):
        return True
    if first is not None and first.code == "model_failed":
        return True
    return review is not None and any(one.accepted for one in review.candidates)
