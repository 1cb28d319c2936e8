"""A conversation as its page shows it: what happened, in the order of its time, and how long each hop took of what. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from signalbox.contracts.ids import dispatch_id

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hop:
    """A decision and the task it led to. `model_ms` asking a model, `queue_ms` all else until the task was written."""

    decision: Record
    task: Record | None
    model_ms: int
    queue_ms: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One message with what became of it, or one outcome. `agent_ms`: from the task it answers to the answer.

    `key` is the same each time the entry is shown, and no other entry's.
    """

    key: str
    since_ms: int
    at: str
    step: Record | None = None
    outcome: Record | None = None
    hops: tuple[Hop, ...] = ()

    @property
    def agent_ms(self) -> int | None:
        """How long the agent that wrote the message took for its task."""
        return None if self.step is None else self.step["agent_ms"]


def entries_of(told: Record) -> list[Entry]:
    """Return the entries of what `GET /conversations/{id}` says."""
    steps = told["timeline"]
    outcomes = told["outcomes"]
    if not steps and not outcomes:
        return []
    start = min(
        [_moment(one["message"]["at"]) for one in steps]
        + [_moment(one["started_at"]) for one in outcomes]
    )

    def since(at: str) -> int:
        return max(0, int((_moment(at) - start).total_seconds() * 1000))

    said = [
        Entry(
            f"m{number}",
            since(step["message"]["at"]),
            step["message"]["at"],
            step=step,
            hops=tuple(_hop(step, decision) for decision in step["decisions"]),
        )
        for number, step in enumerate(steps)
    ]
    ended = [
        Entry(f"o{one['episode']}", since(one["ended_at"]), one["ended_at"], outcome=one)
        for one in outcomes
    ]
    return sorted([*said, *ended], key=lambda entry: (entry.since_ms, entry.outcome is not None))


def _hop(step: Record, decision: Record) -> Hop:
    given = dispatch_id(decision["message_id"], decision["slot"])
    task = next((one for one in step["tasks"] if one["id"] == given), None)
    model_ms = decision["latency_ms"] if decision.get("model") else 0
    queue_ms = None if task is None else max(0, task["hop_ms"] - model_ms)
    return Hop(decision, task, model_ms, queue_ms)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
