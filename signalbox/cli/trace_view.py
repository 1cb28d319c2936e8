"""The path of one conversation, folded from its facts and written as lines or JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from signalbox.cli.facts import Fact
from signalbox.cli.moments import duration
from signalbox.cli.screen import Line
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.envelope import TASK_STATUS, Envelope
from signalbox.contracts.ids import PLAN_SLOT, dispatch_id
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import from_epoch_ms, rfc3339
from signalbox.contracts.review import Review
from signalbox.topics import AGENT_MESSAGES

MAX_REASON_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task that a decision led to. `hop_ms` is its record's time minus that of the message which caused it."""

    id: str
    agent: str
    at_ms: int
    hop_ms: int


@dataclass(slots=True)
class Step:
    """One message and what became of it. `answers` names the task it answers, and how long that took."""

    message: Envelope
    at_ms: int
    answers: TaskSeen | None = None
    decisions: list[Decision] = field(default_factory=list)
    tasks: list[TaskSeen] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """A conversation: its messages in the order of their times, its outcomes, and dead letters of unreadable messages."""

    conversation_id: str
    steps: tuple[Step, ...]
    outcomes: tuple[tuple[int, Outcome], ...]
    strays: tuple[tuple[int, DeadLetter], ...]

    @property
    def started_ms(self) -> int:
        """The time of the first record."""
        times = [step.at_ms for step in self.steps] + [
            at for at, _ in (*self.outcomes, *self.strays)
        ]
        return min(times, default=0)


def trace_of(conversation_id: str, facts: Iterable[Fact]) -> Trace | None:
    """Fold the facts of one conversation (others are left out); None when there are none.

    The same message twice is one step with `duplicates`; a decision, task, review or dead letter belongs to its message.
    """
    own = sorted(
        (fact for fact in facts if fact.conversation_id == conversation_id),
        key=lambda fact: (fact.at_ms, fact.topic, fact.partition, fact.offset),
    )
    if not own:
        return None
    steps = _steps(own)
    tasks: dict[str, TaskSeen] = {}
    strays: list[tuple[int, DeadLetter]] = []
    for fact in own:
        _place(fact, steps, tasks, strays)
    for step in steps.values():
        step.answers = tasks.get(step.message.causationid or "")
    outcomes = tuple((fact.at_ms, fact.body) for fact in own if isinstance(fact.body, Outcome))
    return Trace(conversation_id, tuple(steps.values()), outcomes, tuple(strays))


def _steps(facts: list[Fact]) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    for fact in facts:
        if fact.topic != AGENT_MESSAGES or not isinstance(fact.body, Envelope):
            continue
        known = steps.setdefault(fact.body.id, Step(fact.body, fact.at_ms))
        if known.message is not fact.body:
            known.duplicates += 1
    return steps


def _place(
    fact: Fact,
    steps: dict[str, Step],
    tasks: dict[str, TaskSeen],
    strays: list[tuple[int, DeadLetter]],
) -> None:
    match fact.body:
        case Decision() as decision if decision.message_id in steps:
            steps[decision.message_id].decisions.append(decision)
        case Review() as review if review.message.id in steps:
            steps[review.message.id].reviews.append(review)
        case DeadLetter() as dead:
            # The dead letter of a task belongs to the message that the task was made of.
            owner = tasks.get(dead.message_id or "")
            step = steps.get(dead.message_id or "") or _step_of_task(steps, owner)
            if step is None:
                strays.append((fact.at_ms, dead))
            else:
                step.dead_letters.append(dead)
        case Envelope() as task if fact.task_agent is not None:
            step = steps.get(task.causationid or "")
            began = step.at_ms if step is not None else fact.at_ms
            seen = TaskSeen(task.id, fact.task_agent, fact.at_ms, max(0, fact.at_ms - began))
            if step is not None and task.id not in tasks:
                step.tasks.append(seen)
            tasks.setdefault(task.id, seen)


def _step_of_task(steps: dict[str, Step], task: TaskSeen | None) -> Step | None:
    if task is None:
        return None
    return next((step for step in steps.values() if task in step.tasks), None)


def lines_of(trace: Trace) -> Iterator[Line]:
    """Write the trace for a person: how it ended, and a timeline."""
    yield headline(trace)
    yield Line("")
    yield from timeline(trace)


def timeline(trace: Trace) -> Iterator[Line]:
    """Write each message with the decisions it led to, in the order of their times."""
    start = trace.started_ms
    moments: list[tuple[int, int, Step | Outcome | DeadLetter]] = [
        *((step.at_ms, 0, step) for step in trace.steps),
        *((at, 1, dead) for at, dead in trace.strays),
        *((at, 2, outcome) for at, outcome in trace.outcomes),
    ]
    for at, _, moment in sorted(moments, key=lambda item: item[:2]):
        elapsed = f"{duration(at - start, sign=True):>9}"
        match moment:
            case Step():
                yield from _step_lines(moment, elapsed, start)
            case Outcome():
                detail = f"  {moment.detail}" if moment.detail else ""
                yield Line(f"{elapsed}  ■ {moment.status}{detail}", _outcome_style(moment))
            case DeadLetter():
                yield Line(f"{elapsed}  ✗ dead letter {moment.reason}: {moment.detail}", "red")


def worth_explaining(trace: Trace) -> str | None:
    """Return the message whose decision is least obvious: the last one a model made, else the first; None without one."""
    decided = [step for step in trace.steps if step.decisions]
    asked = [step for step in decided if any(d.model is not None for d in step.decisions)]
    chosen = asked[-1:] or decided[:1]
    return chosen[0].message.id if chosen else None


