"""What the topics say about one conversation, and the fate each of its messages met. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.ids import dispatch_id
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.contracts.review import Review
from signalbox.topics import AGENT_TASKS_PREFIX

STOPS: Final = frozenset({"hop_budget", "token_budget", "loop"})
"""Outcomes that a guard writes in place of a dispatch."""

DECIDED_DEAD: Final = frozenset({"unknown_agent", "model_failed"})
"""Dead letters of the orchestrator that depend on definitions. The others are facts: late, expired, overloaded, unreadable."""

Stops = Mapping[tuple[str, str], Outcome]
Ending = Literal["dispatched", "none", "completed", "review", "dead_letter", "stopped"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a message. `agent` is a name, several with commas, `NONE`, or None where nobody was chosen.

    `code` is the dead letter's reason or the stop's status. Two fates are the same when all but path and reason are.
    """

    agent: str | None
    ending: Ending
    path: str | None = None
    reason: str = ""
    code: str | None = None

    def is_same(self, other: Fate) -> bool:
        """Say whether the message went to the same place and ended in the same way."""
        return (self.agent, self.ending, self.code) == (other.agent, other.ending, other.code)


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """A message of the conversation, without its payload. `data_digest` is of the data an agent would be given of it.

    `agent` is the one its source claims, `cause` the task it says it answers.
    """

    id: str
    type: str
    agent: str | None
    cause: str | None
    at_ms: int
    partition: int
    offset: int
    tokens: int
    data_digest: str
    in_range: bool


@dataclass(slots=True)
class Records:
    """The records of one conversation, each kind in the order of its topic."""

    conversation_id: str
    messages: list[SeenMessage] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)

    def decided(self) -> Mapping[str, Sequence[Decision]]:
        """Return message id → its decisions by slot. A decision that was taken again counts as it fell the last time.

        Who hears a message by subscription is no decision about where it goes.
        """
        found: dict[str, dict[str, Decision]] = defaultdict(dict)
        for decision in self.decisions:
            if decision.path == "subscription":
                continue
            found[decision.message_id][decision.slot] = decision
        return {message_id: tuple(slots.values()) for message_id, slots in found.items()}

    def genuine(self) -> Mapping[str, SeenMessage]:
        """Return message id → the message that was admitted under it: the first, and of replies that of the task's agent."""
        agents = {
            dispatch_id(decision.message_id, decision.slot): decision.agent
            for decision in self.decisions
        }
        found: dict[str, SeenMessage] = {}
        for message in self.messages:
            known = found.setdefault(message.id, message)
            if known.agent not in {None, agents.get(known.cause or "")}:
                found[message.id] = message
        return found

    def died(self) -> Mapping[str, DeadLetter]:
        """Return message id → the dead letter that the orchestrator made of it, the first where it made several."""
        found: dict[str, DeadLetter] = {}
        for dead in self.dead_letters:
            # An agent's dead letter is of a task, which is no message.
            if AGENT_TASKS_PREFIX not in dead.topic and dead.message_id is not None:
                found.setdefault(dead.message_id, dead)
        return found

    def stops(self) -> Stops:
        """Return (message id, slot) → the outcome that a guard wrote in place of the decision's dispatch."""
        left = [outcome for outcome in self.outcomes if outcome.status in STOPS]
        found: dict[tuple[str, str], Outcome] = {}
        for decision in self.decisions:
            # One tick, one clock: the record and the outcome of a stop bear the same time. Each is of one decision.
            at_ms = to_epoch_ms(decision.decided_at)
            is_routed = decision.agent != NONE and decision.path != "subscription"
            for outcome in left if is_routed else ():
                if to_epoch_ms(outcome.ended_at) == at_ms and outcome.hops == decision.hop:
                    found[decision.message_id, decision.slot] = outcome
                    left.remove(outcome)
                    break
        return found


def taken_up(decisions: Sequence[Decision], review: Review | None = None) -> Sequence[Decision]:
    """Return what was decided as the message was taken up, in one tick; nothing where a workflow's approval came first.

    What follows is about the same message, but led to by time and by what agents answered: a workflow's further steps, a second
    agent in place of a silent one. Under other definitions nobody knows that.
    """
    if not decisions:
        return ()
    begun = decisions[0].decided_at
    if review is not None and review.step is not None and review.opened_at < begun:
        return ()
    return [decision for decision in decisions if decision.decided_at == begun]


def stop_of(decisions: Sequence[Decision], stops: Stops) -> Outcome | None:
    """Return the outcome in which one of a message's decisions ended; None where all were carried out."""
    found = (stops.get((decision.message_id, decision.slot)) for decision in decisions)
    return next((outcome for outcome in found if outcome is not None), None)


def fate_of(decisions: Sequence[Decision], stop: Outcome | None, message_type: str) -> Fate:
    """Write the decisions of one message as its fate. `stop` is the guard's outcome, where one stopped it."""
    first = decisions[0]
    agent = ", ".join(decision.agent for decision in decisions)
    ending: Ending = "dispatched"
    if stop is not None:
        ending = "stopped"
    elif first.agent == NONE:
        is_complete = first.reason.startswith(f"{message_type} completes the conversation")
        ending = "completed" if is_complete else "none"
    return Fate(agent, ending, first.path, first.reason, None if stop is None else stop.status)


def undecided_fate(review: Review | None, dead: DeadLetter | None) -> Fate | None:
    """Write what became of a message without a decision; None where that is not the definitions' doing, or not known yet."""
    if review is not None:
        return Fate(None, "review", reason=review.reason)
    if dead is not None and dead.reason in DECIDED_DEAD:
        return Fate(None, "dead_letter", reason=dead.detail, code=dead.reason)
    return None
