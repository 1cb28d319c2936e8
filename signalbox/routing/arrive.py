"""Admission's second half: who really sent this message, is it new, and may it act now or must it wait.

The sender is what state says, not what `source` claims: a reply is agent X's only if it answers an open dispatch to X.
"""

from __future__ import annotations

from typing import Final

from signalbox.contracts.decision import NONE
from signalbox.contracts.envelope import (
    REVIEW_RESOLVED,
    TASK_ASSIGNED,
    TASK_ESCALATED,
    TASK_FAILED,
    TASK_STATUS,
    WORKFLOW_CANCEL,
    Envelope,
)
from signalbox.contracts.events import is_event
from signalbox.contracts.ids import seen_hash
from signalbox.contracts.record import to_epoch_ms
from signalbox.contracts.review import UnusableEditError, data_given, edited_data, resolver_of
from signalbox.routing.candidates import definition_of
from signalbox.routing.commands import Count, Resume, StorePending
from signalbox.routing.decide import decide, target_problem
from signalbox.routing.events import take_event
from signalbox.routing.hear import end_listening, hear, is_listener
from signalbox.routing.keeping import acknowledged
from signalbox.routing.state import OpenDispatch, Resolution, Waiting
from signalbox.routing.ticks import MessageArrived, Origin
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.answers import replied, task_seconds_of
from signalbox.routing.workflow.approval import resolve as resolve_approval
from signalbox.routing.workflow.cancel import cancel

MAX_COMMENT_CHARS: Final = 500
"""Of what a person says with a decision; a reason has room for more than that."""
_ONLY_AGENTS_SEND = frozenset({TASK_ASSIGNED, TASK_FAILED, TASK_STATUS, TASK_ESCALATED})


def arrive(turn: Turn, tick: MessageArrived) -> None:
    """Admit the message of `tick`, or drop it as a duplicate, or make it a dead letter."""
    message, origin = tick.message, tick.origin
    if turn.state.has_seen(seen_hash(message.id)):
        turn.emit(Count("signalbox.duplicates"))
        return
    if message.deadline is not None and to_epoch_ms(message.deadline) <= turn.now_ms:
        turn.mark_seen(message.id)
        turn.dead_letter(
            message, "expired", f"its deadline {message.deadline} has passed", origin=origin
        )
        return
    if message.claimed_agent is not None:
        _from_agent(turn, message, message.claimed_agent, origin)
    else:
        _from_outside(turn, message, origin)


def _from_agent(turn: Turn, message: Envelope, agent: str, origin: Origin) -> None:
    task_id = message.causationid or ""
    dispatch = turn.state.open.get(task_id)
    if dispatch is None or dispatch.agent != agent:
        # Not marked as seen: after a decision that fell differently the second time, the right
        # agent's reply carries the very same id and must still be admitted.
        detail = f"no open task {task_id or '(no causationid)'} of {agent}; it was answered, ended, or never its own"
        turn.dead_letter(message, "late", detail, origin=origin)
        return
    turn.mark_seen(message.id)
    run = turn.state.workflow
    step_id = None if run is None else run.step_of(task_id)
    if message.type == TASK_STATUS:
        _extend(turn, task_id, dispatch, step_id)
        if turn.state.kept:
            acknowledged(turn, task_id, agent)
        return
    is_notice = turn.state.is_notice(task_id)
    turn.close_task(task_id)
    turn.evolve(tokens=turn.state.tokens + message.tokensused)
    if step_id is not None:
        replied(turn, step_id, agent, message)
    elif is_notice or is_listener(definition_of(agent, turn.rulebook)):
        end_listening(turn, f"{agent} only listens, and nothing else was to do")
    elif message.type == TASK_FAILED:
        turn.judge(
            "failed",
            f"{agent}: {message.data.get('detail') or message.data.get('reason') or 'failed'}",
        )
    elif message.type == TASK_ESCALATED:
        if turn.is_busy:
            _wait(turn, message, agent, origin)
        else:
            escalate(turn, message, agent, sequence=None)
    else:
        take(turn, message, agent, origin)


def _extend(turn: Turn, task_id: str, dispatch: OpenDispatch, step_id: str | None) -> None:
    """A sign of life moves the task's deadline, never past the episode's."""
    own = None if step_id is None else task_seconds_of(turn, step_id)
    seconds = own or turn.policy.budgets.task_seconds
    deadline_ms = min(turn.state.deadline_ms, turn.now_ms + int(seconds * 1000))
    turn.evolve(open={**turn.state.open, task_id: OpenDispatch(dispatch.agent, deadline_ms)})


