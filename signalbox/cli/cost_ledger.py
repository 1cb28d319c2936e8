"""What was spent: tokens and calls of decisions and of agents' own work, by agent, model or conversation. Pure.

A decision taken again after a failure was paid again, so every record counts. An answer counts once and only where it
answers a task of that agent: anybody may claim to be one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import dispatch_id, seen_hash
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review

By = Literal["agent", "model", "conversation"]

OWN_WORK: Final = "(agents' own work)"
"""In a list by model: an answer says how many tokens its agent spent, not on which model."""
NO_MODEL: Final = "(no model asked)"
THEN_A_PERSON: Final = "(a model, then a person)"
"""Where a person decided and the review that names the model is gone."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a model was asked: in a decision's own record, or in the review before a person's decision."""

    model: str | None
    attempts: int
    is_cached: bool

    @classmethod
    def of(cls, record: Decision | Review) -> Question:
        """Return the question that a record tells of; without a model there was none."""
        return cls(record.model, record.attempts, record.cached)


@dataclass(slots=True)
class Spent:
    """One line. `calls` are model calls of decisions; `tokens` is everything: deciding and the agents' own work."""

    name: str
    decisions: int = 0
    calls: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    answers: int = 0
    agent_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.tokens_in + self.tokens_out + self.agent_tokens

    def take(self, decision: Decision, asked: Question) -> None:
        """Count a decision; what came from the cache was paid by another."""
        self.decisions += 1
        self.cached += asked.is_cached
        # A person's decision has the tokens of the model that was asked before.
        tokens = decision.tokens_in + decision.tokens_out
        if not tokens and (asked.is_cached or not asked.model):
            return
        self.calls += max(1, asked.attempts)
        self.tokens_in += decision.tokens_in
        self.tokens_out += decision.tokens_out

    def take_answer(self, tokens: int) -> None:
        """Count an agent's answer."""
        self.answers += 1
        self.agent_tokens += tokens

    def as_json(self) -> dict[str, Any]:
        """Write the line for programs."""
        return {**asdict(self), "tokens": self.tokens}


@dataclass(slots=True)
class CostLedger:
    """Give it the reviews first, then the decisions, then the messages, then the outcomes.

    `conversation` restricts it to one. Memory holds a line for each name, and a few bytes a task.
    """

    by: By
    conversation: str | None = None
    rows: dict[str, Spent] = field(default_factory=dict)
    total: Spent = field(default_factory=lambda: Spent("total"))
    outcome_tokens: int = 0
    _asked: dict[bytes, Question] = field(default_factory=dict)
    _tasks: dict[bytes, str] = field(default_factory=dict)
    _answered: set[bytes] = field(default_factory=set)

    def take_review(self, review: Review) -> None:
        """Remember which model was asked before a person was."""
        if review.model is not None:
            self._asked[seen_hash(review.message.id)] = Question.of(review)

    def take_decision(self, decision: Decision) -> None:
        """Count a decision record."""
        if not self._is_wanted(decision.conversation_id):
            return
        task = seen_hash(dispatch_id(decision.message_id, decision.slot))
        self._tasks[task] = decision.agent
        asked = Question.of(decision)
        if decision.path == "human":
            asked = self._asked.get(seen_hash(decision.message_id), asked)
        name = {
            "agent": decision.agent,
            "model": asked.model or _without_model(decision),
            "conversation": decision.conversation_id,
        }[self.by]
        for line in (self._row(name), self.total):
            line.take(decision, asked)

    def take_message(self, message: Envelope) -> None:
        """Count an agent's answer; everything else is not an expense."""
        agent = message.claimed_agent
        if agent is None or not self._is_wanted(message.subject):
            return
        identity = seen_hash(message.id)
        is_own = self._tasks.get(seen_hash(message.causationid or "")) == agent
        if not is_own or identity in self._answered:
            return
        self._answered.add(identity)
        name = {"agent": agent, "model": OWN_WORK, "conversation": message.subject}[self.by]
        for line in (self._row(name), self.total):
            line.take_answer(message.tokensused)

    def take_outcome(self, outcome: Outcome) -> None:
        """Add what an ended episode had spent by its own account, calls that left no decision record among it."""
        if self._is_wanted(outcome.conversation_id):
            self.outcome_tokens += outcome.tokens

    def lines(self) -> list[Spent]:
        """Return the lines, the dearest first."""
        return sorted(self.rows.values(), key=lambda one: (-one.tokens, -one.calls, one.name))

    def _row(self, name: str) -> Spent:
        return self.rows.setdefault(name, Spent(name))

    def _is_wanted(self, conversation_id: str) -> bool:
        return self.conversation in {None, conversation_id}


def _without_model(decision: Decision) -> str:
    return THEN_A_PERSON if decision.tokens_in + decision.tokens_out else NO_MODEL
