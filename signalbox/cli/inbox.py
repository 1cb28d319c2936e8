"""What waits for a person, of both kinds: messages that nobody could be chosen for, and steps of workflows. Pure.

One inbox from the records on `agent_review`, each with what became of it, so that an answer that comes too late is told why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from signalbox.cli.facts import Fact
from signalbox.cli.moments import until
from signalbox.cli.run_facts import runs_of
from signalbox.cli.run_seen import Asked
from signalbox.contracts.decision import Decision
from signalbox.contracts.ids import ROUTE_SLOT
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.contracts.review import Review

Kind = Literal["step", "message"]


@dataclass(frozen=True, slots=True)
class Item:
    """A question to a person. `closed` says what became of it; None while it is open."""

    review: Review
    closed: str | None

    @property
    def kind(self) -> Kind:
        """Whether a workflow's step waits, or a message."""
        return "message" if self.review.token is None else "step"

    @property
    def name(self) -> str:
        """What it is answered by: its token, or the id of its message."""
        return self.review.token or self.review.message.id

    @property
    def default(self) -> str:
        """What holds when nobody answers in time."""
        return self.review.default or "none"

    @property
    def what(self) -> str:
        """It in a few words."""
        review = self.review
        if self.kind == "step":
            return f"step {review.step} of {review.workflow or 'a workflow'}"
        return f"message {review.message.id}"

    def due(self, now_ms: int) -> str:
        """When its time is over, as a person says it."""
        return until(to_epoch_ms(self.review.deadline), now_ms)

    def as_json(self) -> dict[str, Any]:
        """Write it for programs."""
        review = self.review.model_dump(mode="json", exclude_none=True)
        wanted = ("workflow", "step", "token", "reason", "opened_at", "deadline", "candidates")
        return {
            "kind": self.kind,
            "conversation": self.review.conversation_id,
            "message": self.review.message.id,
            **{key: review.get(key) for key in wanted},
            "default": self.default,
            "data": self.review.message.data,
        }


def items_of(facts: Sequence[Fact], now_ms: int) -> tuple[Item, ...]:
    """Return every question that was ever asked, oldest first; of a message that was asked about again, the newest."""
    reviews: dict[str, Review] = {}
    for fact in sorted(facts, key=lambda fact: (fact.at_ms, fact.offset)):
        if isinstance(fact.body, Review):
            reviews[fact.body.token or fact.body.message.id] = fact.body
    asked = _asked(facts, reviews.values())
    bodies = [fact.body for fact in facts]
    decisions = [one for one in bodies if isinstance(one, Decision) and one.path == "human"]
    outcomes = [one for one in bodies if isinstance(one, Outcome)]
    items = [
        Item(
            review,
            _answered(review, decisions, asked)
            or _over(review, outcomes)
            or _stopped(review, asked)
            or _expired(review, now_ms),
        )
        for review in reviews.values()
    ]
    return tuple(sorted(items, key=lambda item: item.review.opened_at))


def found_by(name: str, items: Iterable[Item]) -> tuple[Item, ...]:
    """Return what `name` names: a token, a message, else the open questions of a conversation, else its closed ones."""
    known = tuple(items)
    exact = tuple(item for item in known if item.name == name)
    if exact:
        return exact
    own = tuple(item for item in known if item.review.conversation_id == name)
    return tuple(item for item in own if item.closed is None) or own


def _asked(facts: Sequence[Fact], reviews: Iterable[Review]) -> Mapping[str, Asked]:
    """Return what the runs of workflows tell of their questions, by token."""
    conversations = {one.conversation_id for one in reviews if one.token is not None}
    return {
        asked.token: asked
        for conversation in conversations
        for run in runs_of(conversation, facts)
        for step in run.steps.values()
        for asked in step.asked
    }


def _answered(
    review: Review, decisions: Iterable[Decision], asked: Mapping[str, Asked]
) -> str | None:
    if review.token is not None:
        one = asked.get(review.token)
        return None if one is None or one.answer is None else f"answered: {one.answer}"
    for decision in decisions:
        is_it = (decision.message_id, decision.slot) == (review.message.id, ROUTE_SLOT)
        if is_it and decision.decided_at >= review.opened_at:
            return f"answered: {decision.agent}, {decision.reason}"
    return None


def _over(review: Review, outcomes: Iterable[Outcome]) -> str | None:
    for outcome in outcomes:
        is_it = outcome.conversation_id == review.conversation_id
        if is_it and outcome.started_at <= review.opened_at <= outcome.ended_at:
            return f"over: the conversation ended as {outcome.status}"
    return None


def _stopped(review: Review, asked: Mapping[str, Asked]) -> str | None:
    one = asked.get(review.token or "")
    is_stopped = one is not None and not one.is_open
    return "over: its workflow has stopped" if is_stopped else None


def _expired(review: Review, now_ms: int) -> str | None:
    due_ms = to_epoch_ms(review.deadline)
    if due_ms > now_ms:
        return None
    default = f"; {review.default} is the default" if review.default else ""
    return f"expired {until(due_ms, now_ms)}{default}"
