"""How far one run of a workflow is: small, part of its conversation's blob. What was sent and answered is in `results`, by number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, NamedTuple, Self

from signalbox.evolving import Evolving

StepStatus = Literal[
    "pending",
    "waiting_approval",
    "running",
    "validating",
    "done",
    "skipped",
    "failed",
    "compensating",
    "compensated",
]
RunPhase = Literal["running", "stopping", "compensating", "ended"]
"""`stopping`: a step failed, those that run come to rest first, because they may have effects that must be undone."""
RunVerdict = Literal[
    "completed",
    "failed",
    "expired",
    "hop_budget",
    "token_budget",
    "loop",
    "compensated",
    "cancelled",
]

MAX_DETAIL_CHARS: Final = 300


@dataclass(frozen=True)
class StepRun(Evolving):
    """How far one step is.

    Attributes:
        status: `validating` has a result that a second agent judges; `failed` is also a compensation that was given up.
        attempt: tasks given out in this status, from 1; what `retries` counts.
        given: tasks its agent was given in all; the number in their slot.
        judged: tasks its judge was given in all.
        rounds: judgements that refused the result, or plans that were refused.
        task: id of the open task, or the token of the open approval; empty where neither is open.
        due_ms: an approval's deadline, or when the next attempt at a compensation is due; 0 is never.
        result: the number of its answer in `results`.
        edited: the number of the person's answer there whose data is given in place of what the mapping says.
        order: when it came to rest, counted over the run, from 1.
        may_have_acted: it completed, or its agent fell silent: a compensation has something to undo.
        is_approved: a person agreed to it.
        is_approved_by_default: what is the answer when nobody gives one in time.
        detail: why it failed or was skipped, or what the judge last said.
    """

    status: StepStatus = "pending"
    attempt: int = 0
    given: int = 0
    judged: int = 0
    rounds: int = 0
    task: str = ""
    due_ms: int = 0
    result: int | None = None
    edited: int | None = None
    order: int = 0
    may_have_acted: bool = False
    is_approved: bool = False
    is_approved_by_default: bool = False
    detail: str = ""

    def encoded(self) -> dict[str, Any]:
        """Return what differs from a step that nobody touched yet: that is most of the room a run needs."""
        return {
            name: value for name, value in self.__dict__.items() if value != _STEP_DEFAULTS[name]
        }


class PlannedTask(NamedTuple):
    """One task of an accepted plan. What it says is not here: it is in the planning agent's answer, which is kept."""

    id: str
    agent: str
    needs: tuple[str, ...] = ()


Plans = Mapping[str, tuple[PlannedTask, ...]]
"""The accepted plans of a run: plan step → its tasks, in the order of the answer."""


_STEP_DEFAULTS: Final = {slot.name: slot.default for slot in fields(StepRun)}
_UNTOUCHED: Final = StepRun()


@dataclass(frozen=True)
class WorkflowRun(Evolving):
    """One run. Steps that nobody touched yet are not listed.

    Attributes:
        name: the workflow's name.
        digest: the definitions it started under; it finishes under them while they are kept.
        start_id: id of the message that started it; tasks, tokens and records are named after it.
        start: the number of that message in `results`.
        steps: step id → how far it is.
        phase: what the run does now.
        verdict: what it will have come to; `completed` until something fails.
        detail: why.
        deadline_ms: when its time is over, ms since 1970; 0 once it has stopped.
        rested: steps that came to rest so far.
        not_undone: steps whose compensation was given up.
        plans: the plans that became steps.
    """

    name: str
    digest: str
    start_id: str
    start: int
    steps: Mapping[str, StepRun] = field(default_factory=dict)
    phase: RunPhase = "running"
    verdict: RunVerdict = "completed"
    detail: str = ""
    deadline_ms: int = 0
    rested: int = 0
    not_undone: tuple[str, ...] = ()
    plans: Plans = field(default_factory=dict)

    def step(self, step_id: str) -> StepRun:
        """Return how far a step is."""
        return self.steps.get(step_id, _UNTOUCHED)

    def with_step(self, step_id: str, **changes: Any) -> Self:
        """Return a copy with `changes` of one step."""
        return self.evolve(steps={**self.steps, step_id: self.step(step_id).evolve(**changes)})

    def rest(self, step_id: str, status: StepStatus, detail: str = "", **changes: Any) -> Self:
        """Return a copy in which a step came to rest, after all others that did."""
        changes |= {"status": status, "detail": detail[:MAX_DETAIL_CHARS], "order": self.rested + 1}
        rested = self.with_step(step_id, task="", due_ms=0, **changes)
        return rested.evolve(rested=self.rested + 1)

    def step_of(self, task: str) -> str | None:
        """Return the step whose open task or approval `task` is."""
        if not task:
            return None
        return next((name for name, step in self.steps.items() if step.task == task), None)

    def next_due_ms(self) -> int | None:
        """The next moment at which its time is over, or an approval or a compensation is due, in ms since 1970."""
        due_ms = (self.deadline_ms, *(step.due_ms for step in self.steps.values()))
        return min((one for one in due_ms if one), default=None)

    def postponed(self, by_ms: int) -> Self:
        """Return a copy whose every deadline is `by_ms` later."""
        return self.evolve(
            deadline_ms=self.deadline_ms + by_ms if self.deadline_ms else 0,
            steps={
                name: step.evolve(due_ms=step.due_ms + by_ms) if step.due_ms else step
                for name, step in self.steps.items()
            },
        )

    @property
    def kept(self) -> tuple[int, ...]:
        """The numbers of everything it has in `results`."""
        of_steps = (one for step in self.steps.values() for one in (step.result, step.edited))
        return (self.start, *(one for one in of_steps if one is not None))

    def encoded(self) -> dict[str, Any]:
        """Return the run as JSON can hold it."""
        return {
            **{name: getattr(self, name) for name in _RUN_SCALARS},
            "steps": {name: step.encoded() for name, step in self.steps.items()},
            **({"plans": self._encoded_plans()} if self.plans else {}),
        }

    def _encoded_plans(self) -> dict[str, list[list[str]]]:
        """Each task as `[id, agent, need, need, …]`."""
        return {
            step: [[task.id, task.agent, *task.needs] for task in tasks]
            for step, tasks in self.plans.items()
        }

    @staticmethod
    def decoded(fields_: Mapping[str, Any]) -> WorkflowRun:
        """Read what `encoded` wrote."""
        steps = {name: _UNTOUCHED.evolve(**step) for name, step in fields_["steps"].items()}
        plans = {
            step: tuple(PlannedTask(id_, agent, tuple(needs)) for id_, agent, *needs in tasks)
            for step, tasks in fields_.get("plans", {}).items()  # version 3 had none
        }
        kept = {"steps": steps, "not_undone": tuple(fields_["not_undone"]), "plans": plans}
        return _BEGUN.evolve(**{**fields_, **kept})


_BEGUN: Final = WorkflowRun("", "", "", 0)
_RUN_SCALARS: Final = tuple(
    slot.name for slot in fields(WorkflowRun) if slot.name not in {"steps", "plans"}
)
