"""An episode of a conversation as spans: who sent it, each decision, each task an agent had, and how it ended. Pure.

Times are the records' on their topics, by the broker's clock, so spans of different machines fit together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from signalbox.cli.trace_view import Step, TaskSeen, Trace, chosen
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import TASK_FAILED, TASK_STATUS
from signalbox.contracts.ids import dispatch_id
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.tracing.ids import TraceContext, context_of, span_id

ORCHESTRATOR_SERVICE: Final = "signalbox-orchestrator"
_FINE: Final = frozenset({"completed", "none", "cancelled"})
_MAX_WAY_IN_MS: Final = 60_000
"""A message whose own time is further from its record's has another clock; then its way onto the topic is not measured."""

SpanKind = Literal["internal", "producer", "consumer"]
Value = str | bool | int | float


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened at one moment of a span."""

    name: str
    at_ms: int
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One span. `error` says what went wrong, and is None where nothing did; times are ms since 1970."""

    name: str
    service: str
    kind: SpanKind
    trace_id: int
    id: int
    parent: int | None
    start_ms: int
    end_ms: int
    attributes: dict[str, Value] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Episode:
    """What belongs to one outcome: the steps since the one before it."""

    trace: Trace
    number: int
    outcome: Outcome
    ended_ms: int
    steps: tuple[Step, ...]
    context: TraceContext

    @property
    def root(self) -> int:
        return span_id("episode", self.trace.conversation_id, str(self.outcome.episode))


def spans_of(trace: Trace, episode: int) -> tuple[Span, ...]:
    """Return the spans of the episode with this number; none where it is not there, or its sender does not want it kept.

    Equal facts give equal spans. What is on the topics later than the episode's outcome is not in them.
    """
    found = _episode(trace, episode)
    if found is None or not found.context.is_sampled:
        return ()
    return (_root(found), *_of_steps(found))


def _episode(trace: Trace, episode: int) -> _Episode | None:
    before_ms = -1
    for number, (at_ms, outcome) in enumerate(sorted(trace.outcomes, key=lambda one: one[0])):
        if outcome.episode == episode:
            steps = tuple(step for step in trace.steps if before_ms < step.at_ms <= at_ms)
            if not steps:
                return None
            context = context_of(trace.conversation_id, steps[0].message.traceparent)
            return _Episode(trace, number, outcome, at_ms, steps, context)
        before_ms = at_ms
    return None


def _root(episode: _Episode) -> Span:
    outcome, first = episode.outcome, episode.steps[0]
    is_fine = outcome.status in _FINE
    letters = [
        SpanEvent("dead letter", at_ms, {"signalbox.reason": dead.reason})
        for at_ms, dead in episode.trace.strays
        if first.at_ms <= at_ms <= episode.ended_ms
    ]
    return Span(
        name=f"conversation {first.message.type}",
        service=ORCHESTRATOR_SERVICE,
        kind="internal",
        trace_id=episode.context.trace_id,
        id=episode.root,
        parent=episode.context.parent,
        start_ms=_way_in_began(first),
        end_ms=max(episode.ended_ms, first.at_ms),
        attributes={
            "signalbox.conversation": outcome.conversation_id,
            "signalbox.episode": outcome.episode,
            "signalbox.status": outcome.status,
            "signalbox.hops": outcome.hops,
            "signalbox.tokens": outcome.tokens,
        },
        events=tuple(letters),
        error=None if is_fine else outcome.detail or outcome.status,
    )


def _of_steps(episode: _Episode) -> Iterator[Span]:
    ends = _ends(episode.steps)
    for step in episode.steps:
        if step.message.type == TASK_STATUS:
            continue  # an event of the task's span
        parent = episode.root
        if step.answers is not None:
            parent = span_id("task", step.answers.id)
        else:
            yield _way_in(episode, step)
            parent = span_id("message", step.message.id)
        by_task = {dispatch_id(one.message_id, one.slot): one for one in step.decisions}
        for task in step.tasks:
            yield _decision(episode, step, by_task.pop(task.id, None), task, parent)
            yield _task(episode, task, ends.get(task.id), step)
        for decision in by_task.values():
            yield _decision(episode, step, decision, None, parent)


def _ends(steps: Sequence[Step]) -> dict[str, Step]:
    """Return task → the message that ended it: the first that is no status."""
    ends: dict[str, Step] = {}
    for step in steps:
        if step.answers is not None and step.message.type != TASK_STATUS:
            ends.setdefault(step.answers.id, step)
    return ends


