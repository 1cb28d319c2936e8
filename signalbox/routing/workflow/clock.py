"""A run's time: what it has, when a person's deadline has passed, and what happens when its own is over."""

from __future__ import annotations

from signalbox.routing.turn import Turn
from signalbox.routing.workflow.failure import give_up, stop
from signalbox.routing.workflow.plan import Plan, plan_of


def renew_time(turn: Turn, plan: Plan) -> None:
    """Give run and episode their time again, as at the start: what a person took to decide was not spent by them."""
    run = turn.run
    people_ms = [
        step.due_ms + 1 for step in run.steps.values() if step.status == "waiting_approval"
    ]
    own_ms = turn.now_ms + int(plan.definition.timeout_seconds * 1000)
    episode_ms = turn.now_ms + int(turn.policy.budgets.seconds * 1000)
    turn.evolve(
        deadline_ms=max(episode_ms, *people_ms, 0),
        workflow=run.evolve(deadline_ms=max(own_ms, *people_ms, 0)),
    )


def stop_if_late(turn: Turn) -> None:
    """Stop a run whose own time is over, whatever the episode still has."""
    run = turn.state.workflow
    if run is not None and 0 < run.deadline_ms <= turn.now_ms:
        out_of_time(turn)


def out_of_time(turn: Turn) -> bool:
    """Stop a run whose time is over, and let it undo what it did; False where there is none, or it had its time for that too."""
    run = turn.state.workflow
    if run is None or run.phase == "ended":
        return False
    plan = plan_of(turn)
    if plan is None or run.phase == "compensating":
        left = ", ".join(sorted(name for name, one in run.steps.items() if one.may_have_acted))
        give_up(turn, f"{run.detail}; no time was left to undo {left}", verdict="expired")
        return False
    for step_id, step in run.steps.items():
        if step.task in turn.state.open:
            turn.close_task(step.task)
            detail = "no answer before the workflow's time was over"
            turn.evolve(workflow=turn.run.rest(step_id, "failed", detail, may_have_acted=True))
    seconds = (turn.now_ms - turn.state.started_at_ms) / 1000
    stop(turn, "expired", f"not through after {seconds:.0f} s; its time is over")
    turn.evolve(deadline_ms=turn.now_ms + int(turn.policy.budgets.seconds * 1000))
    return True  # what it did is undone in a time budget of its own
