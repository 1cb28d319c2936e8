"""What a run gives out: a step to its agent, a result to its judge, a compensation; or the reason why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from signalbox.contracts.envelope import Envelope
from signalbox.definitions.workflow import StepSpec
from signalbox.routing.guards import check_budgets
from signalbox.routing.keeping import expect
from signalbox.routing.send_task import send_task
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.approval import ask_person
from signalbox.routing.workflow.failure import fail_step, give_up_undoing, note, stop
from signalbox.routing.workflow.gather import close_stragglers
from signalbox.routing.workflow.plan import Plan, slot
from signalbox.routing.workflow.planning import briefed
from signalbox.workflows.compiled import CompiledStep
from signalbox.workflows.mapping import MappingError


class View(NamedTuple):
    """What a step is filled in from: the message that started the run, and what its steps answered.

    `edited` has, by step, the answer of the person who agreed to it on other data.
    """

    plan: Plan
    start: Envelope
    results: Mapping[str, dict[str, Any]]
    edited: Mapping[str, Envelope]

    def task_data(self, compiled: CompiledStep) -> dict[str, Any]:
        """Return what the step's agent is given: what a person made of it, else what its mapping says. Raises `MappingError`."""
        edited = self.edited.get(compiled.id)
        if edited is None:
            return compiled.task_data(self.start.data, self.results)
        data: dict[str, Any] = edited.data["data"]
        return data


def take_up(turn: Turn, view: View, step_id: str) -> None:
    """Give a step to its agent, or skip it, or let it wait for a person."""
    close_stragglers(turn, view.plan, step_id)
    compiled, step = view.plan.workflow.step(step_id), turn.run.step(step_id)
    spec = compiled.spec
    try:
        if not (step.given or step.is_approved or compiled.applies(view.start.data, view.results)):
            _skip(turn, view, step_id)
            return
        data = view.task_data(compiled)
        reason = compiled.approval_reason(view.start.data, view.results)
    except MappingError as error:
        fail_step(turn, view.plan, step_id, str(error))
        return
    if spec.plan is not None and step_id not in view.edited:  # the person saw the briefing
        data = briefed(turn, view.plan, spec.plan, data)
    if step.rounds:
        data = _with_comment(view, spec, data, step.detail)
    problem = _problem(turn, view, spec.agent, data)
    if problem is not None:
        fail_step(turn, view.plan, step_id, problem)
        return
    if spec.approve is not None and not step.is_approved:
        approve = spec.approve
        message = view.start.evolve(data=data)
        ask_person(
            turn,
            step_id,
            message,
            reason=reason,
            deadline_seconds=approve.deadline_seconds,
            default=approve.default,
        )
        return
    given, edited = step.given + 1, view.edited.get(step_id)
    data_from = None if edited is None else edited.id
    slot_ = slot("step", step_id, given)
    if _give(turn, view, step_id, spec.agent, data, slot_, data_from=data_from):
        now = turn.run.step(step_id)
        turn.evolve(
            workflow=turn.run.with_step(
                step_id, status="running", attempt=now.attempt + 1, given=given
            )
        )


def _skip(turn: Turn, view: View, step_id: str) -> None:
    detail = f"step {step_id} is skipped: {view.plan.step(step_id).when} does not hold"
    note(turn, slot("step", step_id, ""), detail)
    turn.evolve(workflow=turn.run.rest(step_id, "skipped", detail))


def ask_judge(turn: Turn, view: View, step_id: str) -> None:
    """Give what a step answered to the agent that judges it."""
    compiled, step = view.plan.workflow.step(step_id), turn.run.step(step_id)
    judge = compiled.spec.validate_by
    if judge is None:  # the newest definition, under which the run goes on, asks for none
        turn.evolve(workflow=turn.run.rest(step_id, "done"))
        return
    own = view.results[step_id]
    others = {name: result for name, result in view.results.items() if name != step_id}
    try:
        task = view._replace(results=others).task_data(compiled)
        data = compiled.validation_data(view.start.data, others, task=task, result=own)
    except MappingError as error:
        fail_step(turn, view.plan, step_id, str(error))
        return
    problem = _problem(turn, view, judge.agent, data)
    if problem is not None:
        fail_step(turn, view.plan, step_id, problem)
        return
    judged = step.judged + 1
    if _give(turn, view, step_id, judge.agent, data, slot("validate", step_id, judged)):
        turn.evolve(workflow=turn.run.with_step(step_id, attempt=step.attempt + 1, judged=judged))


