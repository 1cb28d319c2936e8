"""The difference between what was decided and what would be: counts, cost, and the conversations it concerns. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from signalbox.contracts.decision import NONE
from signalbox.contracts.record import from_epoch_ms, rfc3339
from signalbox.replay.judging import Case, Judgement, why
from signalbox.replay.records import Fate
from signalbox.routing.rules import Rulebook

Status = Literal["same", "changed", "unknown"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One message under both: what it met then, what it would meet."""

    case: Case
    before: Fate
    after: Judgement
    tokens_before: int
    asked_before: bool
    rulebook: Rulebook

    @property
    def status(self) -> Status:
        """`unknown` where a model's answer is missing, else whether the fates agree."""
        if self.after.unknown is not None:
            return "unknown"
        return "same" if self.before.is_same(self.after.fate) else "changed"

    def as_json(self) -> dict[str, Any]:
        """Write the message as one entry of its conversation."""
        is_unknown = self.after.unknown is not None
        return {
            "id": self.case.message.id,
            "type": self.case.message.type,
            "at": rfc3339(from_epoch_ms(self.case.at_ms)),
            "hop": self.case.before.hops,
            "status": self.status,
            "before": fate_json(self.before),
            "after": None if is_unknown else fate_json(self.after.fate),
            "why": self.after.unknown
            if is_unknown
            else why(self.case, self.before, self.after.fate, self.rulebook),
        }


def fate_json(fate: Fate) -> dict[str, Any]:
    """Write a fate; `path` of what is no decision says what it is instead."""
    value: dict[str, Any] = {
        "agent": fate.agent,
        "path": fate.path or fate.ending,
        "ending": fate.ending,
        "reason": fate.reason,
    }
    return value if fate.code is None else {**value, "code": fate.code}


@dataclass(slots=True)
class Report:
    """Totals over everything; entries of the first `limit` conversations that differ (0: of all)."""

    limit: int
    total: int = 0
    same: int = 0
    changed: int = 0
    unknown: int = 0
    none_to_agent: int = 0
    agent_to_none: int = 0
    path_changed: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    tokens_before_unknown: int = 0
    calls_before: int = 0
    calls_after: int = 0
    affected: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    conversations: list[dict[str, Any]] = field(default_factory=list)

    def skip(self, why_not: str, count: int = 1) -> None:
        """Count messages of the range that no definition has a say in."""
        if count:
            self.skipped[why_not] += count

    def take(self, conversation_id: str, compared: list[Compared]) -> None:
        """Count the messages of one conversation, in order."""
        for one in compared:
            self._count(one)
        differing = [one.as_json() for one in compared if one.status != "same"]
        if not differing:
            return
        self.affected += 1
        if self.limit == 0 or len(self.conversations) < self.limit:
            self.conversations.append({"conversation": conversation_id, "messages": differing})

    def _count(self, one: Compared) -> None:
        self.total += 1
        self.tokens_before += one.tokens_before
        self.calls_before += one.asked_before
        self.calls_after += one.after.asked
        match one.status:
            case "same":
                self.same += 1
                self.path_changed += one.before.path != one.after.fate.path
            case "changed":
                self.changed += 1
                self._direction(one.before, one.after.fate)
            case "unknown":
                self.unknown += 1
                self.tokens_before_unknown += one.tokens_before
        self.tokens_after += one.after.tokens

    def _direction(self, before: Fate, after: Fate) -> None:
        if before.agent == NONE and after.ending == "dispatched":
            self.none_to_agent += 1
        elif before.ending == "dispatched" and after.agent == NONE:
            self.agent_to_none += 1

    def as_json(self) -> dict[str, Any]:
        """Write the report for programs."""
        numbers = (
            "total same changed unknown none_to_agent agent_to_none path_changed tokens_before tokens_after"
            " tokens_before_unknown calls_before calls_after"
        )
        return {
            **{name: getattr(self, name) for name in numbers.split()},
            "skipped": dict(sorted(self.skipped.items())),
            "conversations_affected": self.affected,
            "conversations": self.conversations,
        }
