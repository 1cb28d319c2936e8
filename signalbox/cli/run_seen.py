"""A workflow's run as its records tell of it: what was given out, who was asked, what was undone. No definition is needed.

Times are ms since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from signalbox.cli.run_slots import Slot
from signalbox.contracts.outcome import Outcome
from signalbox.workflows.run import StepStatus

Ending = Literal["open", "answered", "failed", "escalated", "silent"]


@dataclass(slots=True)
class Given:
    """A task of a run.

    Attributes:
        slot: the slot of its record.
        agent: who was given it.
        place: the place of its record among those of the conversation.
        at_ms: when it was written.
        due_ms: when its agent's silence is over, moved by every sign of life; None where the task's record is not there.
        taken_ms: when its agent said that it took it up, where it says so.
        ended_ms: when it was answered, or when the run went on without an answer; None while it is open.
        ending: `silent` is a run that went on without an answer.
        worked_ms: how long the handler took, where that is known; before that the task waited for its agent.
        detail: what the agent said: why it failed or escalated, or of a judge its comment.
        answer: the data of the answer.
    """

    slot: Slot
    agent: str
    place: int
    at_ms: int
    due_ms: int | None = None
    taken_ms: int | None = None
    ended_ms: int | None = None
    ending: Ending = "open"
    worked_ms: int | None = None
    detail: str = ""
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it is waited for."""
        return self.ending == "open"

    def is_stuck(self, now_ms: int) -> bool:
        """Whether it is waited for past its deadline."""
        return self.is_open and self.due_ms is not None and self.due_ms < now_ms

    @property
    def is_accepted(self) -> bool | None:
        """What a judge said; None where it has not, or is none."""
        said = self.answer.get("accepted")
        return said if isinstance(said, bool) else None

    def close(self, at_ms: int) -> None:
        """Note that the run went on at `at_ms`: what has no answer was not waited for any longer."""
        if self.is_open:
            self.ended_ms, self.ending = max(at_ms, self.at_ms), "silent"


@dataclass(slots=True)
class Asked:
    """A person was asked to agree. `answer` is what the record says of it; a run that stops ends it without one."""

    token: str
    number: int
    reason: str
    at_ms: int
    due_ms: int
    default: str
    ended_ms: int | None = None
    answer: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody may still answer."""
        return self.ended_ms is None


@dataclass(slots=True)
class StepSeen:
    """A step and all that was done for it, in order.

    Attributes:
        status: how far it is, in the words of the engine; that it was undone is not in it.
        began_ms: when it was first given out, or a person was first asked.
        ended_ms: when it came to rest; None while it has not.
        skipped: why it is skipped, where its condition says so.
        failed: why it failed for good; skipped all the same where the run went on (`on_failure: skip`).
        is_plan: what it answered was accepted as a plan: its tasks are steps of the run.
        notes: what records of plans and of kinds that are not known here say of it, each with its time.
        place: the place of its first record, and `at_ms` its time.
    """

    id: str
    place: int
    at_ms: int = 0
    status: StepStatus = "pending"
    began_ms: int | None = None
    ended_ms: int | None = None
    work: list[Given] = field(default_factory=list)
    judged: list[Given] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    skipped: str | None = None
    failed: str | None = None
    failed_ms: int | None = None
    failed_place: int = 0
    is_plan: bool = False
    notes: list[tuple[int, str]] = field(default_factory=list)
    planned_agent: str | None = None
    """Who was to do it, where it was approved and no task was seen."""

    @property
    def agent(self) -> str | None:
        """Who does it, as far as records say."""
        return self.work[-1].agent if self.work else self.planned_agent

    @property
    def given(self) -> Iterator[Given]:
        """All tasks: work first, then judgements."""
        yield from self.work
        yield from self.judged

    def is_stuck(self, now_ms: int) -> bool:
        """Whether it waits for an agent past the deadline."""
        return any(one.is_stuck(now_ms) for one in self.given)

    @property
    def everything(self) -> Iterator[Given | Asked]:
        """All tasks, then all questions to a person."""
        yield from self.given
        yield from self.asked

    @property
    def worked_ms(self) -> int | None:
        """How long its agent was at work in all; None where no answer says so."""
        took = [one.worked_ms for one in self.work if one.worked_ms is not None]
        return sum(took) if took else None


@dataclass(slots=True)
class Undoing:
    """A step that is undone. `failed`: why that was given up."""

    step: str
    tries: list[Given] = field(default_factory=list)
    failed: str | None = None
    failed_ms: int | None = None

    def is_stuck(self, now_ms: int) -> bool:
        """Whether it waits for an agent past the deadline."""
        return any(one.is_stuck(now_ms) for one in self.tries)

    @property
    def status(self) -> StepStatus:
        """`compensating`, `compensated`, or `failed` where it was given up or nobody waits for it any more."""
        last = self.tries[-1].ending if self.tries else "failed"
        if self.failed is not None or last == "silent":
            return "failed"
        return "compensated" if last == "answered" else "compensating"


@dataclass(slots=True)
class RunSeen:
    """One run of a workflow in a conversation.

    Attributes:
        start_id: the message that started it.
        name: the workflow; None where no record says it.
        digest: the definitions that its newest record names.
        began_ms: its first record.
        began_at: the same by the orchestrator's clock, which its outcome's times are by.
        undoings: step → how it is undone, in the order in which that began.
        outcome: how its episode ended; None while it is open.
        stopped_ms: when it gave out nothing new any more; None while it does, and of a run that is through.
        cancelled: the record of the cancel: by whom and why.
        drawn: (message, slot) of the records that all this is told from.
    """

    start_id: str
    name: str | None = None
    digest: str = ""
    began_ms: int = 0
    began_at: datetime | None = None
    steps: dict[str, StepSeen] = field(default_factory=dict)
    undoings: dict[str, Undoing] = field(default_factory=dict)
    outcome: Outcome | None = None
    ended_ms: int | None = None
    stopped_ms: int | None = None
    cancelled: str | None = None
    cancelled_ms: int | None = None
    drawn: set[tuple[str, str]] = field(default_factory=set)

    @property
    def status(self) -> str:
        """The outcome's status, else what it does: `running`, `stopping`, `compensating`."""
        if self.outcome is not None:
            return self.outcome.status
        if self.undoings:
            return "compensating"
        return "running" if self.stopped_ms is None else "stopping"

    @property
    def given(self) -> Iterator[Given]:
        """Every task of it."""
        for step in self.steps.values():
            yield from step.given
        for undoing in self.undoings.values():
            yield from undoing.tries

    def stuck(self, now_ms: int) -> tuple[str, ...]:
        """Return the steps that wait for an agent past its deadline, to do, to judge or to undo them; each once."""
        steps = [one.id for one in self.steps.values() if one.is_stuck(now_ms)]
        undone = [one.step for one in self.undoings.values() if one.is_stuck(now_ms)]
        return tuple(dict.fromkeys([*steps, *undone]))

    def status_of(self, step: StepSeen) -> StepStatus:
        """How far a step is, what was undone of it included."""
        undoing = self.undoings.get(step.id)
        return step.status if undoing is None else undoing.status
