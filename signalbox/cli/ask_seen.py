"""What became of a prompt so far, from the facts of its conversation: its run, its plan, how it ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signalbox.cli.facts import Fact
from signalbox.cli.run_facts import runs_of
from signalbox.cli.run_seen import RunSeen, StepSeen
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import ROUTE_SLOT
from signalbox.contracts.outcome import Outcome
from signalbox.workflows.planned import planned_id
from signalbox.workflows.run import StepStatus


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task of an accepted plan, and how far it is. `seconds` is None until it ended; `result` is what its agent answered."""

    id: str
    agent: str
    task: str
    needs: tuple[str, ...]
    status: StepStatus
    seconds: float | None
    result: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class PromptSeen:
    """A prompt and what is known of it. `not_started` says why nothing came of it at all."""

    run: RunSeen | None
    outcome: Outcome | None
    not_started: str | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self.outcome is not None or self.not_started is not None

    @property
    def status(self) -> str | None:
        """The outcome's status; None where there is none."""
        return None if self.outcome is None else self.outcome.status

    @property
    def answer(self) -> str | None:
        """The final answer, where the run completed with one."""
        result = self.outcome.result if self.outcome is not None else None
        said = (result or {}).get("answer")
        return said if isinstance(said, str) else None

    @property
    def plan(self) -> tuple[PlannedTask, ...]:
        """The tasks of every plan that was accepted, in the plan's order."""
        if self.run is None:
            return ()
        return tuple(
            task
            for step in self.run.steps.values()
            if step.is_plan and step.work
            for task in _tasks(self.run, step)
        )


def prompt_seen(message: Envelope, facts: Sequence[Fact]) -> PromptSeen:
    """Fold all facts of the conversation that `message` was sent into."""
    runs = runs_of(message.subject, facts)
    run = next((one for one in runs if one.start_id == message.id), None)
    outcome = run.outcome if run is not None else None
    return PromptSeen(run, outcome, _not_started(message, facts))


def _not_started(message: Envelope, facts: Sequence[Fact]) -> str | None:
    """Say why the message started no workflow; None while it may, or did."""
    for fact in facts:
        match fact.body:
            case DeadLetter() as dead if dead.message_id == message.id:
                return f"{dead.reason}: {dead.detail}"
            case Decision() as one if (one.message_id, one.slot) == (message.id, ROUTE_SLOT):
                return f"it went to {one.agent}, by {one.path}: {one.reason}; did the definitions change?"
    return None


def _tasks(run: RunSeen, step: StepSeen) -> Iterator[PlannedTask]:
    tasks = step.work[-1].answer.get("tasks")
    for task in tasks if isinstance(tasks, list) else ():
        if isinstance(task, dict) and isinstance(task.get("id"), str):
            found = run.steps.get(planned_id(step.id, task["id"]))
            yield _task(run, task, found)


def _task(run: RunSeen, task: Mapping[str, Any], found: StepSeen | None) -> PlannedTask:
    needs = task.get("needs")
    return PlannedTask(
        id=task["id"],
        agent=str(task.get("agent")),
        task=str(task.get("description")),
        needs=tuple(str(one) for one in needs) if isinstance(needs, list) else (),
        status="pending" if found is None else run.status_of(found),
        seconds=None if found is None else _seconds(found),
        result=_result(found),
    )


def _seconds(step: StepSeen) -> float | None:
    if step.began_ms is None or step.ended_ms is None:
        return None
    return max(0, step.ended_ms - step.began_ms) / 1000


def _result(step: StepSeen | None) -> Mapping[str, Any] | None:
    last = step.work[-1] if step is not None and step.work else None
    return last.answer if last is not None and last.ending == "answered" else None
