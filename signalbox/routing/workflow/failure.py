"""Attempts that failed, steps that failed, and runs that stop because of it."""

from __future__ import annotations

from typing import Final

from signalbox.contracts.decision import NONE, DecisionPath
from signalbox.routing.backoff import backoff_ms
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.plan import Plan, slot
from signalbox.workflows.run import MAX_DETAIL_CHARS, RunVerdict

MAX_UNDO_ATTEMPTS: Final = 5
"""How often one compensation is tried before the run goes on past it and says so."""


def attempt_failed(
    turn: Turn, plan: Plan, step_id: str, detail: str, *, is_permanent: bool = False
) -> None:
    """Try again while the step's retries, or those of every compensation, are not used up; else the step has failed.

    With `is_permanent` its agent says that trying again cannot help; what undoes something is tried all the same.
    """
    run = turn.run
    step, spec = run.step(step_id), plan.step(step_id)
    if step.status == "compensating":
        if step.attempt < MAX_UNDO_ATTEMPTS:
            engine = plan.rules.engine
            wait_ms = backoff_ms(
                step.attempt,
                base_seconds=engine.backoff_base_seconds,
                cap_seconds=engine.backoff_cap_seconds,
                seed=f"{run.start_id}:{step_id}",
            )
            due_ms = turn.now_ms + wait_ms
            waiting = run.with_step(
                step_id, task="", due_ms=due_ms, detail=detail[:MAX_DETAIL_CHARS]
            )
            turn.evolve(workflow=waiting)
        else:
            give_up_undoing(turn, step_id, f"{detail}, at attempt {step.attempt}")
    elif is_permanent and step.attempt <= spec.retries:
        fail_step(turn, plan, step_id, f"{detail}; trying again cannot help")
    elif run.phase == "running" and step.attempt <= spec.retries:
        status = "validating" if step.status == "validating" else "pending"
        again = run.with_step(step_id, status=status, task="", detail=detail[:MAX_DETAIL_CHARS])
        turn.evolve(workflow=again)
    else:
        attempts = f", at attempt {step.attempt} of {spec.retries + 1}" if spec.retries else ""
        fail_step(turn, plan, step_id, f"{detail}{attempts}")


def fail_step(turn: Turn, plan: Plan, step_id: str, detail: str) -> None:
    """Let a step fail for good: it is skipped where it says so, borne where all that waits for it gathers, else the run stops."""
    is_skipped = plan.step(step_id).on_failure == "skip"
    note(turn, slot("step", step_id, "failed"), detail)
    turn.evolve(workflow=turn.run.rest(step_id, "skipped" if is_skipped else "failed", detail))
    if is_skipped:
        return
    if step_id not in plan.workflow.borne:
        stop(turn, "failed", f"step {step_id}: {detail}")
    elif turn.run.phase == "running":
        for one in plan.workflow.dependents[step_id]:
            if one not in plan.workflow.at_least and turn.run.step(one).status == "pending":
                fail_step(turn, plan, one, f"step {step_id}, which it needs, has failed")


def give_up_undoing(turn: Turn, step_id: str, detail: str) -> None:
    """Go on past a compensation that cannot be carried out; the record and the outcome say so."""
    note(turn, slot("compensate", step_id, "failed"), detail)
    run = turn.run.rest(step_id, "failed", detail, may_have_acted=False)
    turn.evolve(workflow=run.evolve(not_undone=(*run.not_undone, step_id)))


def stop(turn: Turn, verdict: RunVerdict, detail: str) -> None:
    """Give out no further steps. What waits for a person or a judge does not any more; what runs comes to rest first."""
    run = turn.run
    if run.phase != "running":
        return
    run = run.evolve(phase="stopping", verdict=verdict, detail=detail[:500], deadline_ms=0)
    for step_id, step in run.steps.items():
        if step.status == "waiting_approval":
            run = run.rest(step_id, "skipped", "the workflow stopped")
        elif step.status == "validating" and not step.task:
            run = run.rest(step_id, "done")
    turn.evolve(workflow=run)


def give_up(turn: Turn, detail: str, *, verdict: RunVerdict = "failed") -> None:
    """End the run as it is: its definition is gone, or our own code failed. Nothing is undone."""
    run = turn.run
    for step in run.steps.values():
        turn.close_task(step.task)
    ended = run.evolve(phase="ended", verdict=verdict, detail=detail[:500], deadline_ms=0)
    turn.evolve(workflow=ended)
    turn.judge(verdict, f"workflow {run.name}: {detail}")


def note(
    turn: Turn,
    slot_: str,
    reason: str,
    *,
    agent: str = NONE,
    path: DecisionPath = "workflow",
    data_from: str | None = None,
) -> None:
    """Ask for the decision record of what happened to a step."""
    run = turn.run
    turn.record_as(
        run.start_id,
        slot=slot_,
        agent=agent,
        path=path,
        reason=reason if path == "human" else f"workflow {run.name}: {reason}",
        definitions=run.digest,
        data_from=data_from,
    )
