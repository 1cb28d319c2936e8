"""The runs of all conversations, found in the facts and written as lines or JSON. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signalbox.cli.facts import Fact
from signalbox.cli.moments import duration, until
from signalbox.cli.run_facts import runs_of
from signalbox.cli.run_seen import Asked, RunSeen
from signalbox.cli.screen import Line
from signalbox.contracts.decision import Decision
from signalbox.contracts.record import from_epoch_ms, rfc3339
from signalbox.contracts.review import Review

_TITLES: Final = ("conversation", "workflow", "status", "for", "waits for")
_MAX_WAITS: Final = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """A run and the conversation it is in."""

    conversation: str
    run: RunSeen

    def waits_for(self, now_ms: int) -> tuple[str, ...]:
        """Say for whom it waits and until when, who is late first; empty where it is over, or about to go on."""
        if self.run.outcome is not None:
            return ()
        found: list[tuple[bool, int, str]] = []
        for given in self.run.given:
            if given.is_open:
                due = "" if given.due_ms is None else f" {until(given.due_ms, now_ms)}"
                mark = "! " if given.is_stuck(now_ms) else ""
                text = f"{mark}{given.slot.step}: {given.agent}{due}"
                found.append((not mark, given.at_ms, text))
        for step in self.run.steps.values():
            found += [
                (True, one.at_ms, _person(step.id, one, now_ms))
                for one in step.asked
                if one.is_open
            ]
        return tuple(text for _, _, text in sorted(found))

    def as_json(self, now_ms: int) -> dict[str, Any]:
        """Write it for programs."""
        run = self.run
        ended_ms = now_ms if run.ended_ms is None else run.ended_ms
        return {
            "conversation": self.conversation,
            "workflow": run.name,
            "status": run.status,
            "started_by": run.start_id,
            "started_at": rfc3339(from_epoch_ms(run.began_ms)),
            "ms": max(0, ended_ms - run.began_ms),
            "stuck": list(run.stuck(now_ms)),
            "waits_for": list(self.waits_for(now_ms)),
        }


def all_runs(facts: Iterable[Fact]) -> list[Listed]:
    """Return every run that the topics keep, the oldest first."""
    by_conversation: dict[str, list[Fact]] = defaultdict(list)
    with_runs: set[str] = set()
    for fact in facts:
        if fact.conversation_id is None:
            continue
        by_conversation[fact.conversation_id].append(fact)
        match fact.body:
            case Decision(path="workflow"):
                with_runs.add(fact.conversation_id)
            case Review(step=str()):
                with_runs.add(fact.conversation_id)
    found = [Listed(one, run) for one in with_runs for run in runs_of(one, by_conversation[one])]
    return sorted(found, key=lambda one: (one.run.began_ms, one.conversation, one.run.start_id))


def lines_of(listed: Sequence[Listed], now_ms: int) -> Iterator[Line]:
    """Yield the table."""
    rows = [_cells(one, now_ms) for one in listed]
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    yield Line(_joined(_TITLES, widths), "dim")
    for one, row in zip(listed, rows, strict=True):
        yield Line(_joined(row, widths), "bold red" if one.run.stuck(now_ms) else "")


def _cells(one: Listed, now_ms: int) -> tuple[str, ...]:
    run = one.run
    ended_ms = now_ms if run.ended_ms is None else run.ended_ms
    waits = one.waits_for(now_ms)
    more = f", and {len(waits) - _MAX_WAITS} more" if len(waits) > _MAX_WAITS else ""
    took = duration(max(0, ended_ms - run.began_ms))
    return one.conversation, run.name or "–", run.status, took, "; ".join(waits[:_MAX_WAITS]) + more


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()


def _person(step_id: str, asked: Asked, now_ms: int) -> str:
    return f"{step_id}: a person {until(asked.due_ms, now_ms)}"
