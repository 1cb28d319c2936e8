"""A step that a person must agree to: parked by itself, beside what else the conversation does, under a token of its own."""

from __future__ import annotations

from typing import Any, Final, Literal

from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import approval_token
from signalbox.contracts.record import from_epoch_ms
from signalbox.contracts.review import Review, UnusableEditError, edited_data, resolver_of
from signalbox.routing.commands import EmitReview
from signalbox.routing.ticks import Origin
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.clock import renew_time
from signalbox.routing.workflow.failure import fail_step, note
from signalbox.routing.workflow.keeping import keep_edited
from signalbox.routing.workflow.plan import plan_of, slot

_NOBODY: Final = "nobody in time, so the default"


def ask_person(
    turn: Turn,
    step_id: str,
    message: Envelope,
    *,
    reason: str,
    deadline_seconds: float,
    default: Literal["approve", "reject"],
) -> None:
    """Let `step_id` wait for a person, who sees the data of `message`; after the deadline `default` is the answer.

    Waiting for a person does not spend the run's time: the episode's deadline is never before the approval's.
    """
    run = turn.run
    token = approval_token(run.start_id, slot("approve", step_id, run.step(step_id).given + 1))
    due_ms = turn.now_ms + int(deadline_seconds * 1000)
    waiting = run.with_step(
        step_id,
        status="waiting_approval",
        task=token,
        due_ms=due_ms,
        is_approved_by_default=default == "approve",
    )
    turn.evolve(
        workflow=waiting.evolve(deadline_ms=max(run.deadline_ms, due_ms + 1)),
        deadline_ms=max(turn.state.deadline_ms, due_ms + 1),
    )
    turn.emit(
        EmitReview(
            Review(
                conversation_id=turn.state.id,
                message=message,
                reason=reason[:1000],
                deadline=from_epoch_ms(due_ms),
                opened_at=from_epoch_ms(turn.now_ms),
                workflow=run.name,
                step=step_id,
                token=token,
                default=default,
            )
        )
    )


def resolve(turn: Turn, message: Envelope, origin: Origin) -> None:
    """Take a person's answer to an approval: data = {token, decision: approve|reject, data?, resolved_by?, comment?}.

    `data` is given to the step's agent in place of what it would be given, now and when it is tried again.
    """
    token, decision = message.data.get("token"), message.data.get("decision")
    run = turn.state.workflow
    step_id = run.step_of(token) if run is not None and isinstance(token, str) else None
    if run is None or step_id is None or run.step(step_id).status != "waiting_approval":
        detail = "no approval with data.token is open in this conversation; it was answered, or its deadline passed"
        turn.dead_letter(message, "late", detail, origin=origin)
        return
    if decision not in {"approve", "reject"}:
        detail = f"data.decision is {decision!r:.60}; it must be approve or reject"
        turn.dead_letter(message, "invalid_envelope", detail, origin=origin)
        return
    try:
        data = edited_data(message, is_given=decision == "approve")
        if data is not None:
            _check_contract(turn, step_id, data)
    except UnusableEditError as error:
        detail = f"{error}; the approval is still open"
        turn.dead_letter(message, "invalid_envelope", detail, origin=origin)
        return
    turn.mark_seen(message.id)
    if data is not None:
        number = keep_edited(turn, step_id, message)
        turn.evolve(workflow=turn.run.with_step(step_id, edited=number))
    comment = str(message.data.get("comment") or "")
    agree(
        turn,
        step_id,
        is_agreed=decision == "approve",
        who=resolver_of(message),
        comment=comment,
        data_from=None if data is None else message.id,
    )


def _check_contract(turn: Turn, step_id: str, data: dict[str, Any]) -> None:
    """Refuse here what would fail the step once it is given out: the person can still mend it."""
    plan = plan_of(turn)
    agent = "" if plan is None else plan.step(step_id).agent
    known = None if plan is None else plan.rules.agents.get(agent)
    if known is not None and not known.contract.accepts(data):
        msg = (
            f"{agent} does not accept the edited data: {', '.join(known.contract.violations(data))}"
        )
        raise UnusableEditError(msg)


def time_passed(turn: Turn) -> None:
    """Let approvals whose deadline has passed have their default."""
    if turn.state.workflow is None:
        return
    for step_id, step in turn.run.steps.items():
        if step.status == "waiting_approval" and turn.now_ms >= step.due_ms:
            agree(turn, step_id, is_agreed=step.is_approved_by_default, who=_NOBODY)


def agree(
    turn: Turn,
    step_id: str,
    *,
    is_agreed: bool,
    who: str,
    comment: str = "",
    data_from: str | None = None,
) -> None:
    """Let a step that waits for a person go on, or fail."""
    plan, step = plan_of(turn), turn.run.step(step_id)
    if plan is None:
        return
    said = f"{who} {'approved' if is_agreed else 'rejected'} step {step_id}{'' if data_from is None else ' on edited data'}"
    said = f"{said}: {comment}" if comment else said
    agent = plan.step(step_id).agent if is_agreed else NONE
    number = f"{step.given + 1}" if step.given else ""
    note(
        turn, slot("approve", step_id, number), said, agent=agent, path="human", data_from=data_from
    )
    renewed = turn.run.with_step(
        step_id, status="pending", task="", due_ms=0, is_approved=True, detail=""
    )
    turn.evolve(workflow=renewed)
    renew_time(turn, plan)
    if not is_agreed:
        fail_step(turn, plan, step_id, said)
