"""A step whose answer is a plan: checked before anything is given out, then its tasks are steps of the run; or asked for again."""

from __future__ import annotations

from typing import Any

from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import PLAN_SLOT
from signalbox.definitions.workflow import PlanSpec
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.failure import fail_step, note
from signalbox.routing.workflow.keeping import keep_answer
from signalbox.routing.workflow.plan import Plan, slot
from signalbox.workflows.plan_answer import RefusedPlan, read_plan, summary
from signalbox.workflows.planned import briefing
from signalbox.workflows.run import MAX_DETAIL_CHARS


def briefed(turn: Turn, plan: Plan, spec: PlanSpec, data: dict[str, Any]) -> dict[str, Any]:
    """Return `data` for the planning agent: with the agents that may be given tasks, those that are active still, and how many."""
    current = turn.rulebook.current
    active = {} if current is None else current.agents
    known = {name: one.definition for name, one in plan.rules.agents.items() if name in active}
    return {**data, **briefing(spec, known)}


def planned(turn: Turn, plan: Plan, spec: PlanSpec, step_id: str, message: Envelope) -> None:
    """Take what the planning agent answered: its tasks become steps, or it is asked again, or the step has failed."""
    current = turn.rulebook.current
    read = read_plan(
        message.data,
        step_id=step_id,
        agents=[name for name in spec.agents if current is not None and name in current.agents],
        max_tasks=spec.max_tasks,
        taken=plan.workflow.steps,
    )
    if isinstance(read, RefusedPlan):
        _refused(turn, plan, spec, step_id, read.problem)
        return
    turn.record_as(
        turn.run.start_id,
        slot=slot(PLAN_SLOT, step_id, ""),
        agent=NONE,
        path="workflow",
        reason=summary(read),
        definitions=plan.rules.digest,
    )
    number = keep_answer(turn, step_id, message)
    run = turn.run.rest(step_id, "done", result=number, may_have_acted=True)
    turn.evolve(workflow=run.evolve(plans={**run.plans, step_id: read}))


def _refused(turn: Turn, plan: Plan, spec: PlanSpec, step_id: str, problem: str) -> None:
    agent, rounds = plan.step(step_id).agent, turn.run.step(step_id).rounds + 1
    slot_ = slot(PLAN_SLOT, f"{step_id}:refused", rounds)
    note(turn, slot_, f"the plan of {agent} is refused: {problem}")
    run = turn.run.with_step(step_id, rounds=rounds, may_have_acted=True)
    if rounds <= spec.rounds:
        again = run.with_step(
            step_id, status="pending", task="", attempt=0, detail=problem[:MAX_DETAIL_CHARS]
        )
        turn.evolve(workflow=again)
        return
    turn.evolve(workflow=run)
    times = f", {rounds} times" if rounds > 1 else ""
    fail_step(turn, plan, step_id, f"the plan of {agent} was refused{times}: {problem}")
