"""One labelled message through the real reducer, in a conversation of its own; what it decides is the prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Candidate, Decision, DecisionPath
from signalbox.contracts.envelope import AGENT_SOURCE_PREFIX
from signalbox.contracts.ids import ROUTE_SLOT, dispatch_id, reply_id
from signalbox.contracts.nearness import nearest_first
from signalbox.contracts.record import from_epoch_ms, rfc3339
from signalbox.evaluation.rows import LabelledRow
from signalbox.routing.admit import decode
from signalbox.routing.colleagues import colleagues_of
from signalbox.routing.commands import AskModel
from signalbox.routing.rules import Rulebook
from signalbox.routing.simulation import Simulation
from signalbox.routing.state import Conversation, OpenDispatch
from signalbox.routing.ticks import Origin
from signalbox.topics import AGENT_MESSAGES

FROM_OUTSIDE: Final = "message.received"
"""The type of a row that states none and comes from no agent."""

EndPath = DecisionPath | Literal["review", "dead_letter", "outcome"]
"""How a row was decided; or that it waits for a person, became a dead letter, or ended without a decision."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of a row.

    `agent` is NONE also where a person would be asked and where the message is a dead letter: nobody acts by itself.
    `score` in [0, 1] says how surely somebody should act, whoever was chosen; `shortlist` has the candidates, best first.
    """

    agent: str
    path: EndPath
    reason: str
    score: float
    shortlist: tuple[str, ...]
    confidence: float | None = None
    model_calls: int = 0
    cached: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    decision_ms: float = 0.0
    error: str | None = None
    """Why the model gave no answer; such a row is never right."""


class Trial:
    """A row on its way: begin it, carry out the questions it asks, read the prediction."""

    def __init__(self, row: LabelledRow, rulebook: Rulebook) -> None:
        self.row = row
        self._conversation = f"row-{row.line}"
        # Which of several that do the same is free is no question of routing quality: the labelled one is.
        spared = colleagues_of(row.expected, rulebook.current)
        self._world = Simulation(replace(rulebook, spared=spared) if spared else rulebook)
        self._scores: dict[str, float] = {}
        self._asked_about: tuple[str, ...] = ()
        self._last_failure: str | None = None

    @property
    def question(self) -> AskModel | None:
        """The model call that the reducer waits for, if any."""
        return self._world.questions.get(self._conversation)

    def begin(self) -> None:
        """Let the message arrive."""
        fields = self._envelope_fields()
        if self.row.sender is not None:
            self._world.blobs[self._conversation] = self._after_a_task_of(self.row.sender)
        raw = orjson.dumps(fields)
        admitted = decode(raw, Origin(AGENT_MESSAGES), self._world.now_ms)
        if isinstance(admitted, DeadLetter):
            self._world.dead_letters.append(admitted)
        else:
            self._world.send(admitted)

    def answer(self, answer: ChatAnswer) -> None:
        """Hand the reducer what the model said."""
        self._scores = dict(answer.scores)
        if self.question is not None:
            self._asked_about = tuple(self.question.request.choices)
        self._world.answer(self._conversation, answer)

    def fail(self, detail: str, *, is_retryable: bool, retry_after_seconds: float | None) -> None:
        """Tell the reducer that the call failed; it may ask again, see `wait_seconds`."""
        self._last_failure = detail
        self._world.fail(
            self._conversation,
            detail,
            is_retryable=is_retryable,
            retry_after_seconds=retry_after_seconds,
        )

    def wait_seconds(self) -> float:
        """How long the open question must not be asked yet."""
        question = self.question
        if question is None:
            return 0.0
        return max(0.0, (question.not_before_ms - self._world.now_ms) / 1000)

    def prediction(self, *, model_calls: int, decision_ms: float) -> Prediction:
        """Say what was decided; only once no question is open."""
        world = self._world
        facts: dict[str, Any] = {"model_calls": model_calls, "decision_ms": decision_ms}
        # Who hears a message by subscription is no decision about where it goes.
        routed = [one for one in world.decisions if one.path != "subscription"]
        if routed:
            return self._decided(routed[0], facts)
        if world.reviews:
            review = world.reviews[0]
            ranked = self._ranked(review.candidates, NONE)
            score = self._score(NONE, ranked, None)
            return Prediction(NONE, "review", review.reason, score, ranked, **facts)
        if world.dead_letters:
            letter = world.dead_letters[0]
            reason = f"{letter.reason}: {letter.detail}"
            error = self._last_failure if letter.reason == "model_failed" else None
            return Prediction(NONE, "dead_letter", reason, 0.0, (), error=error, **facts)
        ended = world.outcomes[0].detail if world.outcomes else "no decision was needed"
        return Prediction(NONE, "outcome", ended, 0.0, (), **facts)

    def _decided(self, decision: Decision, facts: dict[str, Any]) -> Prediction:
        ranked = self._ranked(decision.candidates, decision.agent)
        return Prediction(
            agent=decision.agent,
            path=decision.path,
            reason=decision.reason,
            score=self._score(decision.agent, ranked, decision.confidence),
            shortlist=ranked,
            confidence=decision.confidence,
            cached=decision.cached,
            tokens_in=decision.tokens_in,
            tokens_out=decision.tokens_out,
            **facts,
        )

    def _ranked(self, candidates: tuple[Candidate, ...], chosen: str) -> tuple[str, ...]:
        """Order those that may act by score; among equals the chosen one first, then by nearness; first too where nobody scored.

        Whom the model was asked about is known in full; the record lists a bounded number of them.
        """
        listed = (candidate.agent for candidate in candidates if candidate.accepted)
        names = self._asked_about or tuple(listed) or ((chosen,) if chosen != NONE else ())
        nearest = nearest_first(names, self._scores)
        return tuple(
            sorted(nearest, key=lambda name: (-self._scores.get(name, 0.0), name != chosen))
        )

    def _score(self, agent: str, ranked: tuple[str, ...], confidence: float | None) -> float:
        if self._scores and ranked:
            return self._scores.get(ranked[0], 0.0)
        if confidence is not None:
            return confidence if agent != NONE else 1 - confidence
        return 0.0 if agent == NONE else 1.0

    def _envelope_fields(self) -> dict[str, Any]:
        row, at = self.row, rfc3339(from_epoch_ms(self._world.now_ms))
        message_id, source, kind, cause = f"{self._conversation}-message", "cli", FROM_OUTSIDE, None
        if row.sender is not None:
            cause = self._task_id()
            message_id, source = reply_id(cause, 0), AGENT_SOURCE_PREFIX + row.sender
            rules = self._world.rulebook.current
            kind = rules.agents[row.sender].definition.output.type if rules else kind
        return {
            "specversion": "1.0",
            "id": message_id,
            "source": row.source or source,
            "type": row.type or kind,
            "time": at,
            "subject": self._conversation,
            "causationid": cause,
            "target": row.target,
            "data": row.data,
        }

    def _task_id(self) -> str:
        return dispatch_id(f"{self._conversation}-cause", ROUTE_SLOT)

    def _after_a_task_of(self, agent: str) -> bytes:
        """The state in which `agent` has the one open task, so that the row is its answer and its handoffs count."""
        now_ms = self._world.now_ms
        rules = self._world.rulebook.current
        fleet = rules.agents[agent].fleet if rules else None
        return Conversation(
            self._conversation,
            episode=1,
            is_open=True,
            fleet=fleet,
            hops=1,
            started_at_ms=now_ms,
            deadline_ms=now_ms + 3_600_000,
            last_agent=agent,
            open={self._task_id(): OpenDispatch(agent, now_ms + 3_600_000)},
        ).encode()
