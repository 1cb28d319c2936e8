"""Decide one message: explicit target, workflow, contracts, model, person; then the guards, then a dispatch per slot.

Called with a message that is admitted and whose turn it is. `sequence` is its number in durable state, None when it was
never kept (the contract path touches only the conversation's own blob).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from signalbox.contracts.decision import NONE, DecisionPath
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import data_digest
from signalbox.routing.candidates import MAX_LISTED, Weighed, handoffs_of, weigh, why_none
from signalbox.routing.commands import AskModel
from signalbox.routing.guards import check_dispatch, step_key
from signalbox.routing.hear import acting_subscribers, has_by_subscription, hear
from signalbox.routing.keeping import keep
from signalbox.routing.left_out import forget, leave_out, route_slot
from signalbox.routing.prompt import routing_request
from signalbox.routing.rules import Rules
from signalbox.routing.send_task import send_task
from signalbox.routing.state import InFlight
from signalbox.routing.turn import Turn
from signalbox.routing.workflow.start import start, starting, why_not_started


def decide(turn: Turn, message: Envelope, *, sender: str | None, sequence: int | None) -> None:
    """Decide `message` under the current rules, which must be active."""
    rules = current_rules(turn)
    hear(turn, message, sender=sender)
    if message.target is not None:
        _decide_explicit(turn, message, rules, sender=sender, sequence=sequence)
        return
    started = starting(message, rules) if sender is None else None
    if started is not None:
        start(turn, message, started, sequence)
        return
    candidates = weigh(message.data, rules, handoffs_of(sender, turn.rulebook))
    if turn.state.detours or turn.rulebook.failed:
        candidates = leave_out(turn, message, candidates)
    names = candidates.accepted
    if not names:
        reason = why_none(candidates)
        if sender is None:
            reason += why_not_started(message, rules)
        conclude_none(
            turn,
            message,
            candidates,
            path="contract",
            reason=reason,
            sender=sender,
            sequence=sequence,
        )
    elif len(names) == 1 and not rules.is_model_always(turn.state.fleet):
        turn.release(sequence)
        reason = f"only {names[0]} accepts the data"
        if candidates.left_out:
            reason = f"only {names[0]} of those that accept the data can be reached"
        conclude(turn, message, names[0], candidates, path="contract", reason=reason, sender=sender)
    else:
        ask(turn, message, names, rules, sender=sender, sequence=sequence)


def current_rules(turn: Turn) -> Rules:
    """Return the active rules; deciding without any is a mistake of the caller."""
    rules = turn.rulebook.current
    if rules is None:
        msg = "no definitions are active yet; messages wait until a manifest is"
        raise RuntimeError(msg)
    return rules


def target_problem(message: Envelope, rules: Rules, allowed: frozenset[str] | None) -> str | None:
    """Say why the explicit targets of `message` cannot all be served; None when they can."""
    if not message.targets:
        return f"target {message.target!r} names no agent"
    for name in message.targets:
        if name not in rules.agents:
            return f"no agent {name!r}; there are {_some(rules.agents)}"
        if allowed is not None and name not in allowed:
            return f"the sender may not hand off to {name!r}"
        violations = rules.agents[name].contract.violations(message.data)
        if violations:
            return f"{name} does not accept the data: {', '.join(violations)}"
    return None


def _some(names: Collection[str]) -> str:
    """Name up to twenty, and say how many more there are."""
    shown = ", ".join(sorted(names)[:MAX_LISTED]) or "none"
    more = len(names) - MAX_LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def ask(
    turn: Turn,
    message: Envelope,
    names: tuple[str, ...],
    rules: Rules,
    *,
    sender: str | None,
    sequence: int | None,
) -> None:
    """Ask the model which of `names` it is; the message stays in flight until the answer."""
    kept = turn.store(message) if sequence is None else sequence
    turn.evolve(
        in_flight=InFlight(
            sequence=kept,
            message_id=message.id,
            sender=sender,
            phase="deciding",
            definitions=rules.digest,
        )
    )
    emit_question(turn, message, names, rules)


def emit_question(
    turn: Turn, message: Envelope, names: tuple[str, ...], rules: Rules, *, problem: str = ""
) -> None:
    """Ask for the model call of the message in flight, at the attempt it has reached."""
    in_flight = turn.state.in_flight
    if in_flight is None:
        return
    request = routing_request(
        message, names, rules, sender=in_flight.sender, fleet=turn.state.fleet, problem=problem
    )
    turn.emit(
        AskModel(
            sequence=in_flight.sequence,
            request=request,
            priority=message.priority,
            not_before_ms=in_flight.not_before_ms,
            timeout_seconds=rules.engine.model_timeout_seconds,
        )
    )


def conclude(
    turn: Turn,
    message: Envelope,
    agent: str,
    candidates: Weighed | None,
    *,
    path: DecisionPath,
    reason: str,
    slot: str | None = None,
    sender: str | None = None,
    **more: Any,
) -> bool:
    """Record the decision for `agent` and dispatch, unless a guard ends the episode; False when it did.

    `candidates` is None where nobody was weighed: the message names its target, and `slot` says which. `sender` is the agent whose
    answer the message is.
    """
    rules = current_rules(turn)
    is_routed = slot is None
    slot = slot or route_slot(turn, message)
    # What a person edited it has not: the subscription gave it the message as it came.
    is_given = more.get("data_from") is None and has_by_subscription(turn, message, agent)
    if is_given:
        reason = f"{reason}; it has the message by subscription, so it gets no second task"
    turn.record(
        message, slot=slot, agent=agent, path=path, reason=reason, candidates=candidates, **more
    )
    if is_given:
        return True
    digest = data_digest(message.data)
    fleet = turn.state.fleet or rules.agents[agent].fleet
    budgets = rules.policy_of(fleet).budgets
    stop = check_dispatch(turn.state, agent, digest, budgets)
    if stop is not None and turn.state.workflow is not None:
        # Only this branch ends: the workflow beside it has something to finish, or to undo.
        turn.judge(stop.status, stop.detail)
        return False
    if stop is not None:
        turn.end_episode(stop.status, stop.detail)
        return False
    if turn.state.fleet is None:
        # The first dispatch says whose conversation this is, and so which time budget it has.
        deadline_ms = turn.now_ms + int(budgets.seconds * 1000)
        turn.evolve(fleet=fleet, deadline_ms=deadline_ms)
    turn.evolve(last_step=step_key(agent, digest))
    # The task says what decided it: of a question that was open when definitions changed, the version that asked.
    task_id = send_task(
        turn,
        message,
        agent,
        slot,
        message.data,
        task_seconds=budgets.task_seconds,
        definitions=more.get("definitions", rules.digest),
    )
    if is_routed:
        keep(turn, task_id, rules.agents[agent], message, sender)
        if turn.state.detours:
            forget(turn, message)
    return True


def conclude_none(
    turn: Turn,
    message: Envelope,
    candidates: Weighed,
    *,
    path: DecisionPath,
    reason: str,
    sender: str | None,
    sequence: int | None,
    **more: Any,
) -> None:
    """Record NONE: the branch is complete, or a person looks at it first, or it ends as `none`."""
    is_complete = message.type in current_rules(turn).completes_on
    if is_complete:
        reason = f"{message.type} completes the conversation; {reason}"
    acting = () if is_complete else acting_subscribers(turn, message)
    if acting:
        reason = f"{', '.join(acting[:MAX_LISTED])} have it by subscription; {reason}"
    elif not is_complete and turn.policy.review.on_none and path != "human":
        # No record yet: the person's answer is this message's one decision.
        turn.park(message, candidates, reason, sender=sender, sequence=sequence, **more)
        return
    turn.record(
        message,
        slot=route_slot(turn, message),
        agent=NONE,
        path=path,
        reason=reason,
        candidates=candidates,
        **more,
    )
    turn.release(sequence)
    if acting and turn.state.fleet is None:
        turn.evolve(fleet=current_rules(turn).agents[acting[0]].fleet)
    if is_complete:
        turn.judge("completed", f"{message.type} completes the conversation")
    elif acting:
        turn.judge("completed", f"{len(acting)} have {message.type} by subscription")
    else:
        turn.judge("none", reason)


def _decide_explicit(
    turn: Turn, message: Envelope, rules: Rules, *, sender: str | None, sequence: int | None
) -> None:
    turn.release(sequence)
    problem = target_problem(message, rules, handoffs_of(sender, turn.rulebook))
    if problem is not None:
        turn.dead_letter(message, "unknown_agent", problem)
        turn.judge("failed", problem)
        return
    for number, name in enumerate(dict.fromkeys(message.targets)):
        if not conclude(
            turn,
            message,
            name,
            None,
            path="explicit",
            reason=f"the message names {name} as its target",
            slot=f"target:{number}",
        ):
            return
