"""What is open in a conversation at the end of a window: tasks, questions, a message that nobody decided. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from signalbox.cli.facts import Fact
from signalbox.cli.inbox import items_of
from signalbox.cli.run_facts import runs_of
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import ORCHESTRATOR, TASK_STATUS, Envelope
from signalbox.contracts.ids import ROUTE_SLOT, dispatch_id
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.flow.window import UNDECIDED_MS, Seen, Span
from signalbox.topics import AGENT_MESSAGES


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task that is waited for. `due_ms` is when its agent's silence is over; None where nobody said."""

    agent: str
    at_ms: int
    due_ms: int | None


@dataclass(slots=True)
class OpenThings:
    """What is open in many conversations, each with when it began."""

    _undecided: list[tuple[int, str]] = field(default_factory=list)
    _overdue: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    _silent: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    _questions: list[tuple[int, str]] = field(default_factory=list)
    _late: list[tuple[int, str]] = field(default_factory=list)

    def take(
        self, conversation: str, facts: Sequence[Fact], span: Span, living: Collection[str]
    ) -> None:
        """Look into one conversation, whose facts come in any order; `living` are the agents that send heartbeats."""
        now_ms = span.end_ms
        own = sorted(facts, key=lambda one: (one.at_ms, one.topic, one.partition, one.offset))
        tasks = [one for one in open_tasks(conversation, own) if one.at_ms >= span.open_ms]
        for task in tasks:
            if task.due_ms is not None and task.due_ms < now_ms:
                self._overdue[task.agent].append((task.at_ms, conversation))
            if task.agent not in living:
                self._silent[task.agent].append((task.at_ms, conversation))
        items = [item for item in items_of(own, now_ms) if item.closed is None]
        for item in items:
            opened_ms = to_epoch_ms(item.review.opened_at)
            self._questions.append((opened_ms, item.name))
            if 2 * now_ms > opened_ms + to_epoch_ms(item.review.deadline):
                self._late.append((opened_ms, item.name))
        since_ms = None if tasks or items else undecided_since(own)
        if since_ms is not None and span.open_ms <= since_ms < now_ms - UNDECIDED_MS:
            self._undecided.append((since_ms, conversation))

    def fields(self, now_ms: int) -> dict[str, Any]:
        """Return it as fields of a `FlowWindow`; the example of each is the oldest."""
        return {
            "undecided": _seen(self._undecided, now_ms),
            "overdue": {agent: _seen(each, now_ms) for agent, each in self._overdue.items()},
            "silent": {agent: _seen(each, now_ms) for agent, each in self._silent.items()},
            "questions": _seen(self._questions, now_ms),
            "late_questions": _seen(self._late, now_ms),
        }


def may_be_open(facts: Iterable[Fact]) -> bool:
    """Say whether something may be open in a conversation: cheaper than to look, and wrong only in saying yes."""
    ended_ms, last_ms = -1, 0
    for fact in facts:
        if isinstance(fact.body, Outcome):
            ended_ms = max(ended_ms, fact.at_ms)
        else:
            last_ms = max(last_ms, fact.at_ms)
    return last_ms >= ended_ms


def open_tasks(conversation: str, facts: Sequence[Fact]) -> Iterator[OpenTask]:
    """Yield the tasks that are waited for: those of a workflow as its run says, the others until they are answered or given up.

    Args:
        conversation: its id.
        facts: of it, in the order of time.
    """
    of_runs: set[str] = set()
    for run in runs_of(conversation, facts):
        for given in run.given:
            of_runs.add(dispatch_id(run.start_id, given.slot.text))
            if given.is_open:
                yield OpenTask(given.agent, given.at_ms, given.due_ms)
    ended_ms = max((one.at_ms for one in facts if isinstance(one.body, Outcome)), default=-1)
    lives, closed = _answers(facts)
    seen: set[str] = set()
    for fact in facts:
        task = fact.body
        if fact.task_agent is None or not isinstance(task, Envelope) or task.id in seen:
            continue
        seen.add(task.id)
        is_over = task.id in of_runs or task.id in closed or fact.at_ms <= ended_ms
        if not is_over:
            yield OpenTask(fact.task_agent, fact.at_ms, _due_ms(task, lives.get(task.id)))


def undecided_since(facts: Sequence[Fact]) -> int | None:
    """Return when the last message came that the job has written nothing after; None where it has, or owes nothing.

    What the orchestrator says itself, signs of life and a message sent again owe no decision.
    """
    last_ms: int | None = None
    ids: set[str] = set()
    for fact in facts:
        message = fact.body
        if fact.topic == AGENT_MESSAGES and isinstance(message, Envelope):
            is_owed = message.type != TASK_STATUS and message.source != ORCHESTRATOR
            if is_owed and message.id not in ids:
                last_ms = fact.at_ms
            ids.add(message.id)
    if last_ms is None:
        return None
    since = last_ms
    return (
        None
        if any(one.topic != AGENT_MESSAGES and one.at_ms >= since for one in facts)
        else last_ms
    )


def _answers(facts: Iterable[Fact]) -> tuple[Mapping[str, int], set[str]]:
    """Return the last sign of life of each task, and the tasks that were answered or given up."""
    lives: dict[str, int] = {}
    closed: set[str] = set()
    for fact in facts:
        match fact.body:
            case DeadLetter(message_id=str() as task_id):
                closed.add(task_id)
            case Decision() as decision if (taken_back := _slot_before(decision.slot)) is not None:
                closed.add(dispatch_id(decision.message_id, taken_back))
            case Envelope() as message if fact.topic == AGENT_MESSAGES and message.claimed_agent:
                task_id = message.causationid or ""
                if message.type == TASK_STATUS:
                    lives[task_id] = fact.at_ms
                else:
                    closed.add(task_id)
    return lives, closed


def _slot_before(slot: str) -> str | None:
    """Return the slot of the task that was taken back before a message was decided again as `route:2`; None of a first decision."""
    name, _, number = slot.partition(":")
    if name != ROUTE_SLOT or not number.isdecimal():
        return None
    return ROUTE_SLOT if int(number) == 2 else f"{ROUTE_SLOT}:{int(number) - 1}"


def _due_ms(task: Envelope, alive_ms: int | None) -> int | None:
    if task.deadline is None:
        return None
    due_ms = to_epoch_ms(task.deadline)
    return due_ms if alive_ms is None else max(due_ms, alive_ms + due_ms - to_epoch_ms(task.time))


def _seen(found: Sequence[tuple[int, str]], now_ms: int) -> Seen:
    if not found:
        return Seen()
    began_ms, example = min(found)
    return Seen(len(found), example, max(0, now_ms - began_ms))
