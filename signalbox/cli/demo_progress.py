"""How far the demo's leads are: a fold over facts. Pure, and the facts may come in any order across topics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from signalbox.cli.demo_leads import Seed
from signalbox.cli.facts import Fact
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review
from signalbox.topics import AGENT_MESSAGES

NOT_SEEN: Final = "on its way in"
DECIDING: Final = "deciding"
REVIEW: Final = "waits for a person"


@dataclass(slots=True)
class Row:
    """One lead: what it is called, which agents had it, where it is now, how it ended (None while it has not)."""

    label: str
    where: str = NOT_SEEN
    agents: list[str] = field(default_factory=list)
    status: str | None = None
    detail: str = ""
    result: Mapping[str, Any] | None = None
    dead_letters: int = 0
    in_review: bool = False
    _latest: tuple[int, int] = (-1, -1)
    _dispatches: list[tuple[int, str]] = field(default_factory=list)

    def move(self, at_ms: int, rank: int, where: str) -> None:
        """Take `where` as the place, unless something later was seen before."""
        if (at_ms, rank) >= self._latest and self.status is None:
            self._latest = (at_ms, rank)
            self.where = where

    def dispatched(self, at_ms: int, agent: str) -> None:
        """Add a task, in the order of times."""
        self._dispatches = sorted([*self._dispatches, (at_ms, agent)])
        self.agents = [name for _, name in self._dispatches]

    @property
    def is_settled(self) -> bool:
        """Whether nothing more comes without a person."""
        return self.status is not None or self.in_review


def unexpected(seeds: Iterable[Seed], progress: Progress) -> list[str]:
    """Return a sentence for each conversation that ended otherwise than its demo file says."""
    found: list[str] = []
    for seed in seeds:
        row = progress.rows[seed.conversation]
        if row.status not in (None, seed.expect or row.status):
            found.append(
                f"{seed.conversation} ended as {row.status}, {seed.expect} was expected: {row.detail}"
            )
        elif row.status is not None:
            result = json.dumps(row.result, ensure_ascii=False)
            missing = [text for text in seed.says if text not in result]
            if missing:
                found.append(f"{seed.conversation}: its result does not say {', '.join(missing)}")
    return found


class Progress:
    """The state of the fold. `labels` maps each seeded conversation to what a person calls it; others are left out."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.rows: dict[str, Row] = {
            conversation: Row(label) for conversation, label in labels.items()
        }
        self.decisions: Counter[str] = Counter()
        """Decisions by path."""
        self.deciders: Counter[str] = Counter()
        """Decisions by who decided, in words: `contract`, `the embedded scorer`, `an LLM`, …"""
        self.placed_nowhere = 0
        """Decisions in which a model (or a person) said that nobody should act; a pipeline's last message is none of them."""
        self.models: set[str] = set()
        """The models that decided."""
        self._message_ms: dict[str, int] = {}
        self._task_ms: dict[str, tuple[str, int]] = {}
        self._decided: set[tuple[str, str]] = set()

    def see(self, fact: Fact) -> None:
        """Take one fact; the same fact twice changes nothing but the count of dead letters."""
        row = self.rows.get(fact.conversation_id or "")
        if row is None:
            return
        match fact.body:
            case Envelope() as task if fact.task_agent is not None:
                if task.id not in self._task_ms:
                    self._task_ms[task.id] = (task.causationid or "", fact.at_ms)
                    row.dispatched(fact.at_ms, fact.task_agent)
                row.move(fact.at_ms, 2, fact.task_agent)
            case Envelope() as message if fact.topic == AGENT_MESSAGES:
                self._message_ms.setdefault(message.id, fact.at_ms)
                row.move(fact.at_ms, 0, DECIDING)
            case Decision() as decision:
                self._see_decision(decision, row)
            case Outcome() as outcome:
                row.status, row.where, row.detail = outcome.status, outcome.status, outcome.detail
                row.result = outcome.result
                row.in_review = False
            case Review():
                row.in_review = row.status is None
                row.move(fact.at_ms, 3, REVIEW)
            case DeadLetter():
                row.dead_letters += 1

    def _see_decision(self, decision: Decision, row: Row) -> None:
        if (decision.message_id, decision.slot) in self._decided:
            return
        self._decided.add((decision.message_id, decision.slot))
        self.decisions[decision.path] += 1
        self.deciders[decider(decision)] += 1
        self.placed_nowhere += decision.agent == NONE and decision.path not in {
            "contract",
            "subscription",
        }
        if decision.model is not None:
            self.models.add(decision.model)

    @property
    def ended(self) -> int:
        """How many leads have an outcome."""
        return sum(row.status is not None for row in self.rows.values())

    @property
    def reviews(self) -> int:
        """How many leads wait for a person."""
        return sum(row.in_review for row in self.rows.values())

    @property
    def is_settled(self) -> bool:
        """Whether every lead ended or waits for a person."""
        return all(row.is_settled for row in self.rows.values())

    @property
    def outcomes(self) -> Counter[str]:
        """Outcomes by status."""
        return Counter(row.status for row in self.rows.values() if row.status is not None)

    @property
    def hops_ms(self) -> list[int]:
        """Hop latencies, sorted: a task's record time minus that of the message which caused it, in ms."""
        return sorted(
            max(0, at_ms - self._message_ms[cause])
            for cause, at_ms in self._task_ms.values()
            if cause in self._message_ms
        )

    def as_json(self, *, seconds: float) -> dict[str, Any]:
        """The demo's last line for programs; `hop_p50_ms` and `hop_p99_ms` are None before the first hop."""
        hops = self.hops_ms
        return {
            "leads": len(self.rows),
            "outcomes": dict(self.outcomes),
            "decisions": dict(self.decisions),
            "dead_letters": sum(row.dead_letters for row in self.rows.values()),
            "reviews": self.reviews,
            "seconds": round(seconds, 3),
            "hop_p50_ms": percentile(hops, 50),
            "hop_p99_ms": percentile(hops, 99),
        }


def decider(decision: Decision) -> str:
    """Say who decided, in words for the summary."""
    if decision.path in {"model", "cache"}:
        is_embedded = (decision.model or "").startswith("embedded")
        return "the embedded scorer" if is_embedded else "an LLM"
    return {"human": "a person", "explicit": "explicit target"}.get(decision.path, decision.path)


def percentile(ordered: list[int], percent: int) -> int | None:
    """Return the smallest value that at least `percent` % of the sorted values do not exceed; None of nothing."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, rank - 1)]
