"""Facts as movements on the live picture: how many went along which line, by which path, and the newest decisions. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signalbox.cli.facts import Fact
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import from_epoch_ms, rfc3339
from signalbox.contracts.review import Review

MAX_LINES: Final = 8
"""Of one batch; a person reads no more in a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What moved. `edges` by name: `in`, `to:AGENT`, `from:AGENT`, `ended`, `asked`, `dead`; `lines` the newest decisions."""

    edges: dict[str, int]
    paths: dict[str, int]
    lines: list[dict[str, Any]]
    left_out: int

    def as_json(self) -> dict[str, Any]:
        """Write it for the page's script."""
        return {
            "edges": self.edges,
            "paths": self.paths,
            "lines": self.lines,
            "left_out": self.left_out,
        }


def moves_of(facts: Sequence[Fact], types: Mapping[str, str], left_out: int = 0) -> Moves:
    """Count what facts say.

    Args:
        facts: what was learnt at once.
        types: message id → its type, also of messages that were learnt before.
        left_out: so many facts were too many to be told.
    """
    edges = Counter(filter(None, map(edge_of, facts)))
    decisions = [(fact, fact.body) for fact in facts if isinstance(fact.body, Decision)]
    paths: Counter[str] = Counter(decision.path for _, decision in decisions)
    return Moves(dict(edges), dict(paths), list(_lines(decisions[-MAX_LINES:], types)), left_out)


def types_of(facts: Iterable[Fact]) -> dict[str, str]:
    """Return the types of messages by id."""
    return {
        fact.body.id: fact.body.type
        for fact in facts
        if isinstance(fact.body, Envelope) and fact.task_agent is None
    }


def edge_of(fact: Fact) -> str | None:
    """Name the line that a fact moved along."""
    match fact.body:
        case Envelope() if fact.task_agent is not None:
            return f"to:{fact.task_agent}"
        case Envelope() as message:
            agent = message.claimed_agent
            return "in" if agent is None else f"from:{agent}"
        case Outcome():
            return "ended"
        case Review():
            return "asked"
        case DeadLetter():
            return "dead"
        case _:
            return None


def _lines(
    decisions: Iterable[tuple[Fact, Decision]], types: Mapping[str, str]
) -> Iterable[dict[str, Any]]:
    for fact, decision in decisions:
        yield {
            "at": rfc3339(from_epoch_ms(fact.at_ms)),
            "conversation": decision.conversation_id,
            "type": types.get(decision.message_id),
            "agent": None if decision.agent == NONE else decision.agent,
            "path": decision.path,
            "reason": decision.reason,
        }
