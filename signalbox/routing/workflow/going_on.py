"""What a run does next: give out steps whose needs are met, ask judges, undo, and write the outcome once all is at rest.

A pure function of the run's state. Where it needs what was sent or answered earlier, it asks for it (`Recall`) and goes on
when that is at hand, within the same turn of the conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, cast

import orjson

from signalbox.contracts.outcome import MAX_RESULT_BYTES, OutcomeStatus
from signalbox.routing.commands import Recall
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.failure import give_up
from signalbox.routing.workflow.gather import fail_out_of_reach
from signalbox.routing.workflow.plan import Plan, plan_of
from signalbox.routing.workflow.tasks import View, ask_judge, take_up, undo
from signalbox.workflows.graph import ready
from signalbox.workflows.mapping import MappingError
from signalbox.workflows.run import RunVerdict, WorkflowRun

_OVER: Final = frozenset({"done", "skipped", "failed"})
"""What nothing more comes of. A step that failed while the run goes on is borne: all that waits for it gathers."""


class _Work(NamedTuple):
    """Something that can be done with a step now."""

    do: Callable[[Turn, View, str], None]
    step_id: str


def go_on(turn: Turn) -> None:
    """Do everything the run can do now; ends every turn of a conversation that has one."""
    while turn.state.workflow is not None:
        plan = plan_of(turn)
        if plan is None:
            _end_without_definition(turn)
            return
        _enter_next_phase(turn, plan)
        work = list(_work(turn.run, plan, turn.now_ms))
        if not work:
            if _end(turn, plan):
                return
            continue
        view = _view(
            turn, plan, [n for one in work for n in plan.results_for(turn.run, one.step_id)]
        )
        if view is None:
            if turn.is_recalling:
                return
            continue
        work[0].do(turn, view, work[0].step_id)


def _enter_next_phase(turn: Turn, plan: Plan) -> None:
    fail_out_of_reach(turn, plan)
    run = turn.run
    if run.phase == "running" and all(run.step(one).status in _OVER for one in plan.workflow.order):
        turn.evolve(workflow=run.evolve(phase="ended", detail=f"workflow {run.name} is through"))
        turn.judge("completed", turn.run.detail)
        return
    if run.phase == "stopping" and not any(step.task for step in run.steps.values()):
        does_undo = plan.definition.on_failure == "compensate" and _to_undo(run, plan) is not None
        run = run.evolve(phase="compensating" if does_undo else "ended")
        turn.evolve(workflow=run)
        if does_undo:
            seconds = turn.policy.budgets.seconds
            deadline_ms = max(turn.state.deadline_ms, turn.now_ms + int(seconds * 1000))
            turn.evolve(deadline_ms=deadline_ms)
        else:
            turn.judge(run.verdict, f"workflow {run.name}: {run.detail}{_left_done(run, plan)}")
    if run.phase == "compensating" and not _to_undo(run, plan):
        _all_undone(turn, run, plan)


def _all_undone(turn: Turn, run: WorkflowRun, plan: Plan) -> None:
    undone = [one for one, step in run.steps.items() if step.status == "compensated"]
    detail = f"{run.detail}; undone: {', '.join(undone) or 'nothing'}"
    if run.not_undone:
        detail += f"; could not be undone: {', '.join(run.not_undone)}"
    detail += _left_done(run, plan)
    stopped: RunVerdict = "cancelled" if run.verdict == "cancelled" else "compensated"
    verdict: RunVerdict = "failed" if run.not_undone else stopped
    turn.evolve(workflow=run.evolve(phase="ended", verdict=verdict, detail=detail))
    turn.judge(verdict, f"workflow {run.name}: {detail}")


def _left_done(run: WorkflowRun, plan: Plan) -> str:
    """Say what a cancelled run leaves done, apart from steps that say there is nothing to undo: no failure tells how far it came."""
    if run.verdict != "cancelled":
        return ""
    acted = [
        one
        for one, step in run.steps.items()
        if step.may_have_acted and plan.step(one).compensate != "none"
    ]
    names = ", ".join(sorted(acted, key=lambda one: run.step(one).order))
    return f"; done and not undone: {names}" if names else ""


def _to_undo(run: WorkflowRun, plan: Plan) -> str | None:
    """Return the step to undo next: of those that acted and can be undone, the one that came to rest last."""
    left = [
        one
        for one, step in run.steps.items()
        if step.may_have_acted and plan.step(one).undo is not None
    ]
    return max(left, key=lambda one: run.step(one).order, default=None)


def _work(run: WorkflowRun, plan: Plan, now_ms: int) -> Iterator[_Work]:
    if run.phase == "running":
        for step_id, step in run.steps.items():
            if step.status == "validating" and not step.task:
                yield _Work(ask_judge, step_id)
        done = [one for one, step in run.steps.items() if step.status == "done"]
        skipped = [one for one, step in run.steps.items() if step.status == "skipped"]
        begun = [one for one, step in run.steps.items() if step.status != "pending"]
        at_least = plan.workflow.at_least
        may_begin = ready(plan.workflow.needs, done, skipped, begun, at_least)
        # Those that gather first: they may close others, which then need not be given out.
        for step_id in sorted(may_begin, key=lambda one: one not in at_least):
            yield _Work(take_up, step_id)
    elif run.phase == "compensating":
        last = _to_undo(run, plan)
        if last is not None and not run.step(last).task and run.step(last).due_ms <= now_ms:
            yield _Work(undo, last)


def _view(turn: Turn, plan: Plan, numbers: list[int]) -> View | None:
    """Return what is needed where it is at hand; else ask for it, or give up where state does not hold it."""
    run = turn.run
    needed = (run.start, *numbers)
    found = {number: turn.at_hand[number] for number in needed if number in turn.at_hand}
    lost = [number for number, message in found.items() if message is None]
    if lost:
        give_up(turn, f"what it keeps under {lost} is not in state")
        return None
    if len(found) < len(set(needed)):
        turn.emit(Recall(tuple(sorted(set(needed)))))
        return None
    messages = {number: message for number, message in found.items() if message is not None}
    results = {
        one: messages[step.result].data
        for one, step in run.steps.items()
        if step.result in messages and step.status not in {"skipped", "failed"}
    }
    edited = {
        one: messages[step.edited] for one, step in run.steps.items() if step.edited in messages
    }
    return View(plan, messages[run.start], results, edited)


def _end(turn: Turn, plan: Plan) -> bool:
    """Write the outcome once the run and all that went on beside it are at rest; False where it must be looked at again."""
    run = turn.run
    if run.phase != "ended" or not turn.is_quiet:
        return True
    result, detail = None, turn.state.verdict_detail
    if run.verdict == "completed" and plan.workflow.outcome is not None:
        view = _view(turn, plan, list(plan.results_for_outcome(run)))
        if view is None:
            return turn.is_recalling
        try:
            result = plan.workflow.result(view.start.data, view.results)
        except MappingError as error:
            detail = f"{detail}; its result cannot be given: {error}"
    if result is not None and len(orjson.dumps(result)) > MAX_RESULT_BYTES:
        result, detail = None, f"{detail}; its result is larger than {MAX_RESULT_BYTES} bytes"
    turn.end_episode(_verdict(turn), detail, result=result)
    return True


def _end_without_definition(turn: Turn) -> None:
    run = turn.run
    if run.phase != "ended":
        acted = sorted(name for name, step in run.steps.items() if step.may_have_acted)
        detail = "its definition is not active any more"
        give_up(turn, f"{detail}; not undone: {', '.join(acted)}" if acted else detail)
    if turn.is_quiet:
        turn.end_episode(_verdict(turn), turn.state.verdict_detail)


def _verdict(turn: Turn) -> OutcomeStatus:
    return cast("OutcomeStatus", turn.state.verdict or turn.run.verdict)