def escalate(turn: Turn, message: Envelope, agent: str, *, sequence: int | None) -> None:
    """Park what `agent` could not decide; data = {reason, data} where data is the task's own.

    `sequence` is the message's number in durable state when it waited for its turn, None when it did not.
    """
    parked = message.evolve(data=data_given(message))
    if sequence is not None:
        turn.emit(StorePending(sequence, parked))  # what a person decides on is the task's data
    reason = f"{agent} asks for a person: {message.data.get('reason') or 'no reason given'}"
    turn.park(parked, None, reason, sender=agent, sequence=sequence)


def _from_outside(turn: Turn, message: Envelope, origin: Origin) -> None:
    if is_event(message):
        _take_event(turn, message, origin)
        return
    if message.type in _ONLY_AGENTS_SEND:
        detail = f"{message.type} comes from agents only; source is {message.source!r}"
        turn.dead_letter(message, "invalid_envelope", detail, origin=origin)
        return
    if message.type == REVIEW_RESOLVED:
        _resolve(turn, message, origin)
        return
    if message.type == WORKFLOW_CANCEL:
        cancel(turn, message, origin)
        return
    rules = turn.rulebook.current
    if message.target is not None and rules is not None:
        problem = target_problem(message, rules, None)
        if problem is not None:
            turn.mark_seen(message.id)
            turn.dead_letter(message, "unknown_agent", problem, origin=origin)
            return
    if not turn.state.is_open and turn.state.episode >= turn.policy.max_episodes:
        detail = f"the conversation had {turn.state.episode} episodes, the fleet's limit; start another one"
        turn.mark_seen(message.id)
        turn.dead_letter(message, "overloaded", detail, origin=origin)
        return
    turn.mark_seen(message.id)
    if not turn.state.is_open and not turn.state.waiting:
        turn.begin_episode()
    take(turn, message, None, origin)


def _take_event(turn: Turn, message: Envelope, origin: Origin) -> None:
    """Let an event be heard at once, whatever is in flight; before any definitions it waits for them."""
    if turn.rulebook.current is None:
        turn.mark_seen(message.id)
        _wait(turn, message, None, origin)
    else:
        take_event(turn, message)


def take(turn: Turn, message: Envelope, sender: str | None, origin: Origin) -> None:
    """Decide an admitted message, or let it wait for its turn."""
    if turn.is_busy:
        _wait(turn, message, sender, origin)
    else:
        decide(turn, message, sender=sender, sequence=None)


def _wait(turn: Turn, message: Envelope, sender: str | None, origin: Origin) -> None:
    rules = turn.rulebook.current
    limit = rules.engine.max_waiting_messages if rules is not None else 100
    if len(turn.state.waiting) >= limit:
        detail = f"{limit} messages of this conversation wait already; send slower"
        turn.dead_letter(message, "overloaded", detail, origin=origin)
        if sender is not None:
            turn.judge("failed", f"the answer of {sender} found {limit} messages waiting")
        return
    sequence = turn.store(message)
    turn.evolve(waiting=(*turn.state.waiting, Waiting(sequence, sender)))
    if message.type != TASK_ESCALATED:
        hear(turn, message, sender=sender)


def _resolve(turn: Turn, message: Envelope, origin: Origin) -> None:
    """Take a person's decision; it is carried out when the parked message is at hand (Resume).

    One with a token is about a workflow's step.
    """
    if "token" in message.data:
        resolve_approval(turn, message, origin)
        return
    in_flight = turn.state.in_flight
    agent = message.data.get("agent")
    rules = turn.rulebook.current
    if (
        in_flight is None
        or in_flight.phase != "parked"
        or message.data.get("message_id") != in_flight.message_id
    ):
        detail = "no review is open for data.message_id in this conversation; it was resolved, or its deadline passed"
        turn.dead_letter(message, "late", detail, origin=origin)
        return
    if not isinstance(agent, str) or rules is None or (agent != NONE and agent not in rules.agents):
        names = ", ".join(sorted(rules.agents)) if rules is not None else ""
        turn.dead_letter(
            message, "unknown_agent", f"data.agent must be NONE or one of {names}", origin=origin
        )
        return
    try:
        data = edited_data(message, is_given=agent != NONE)
    except UnusableEditError as error:
        turn.dead_letter(message, "invalid_envelope", f"{error}; it is still open", origin=origin)
        return
    turn.mark_seen(message.id)
    comment = str(message.data.get("comment") or "")[:MAX_COMMENT_CHARS]
    resolution = Resolution(agent, resolver_of(message), comment, data, message.id)
    turn.evolve(in_flight=in_flight.evolve(resolution=resolution))
    turn.emit(Resume(in_flight.sequence))