def undo(turn: Turn, view: View, step_id: str) -> None:
    """Give a step that acted to the agent that undoes it."""
    compiled, step = view.plan.workflow.step(step_id), turn.run.step(step_id)
    spec = compiled.spec.undo
    if spec is None:
        return
    if compiled.undo is None and step_id not in view.results:
        give_up_undoing(
            turn, step_id, "its agent never answered, and its compensation takes the answer"
        )
        return
    try:
        data = compiled.undo_data(view.start.data, view.results)
    except MappingError as error:
        give_up_undoing(turn, step_id, str(error))
        return
    problem = _problem(turn, view, spec.agent, data)
    if problem is not None:
        give_up_undoing(turn, step_id, problem)
        return
    attempt = step.attempt + 1 if step.status == "compensating" else 1
    task = _send(turn, view, spec.agent, data, slot("compensate", step_id, attempt), step_id)
    turn.evolve(
        workflow=turn.run.with_step(
            step_id, status="compensating", task=task, attempt=attempt, due_ms=0
        )
    )


def _give(
    turn: Turn,
    view: View,
    step_id: str,
    agent: str,
    data: dict[str, Any],
    slot_: str,
    *,
    data_from: str | None = None,
) -> bool:
    """Dispatch, unless the episode's budgets are spent: then the run stops. What undoes something is not refused by them."""
    stopped = check_budgets(turn.state, agent, turn.policy.budgets)
    if stopped is not None:
        stop(turn, stopped.status, stopped.detail)
        return False
    task = _send(turn, view, agent, data, slot_, step_id, data_from=data_from)
    turn.evolve(workflow=turn.run.with_step(step_id, task=task))
    return True


def _send(
    turn: Turn,
    view: View,
    agent: str,
    data: dict[str, Any],
    slot_: str,
    step_id: str,
    *,
    data_from: str | None = None,
) -> str:
    run, spec = turn.run, view.plan.step(step_id)
    before = run.step(step_id).detail
    turn.record(
        view.start,
        slot=slot_,
        agent=agent,
        path="workflow",
        reason=f"workflow {run.name}, {slot_}" + (f", after: {before}" if before else ""),
        candidates=None,
        definitions=view.plan.rules.digest,
        data_from=data_from,
    )
    task_id = send_task(
        turn,
        view.start,
        agent,
        slot_,
        data,
        task_seconds=spec.timeout_seconds or turn.policy.budgets.task_seconds,
        definitions=view.plan.rules.digest,
    )
    current = turn.rulebook.current
    expect(turn, task_id, None if current is None else current.agents.get(agent))
    return task_id


def _problem(turn: Turn, view: View, agent: str, data: dict[str, Any]) -> str | None:
    """Say why `agent` cannot be given `data`: it is not active any more, or its contract refuses it."""
    current, known = turn.rulebook.current, view.plan.rules.agents.get(agent)
    if current is None or agent not in current.agents or known is None:
        return f"agent {agent} is not active"
    if known.contract.accepts(data):
        return None
    return f"{agent} does not accept the data: {', '.join(known.contract.violations(data))}"


def _with_comment(view: View, spec: StepSpec, data: dict[str, Any], comment: str) -> dict[str, Any]:
    """Hand on why the answer was refused as `context`, the free text every contract may have room for; else the data alone."""
    known = view.plan.rules.agents.get(spec.agent)
    what = "result" if spec.plan is None else "plan"
    told = {**data, "context": f"The {what} before was refused: {comment}"}
    return told if known is not None and known.contract.accepts(told) else data