def _way_in(episode: _Episode, step: Step) -> Span:
    message = step.message
    dead = _first(step.dead_letters)
    return Span(
        name=f"publish {message.type}",
        service=f"signalbox-{message.source.partition('/')[0]}",
        kind="producer",
        trace_id=episode.context.trace_id,
        id=span_id("message", message.id),
        parent=episode.root,
        start_ms=_way_in_began(step),
        end_ms=step.at_ms,
        attributes={
            "messaging.system": "kafka",
            "messaging.message.id": message.id,
            "signalbox.source": message.source,
            "signalbox.type": message.type,
            "signalbox.priority": message.priority,
            "signalbox.duplicates": step.duplicates,
        },
        events=tuple(
            SpanEvent("waits for a person", step.at_ms, {"signalbox.reason": review.reason})
            for review in step.reviews
        ),
        error=None if dead is None else f"{dead.reason}: {dead.detail}",
    )


def _way_in_began(step: Step) -> int:
    said_ms = to_epoch_ms(step.message.time)
    is_same_clock = 0 <= step.at_ms - said_ms <= _MAX_WAY_IN_MS
    return said_ms if is_same_clock and step.answers is None else step.at_ms


def _decision(
    episode: _Episode, step: Step, decision: Decision | None, task: TaskSeen | None, parent: int
) -> Span:
    slot = decision.slot if decision is not None else "" if task is None else task.id
    decided_ms = step.at_ms if decision is None else to_epoch_ms(decision.decided_at)
    end_ms = task.at_ms if task is not None else min(decided_ms, episode.ended_ms)
    who = chosen(decision) if decision is not None else "" if task is None else task.agent
    return Span(
        name=f"decide {who}" if decision is not None else f"subscribe {who}",
        service=ORCHESTRATOR_SERVICE,
        kind="consumer",
        trace_id=episode.context.trace_id,
        id=span_id("decision", step.message.id, slot),
        parent=parent,
        start_ms=step.at_ms,
        end_ms=max(step.at_ms, end_ms),
        attributes=_of_decision(step, decision),
    )


def _of_decision(step: Step, decision: Decision | None) -> dict[str, Value]:
    if decision is None:
        return {"signalbox.message": step.message.id}
    said: dict[str, Value | None] = {
        "signalbox.message": decision.message_id,
        "signalbox.slot": decision.slot,
        "signalbox.path": decision.path,
        "signalbox.reason": decision.reason,
        "signalbox.confidence": decision.confidence,
        "signalbox.definitions": decision.definitions_digest,
    }
    if decision.model is not None:
        said |= {
            "gen_ai.request.model": decision.model,
            "gen_ai.usage.input_tokens": decision.tokens_in,
            "gen_ai.usage.output_tokens": decision.tokens_out,
            "signalbox.model_ms": decision.latency_ms,
            "signalbox.model_attempts": decision.attempts,
            "signalbox.cached": decision.cached,
        }
    return {name: value for name, value in said.items() if value is not None}


def _task(episode: _Episode, task: TaskSeen, end: Step | None, cause: Step) -> Span:
    dead = _first([one for one in cause.dead_letters if one.message_id == task.id])
    end_ms = end.at_ms if end is not None else episode.ended_ms
    decided = next(
        (one for one in cause.decisions if dispatch_id(one.message_id, one.slot) == task.id), None
    )
    slot = decided.slot if decided is not None else task.id
    attributes: dict[str, Value] = {"signalbox.agent": task.agent, "signalbox.task": task.id}
    if end is not None:
        attributes["signalbox.answer"] = end.message.type
        attributes["signalbox.tokens"] = end.message.tokensused
        if end.message.processingms is not None:
            attributes["signalbox.processing_ms"] = end.message.processingms
    if dead is not None:
        attributes["signalbox.attempts"] = dead.attempts
    return Span(
        name=f"handle {task.agent}",
        service=f"agent-{task.agent}",
        kind="consumer",
        trace_id=episode.context.trace_id,
        id=span_id("task", task.id),
        parent=span_id("decision", cause.message.id, slot),
        start_ms=task.at_ms,
        end_ms=max(task.at_ms, end_ms),
        attributes=attributes,
        events=_statuses(episode.steps, task),
        error=_error_of(end, dead),
    )


def _error_of(end: Step | None, dead: DeadLetter | None) -> str | None:
    if dead is not None:
        return f"{dead.reason}: {dead.detail}"
    if end is None:
        return "no answer before the conversation ended"
    if end.message.type == TASK_FAILED:
        return str(end.message.data.get("detail") or end.message.data.get("reason") or "failed")
    # Escalated: a person decides, and nothing went wrong.
    return None


def _statuses(steps: Sequence[Step], task: TaskSeen) -> tuple[SpanEvent, ...]:
    return tuple(
        SpanEvent(
            str(step.message.data.get("status") or step.message.data.get("state") or "status"),
            step.at_ms,
        )
        for step in steps
        if step.message.type == TASK_STATUS
        and step.answers is not None
        and step.answers.id == task.id
    )


def _first(letters: Sequence[DeadLetter]) -> DeadLetter | None:
    return letters[0] if letters else None
