"""Steps that begin with some of their needs: when too few are left to be done, and what becomes of those nobody waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from signalbox.routing.turn import Turn
from signalbox.routing.workflow.failure import fail_step, note
from signalbox.routing.workflow.plan import Plan, slot
from signalbox.workflows.run import WorkflowRun

_UNSETTLED: Final = frozenset({"pending", "waiting_approval", "running", "validating"})


def fail_out_of_reach(turn: Turn, plan: Plan) -> None:
    """Let steps fail of whose needs not enough can be done any more."""
    for step_id, least in plan.workflow.at_least.items():
        run = turn.run
        if run.phase != "running" or run.step(step_id).status != "pending":
            continue
        needs = [run.step(one).status for one in dict.fromkeys(plan.workflow.needs[step_id])]
        done, left = needs.count("done"), sum(status in _UNSETTLED for status in needs)
        if done + left < least:
            fail_step(
                turn,
                plan,
                step_id,
                f"{done} of its {len(needs)} needs are done, it waits for {least}",
            )


def close_stragglers(turn: Turn, plan: Plan, gathering: str) -> None:
    """End what leads to `gathering` alone, which begins without it; a late answer finds its task closed.

    One whose task is open may have acted, so it is undone like one whose agent fell silent, should the run fail later.
    """
    if gathering not in plan.workflow.at_least or _keeps(plan, gathering):
        return
    for step_id in list(_stragglers(turn.run, plan, gathering)):
        step = turn.run.step(step_id)
        has_acted = step.may_have_acted or step.status == "running"
        turn.close_task(step.task)
        detail = f"step {step_id} is closed: {gathering} began without it"
        note(turn, slot("step", step_id, "closed"), detail)
        turn.evolve(workflow=turn.run.rest(step_id, "skipped", detail, may_have_acted=has_acted))


def _stragglers(run: WorkflowRun, plan: Plan, gathering: str) -> Iterator[str]:
    """Yield what is not through and leads to `gathering`, to others that began or to other stragglers, and nowhere else."""
    closed: set[str] = set()
    for step_id in reversed(plan.workflow.order):
        dependents = plan.workflow.dependents[step_id]
        if run.step(step_id).status not in _UNSETTLED or not dependents:
            continue
        if all(
            one in closed or one == gathering or _has_begun_without(run, plan, one)
            for one in dependents
        ):
            closed.add(step_id)
            yield step_id


def _has_begun_without(run: WorkflowRun, plan: Plan, step_id: str) -> bool:
    step = run.step(step_id)
    has_begun = step.status != "pending" or step.given > 0 or step.is_approved
    return step_id in plan.workflow.at_least and has_begun and not _keeps(plan, step_id)


def _keeps(plan: Plan, step_id: str) -> bool:
    return plan.step(step_id).stragglers == "keep"