def headline(trace: Trace) -> Line:
    """Say how the conversation ended, and what it took."""
    if not trace.outcomes:
        so_far = _count(len(trace.steps), "message")
        return Line(f"{trace.conversation_id}: still open, {so_far} so far", "bold")
    parts = []
    for _, outcome in trace.outcomes:
        took = int((outcome.ended_at - outcome.started_at).total_seconds() * 1000)
        parts.append(
            f"{outcome.status} in {duration(took)}, {_count(outcome.hops, 'hop')}, {_count(outcome.tokens, 'token')}"
        )
    return Line(f"{trace.conversation_id}: " + "; then ".join(parts), "bold")


def _step_lines(step: Step, elapsed: str, start_ms: int) -> Iterator[Line]:
    message = step.message
    notes = [f"from {message.source}"]
    if step.answers is not None:
        notes.append(f"after {duration(step.at_ms - step.answers.at_ms)}")
    if message.tokensused:
        notes.append(_count(message.tokensused, "token"))
    if step.duplicates:
        notes.append(f"arrived {step.duplicates + 1} times, counted once")
    yield Line(f"{elapsed}  ● {message.type:<18} {' · '.join(notes)}", "cyan")
    yield Line(f"{'':>9}    {message.id}", "dim")
    if message.type == TASK_STATUS:
        yield Line(f"{'':>9}    └─ {_progress(message)}")
    for decision in step.decisions:
        # By its slot: an agent may have several tasks of one message.
        given = dispatch_id(decision.message_id, decision.slot)
        task = next((task for task in step.tasks if task.id == given), None)
        yield from _decision_lines(decision, task, start_ms)
    for review in step.reviews:
        text = f"? waits for a person until {rfc3339(review.deadline)}: {review.reason}"
        yield Line(f"{'':>9}    └─ {text}", "yellow")
    for dead in step.dead_letters:
        yield Line(f"{'':>9}    └─ ✗ dead letter {dead.reason}: {dead.detail}", "red")


def _progress(message: Envelope) -> str:
    """Say in words how far a task is."""
    data = message.data
    if data.get("state") == "assigned":
        return "taken up" + (f", attempt {data['attempt']}" if data.get("attempt", 1) != 1 else "")
    percent = data.get("percent")
    done = f"{percent:g} %: " if isinstance(percent, int | float) else ""
    return _shortened(f"{done}{data.get('status') or 'still working'}")


def _decision_lines(decision: Decision, task: TaskSeen | None, start_ms: int) -> Iterator[Line]:
    elapsed = duration(task.at_ms - start_ms, sign=True) if task is not None else ""
    hop = f"  ({duration(task.hop_ms)})" if task is not None else ""
    yield Line(
        f"{elapsed:>9}    └─ {chosen(decision):<18} by {how(decision)}{hop}", _style_of(decision)
    )
    yield Line(f"{'':>9}       {_shortened(decision.reason)}")


def _shortened(reason: str) -> str:
    # A reason that lists every candidate's violations is `explain`'s to show in full.
    if len(reason) <= MAX_REASON_CHARS:
        return reason
    return reason[:MAX_REASON_CHARS].rpartition(" ")[0] + " …"


def chosen(decision: Decision) -> str:
    """Say whom a decision chose, or what became of a plan."""
    kind, _, rest = decision.slot.partition(":")
    if kind != PLAN_SLOT:
        return decision.agent
    return "plan refused" if ":" in rest else "plan accepted"


def how(decision: Decision) -> str:
    """Say in a few words how a decision fell: its path, and for a model which one and how sure."""
    words: list[str] = [decision.path]
    if decision.model:
        words.append(decision.model)
    if decision.confidence is not None:
        words.append(f"confidence {decision.confidence:.2f}")
    if decision.cached:
        words.append("cached")
    return ", ".join(words)


def as_json(trace: Trace) -> dict[str, Any]:
    """Write the trace for programs; times are RFC 3339 or whole milliseconds, records as they are on their topics."""
    return {
        "conversation": trace.conversation_id,
        "status": trace.outcomes[-1][1].status if trace.outcomes else None,
        "steps": [_step_json(step) for step in trace.steps],
        "outcomes": [_record(outcome) for _, outcome in trace.outcomes],
        "dead_letters": [_record(dead) for _, dead in trace.strays],
    }


def _step_json(step: Step) -> dict[str, Any]:
    message = step.message
    return {
        "message": {
            "id": message.id,
            "type": message.type,
            "source": message.source,
            "causationid": message.causationid,
            "at": rfc3339(from_epoch_ms(step.at_ms)),
            "tokensused": message.tokensused,
            "data": message.data,
        },
        "answers_task": step.answers.id if step.answers else None,
        "agent_ms": step.at_ms - step.answers.at_ms if step.answers else None,
        "duplicates": step.duplicates,
        "decisions": [_record(decision) for decision in step.decisions],
        "tasks": [
            {"id": task.id, "agent": task.agent, "hop_ms": task.hop_ms} for task in step.tasks
        ],
        "reviews": [_record(review) for review in step.reviews],
        "dead_letters": [_record(dead) for dead in step.dead_letters],
    }


def _record(record: Decision | Outcome | Review | DeadLetter) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude_none=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _style_of(decision: Decision) -> str:
    return "yellow" if chosen(decision) in {NONE, "plan refused"} else "green"


def _outcome_style(outcome: Outcome) -> str:
    return "bold green" if outcome.status == "completed" else "bold yellow"
