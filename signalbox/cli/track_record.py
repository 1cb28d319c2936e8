"""How an agent has done its tasks so far, by what the topics still keep: how long its answers took, and how many failed. Pure.

What a decision could expect of the agent it chose. Only proven answers count: those that answer a task the agent was given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from signalbox.cli.facts import Fact
from signalbox.contracts.envelope import TASK_FAILED, TASK_STATUS, Envelope
from signalbox.topics import AGENT_MESSAGES


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Of `answers` answers `failed` were failures; times are from the task on its topic to the answer on `agent_messages`."""

    agent: str
    answers: int
    failed: int
    p50_ms: int
    p99_ms: int

    @property
    def reliability(self) -> float:
        """The share of answers that were no failure, in [0, 1]."""
        return (self.answers - self.failed) / self.answers

    def as_json(self) -> dict[str, Any]:
        """Write it for programs."""
        return {**asdict(self), "reliability": round(self.reliability, 4)}


def track_record(agent: str, facts: Iterable[Fact]) -> TrackRecord | None:
    """Return how `agent` has done its tasks; None where it has answered none that the topics keep."""
    known = list(facts)
    given_ms = {
        fact.body.id: fact.at_ms
        for fact in known
        if fact.task_agent == agent and isinstance(fact.body, Envelope)
    }
    took_ms: dict[str, int] = {}
    failed: set[str] = set()
    for fact in known:
        answer = fact.body
        if fact.topic != AGENT_MESSAGES or not isinstance(answer, Envelope):
            continue
        task = answer.causationid or ""
        is_own = answer.claimed_agent == agent and task in given_ms and task not in took_ms
        if not is_own or answer.type == TASK_STATUS:
            continue
        took_ms[task] = max(0, fact.at_ms - given_ms[task])
        if answer.type == TASK_FAILED:
            failed.add(task)
    return record_of(agent, took_ms.values(), len(failed))


def record_of(agent: str, took_ms: Iterable[int], failed: int) -> TrackRecord | None:
    """Return the record of answers that took so long, of which so many were failures; None without any."""
    times = sorted(took_ms)
    if not times:
        return None
    return TrackRecord(agent, len(times), failed, _at(times, 0.5), _at(times, 0.99))


def _at(times: list[int], share: float) -> int:
    """Return the smallest time within which at least `share` of the answers came."""
    return times[max(0, -int(-share * len(times) // 1) - 1)]
