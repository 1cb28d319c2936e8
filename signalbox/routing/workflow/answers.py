"""What an agent's answer to a step's task means to the run, and what its silence does."""

from __future__ import annotations

from signalbox.contracts.envelope import TASK_ESCALATED, TASK_FAILED, Envelope
from signalbox.contracts.review import data_given
from signalbox.routing.commands import Count
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.approval import ask_person
from signalbox.routing.workflow.failure import attempt_failed, fail_step
from signalbox.routing.workflow.keeping import keep_answer
from signalbox.routing.workflow.plan import Plan, plan_of
from signalbox.routing.workflow.planning import planned
from signalbox.workflows.run import MAX_DETAIL_CHARS


def replied(turn: Turn, step_id: str, agent: str, message: Envelope) -> None:
    """Take the answer of `agent` to the open task of a step; the task is not open any more."""
    plan, run = plan_of(turn), turn.run
    if plan is None:
        return  # the turn ends with giving the run up
    step = run.step(step_id)
    if message.type == TASK_FAILED:
        why = message.data.get("detail") or message.data.get("reason") or "failed"
        is_permanent = message.data.get("permanent") is True
        attempt_failed(turn, plan, step_id, f"{agent}: {why}", is_permanent=is_permanent)
    elif message.type == TASK_ESCALATED:
        _escalated(turn, plan, step_id, agent, message)
    elif step.status == "compensating":
        turn.evolve(workflow=run.rest(step_id, "compensated", step.detail, may_have_acted=False))
    elif step.status == "validating":
        _judged(turn, plan, step_id, agent, message)
    else:
        _answered(turn, plan, step_id, message)


def _answered(turn: Turn, plan: Plan, step_id: str, message: Envelope) -> None:
    run, spec = turn.run, plan.step(step_id)
    if spec.plan is not None and run.phase == "running":
        planned(turn, plan, spec.plan, step_id, message)
        return
    number = keep_answer(turn, step_id, message)
    if spec.validate_by is None or run.phase != "running":
        run = run.rest(step_id, "done", result=number, may_have_acted=True)
    else:
        run = run.with_step(
            step_id, status="validating", task="", attempt=0, result=number, may_have_acted=True
        )
    turn.evolve(workflow=run)


def _judged(turn: Turn, plan: Plan, step_id: str, agent: str, message: Envelope) -> None:
    run, judge = turn.run, plan.step(step_id).validate_by
    is_accepted = message.data.get("accepted")
    comment = str(message.data.get("comment") or "")
    if not isinstance(is_accepted, bool):
        problem = f"{agent}'s judgement has no boolean `accepted`"
        attempt_failed(turn, plan, step_id, problem)
    elif is_accepted:
        turn.evolve(workflow=run.rest(step_id, "done", comment))
    else:
        rounds = run.step(step_id).rounds + 1
        turn.evolve(workflow=run.with_step(step_id, rounds=rounds))
        if run.phase == "running" and judge is not None and rounds < judge.rounds:
            again = turn.run.with_step(
                step_id, status="pending", task="", attempt=0, detail=comment[:MAX_DETAIL_CHARS]
            )
            turn.evolve(workflow=again)
        else:
            fail_step(turn, plan, step_id, f"{agent} refused its result: {comment or 'no comment'}")


def _escalated(turn: Turn, plan: Plan, step_id: str, agent: str, message: Envelope) -> None:
    """An agent that wants a person to decide: agreed to, the step is given to it once more; otherwise the step has failed."""
    reason = f"{agent} asks for a person: {message.data.get('reason') or 'no reason given'}"
    if turn.run.phase != "running" or turn.run.step(step_id).status != "running":
        attempt_failed(turn, plan, step_id, reason)
        return
    turn.evolve(workflow=turn.run.with_step(step_id, may_have_acted=True))
    ask_person(
        turn,
        step_id,
        message.evolve(data=data_given(message)),
        reason=reason,
        deadline_seconds=turn.policy.review.deadline_seconds,
        default="reject",
    )


def silent(turn: Turn, step_id: str, why: str, *, is_final: bool = False) -> None:
    """Note that nothing more is waited for from the agent of a step's task: it may have acted all the same.

    With `is_final` the step is not tried again; what undoes something always is.
    """
    plan, run = plan_of(turn), turn.run
    if plan is None:
        return
    if run.step(step_id).status == "running":
        turn.evolve(workflow=run.with_step(step_id, may_have_acted=True))
    turn.emit(Count("signalbox.stuck_steps"))
    if is_final and run.step(step_id).status != "compensating":
        fail_step(turn, plan, step_id, why)
    else:
        attempt_failed(turn, plan, step_id, why)


def task_seconds_of(turn: Turn, step_id: str) -> float | None:
    """Return how long the agent of a step's task may be silent; None where the fleet says it."""
    plan = plan_of(turn)
    return None if plan is None else plan.step(step_id).timeout_seconds
