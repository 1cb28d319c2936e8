"""Fan-out: every subscriber whose filters fit a message gets a task of its own, besides the agent it is routed to.

At once, also while a decision of the conversation is in flight. A subscriber's task costs no hop. What ends a circle: an agent never
hears what it answered itself, and in one episode it hears at most `budgets.hops` answers of agents. So an episode causes at most
(messages from outside + hops) tasks per subscriber, beside the hops themselves.

Where the subscriber's contract refuses the data, or a budget or a filter fails, one record of the message says so (slot
`subscription`, agent NONE): that is no dead letter, since the message goes its way.
"""

from __future__ import annotations

from typing import Final

from signalbox.contracts.control import Pause
from signalbox.contracts.decision import NONE, Candidate, Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import (
    NOTICE_SLOT,
    SUBSCRIPTION_SLOT,
    dispatch_id,
    notice_slot,
    seen_hash,
    subscription_slot,
)
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.specs import AgentDefinition
from signalbox.routing.commands import Count, Dispatch, RecordDecision, SetPaused
from signalbox.routing.guards import check_budgets
from signalbox.routing.kept import KeptTask
from signalbox.routing.rules import Rules
from signalbox.routing.send_task import new_task, send_task, task_deadline_ms
from signalbox.routing.state import OpenDispatch
from signalbox.routing.turn import Turn

MAX_LISTED: Final = 20
"""Subscribers that a record lists of those that did not get the message."""


def hear(turn: Turn, message: Envelope, *, sender: str | None) -> None:
    """Give `message` to its subscribers and carry out what it pauses and resumes; a second time changes nothing.

    A message that names its target is addressed: nobody else hears it.
    """
    rules = turn.rulebook.current
    if rules is None or not turn.state.is_open:
        return
    heard = rules.subscriptions.of(message)
    if not heard or _was_given(turn, message, SUBSCRIPTION_SLOT):
        return
    _remember(turn, message, SUBSCRIPTION_SLOT)
    for agents, is_paused in ((heard.pauses, True), (heard.resumes, False)):
        for agent in agents:
            turn.emit(_control(turn, message, agent, is_paused), Count("signalbox.pauses"))
    left_out = [(agent, f"filter failed: {why}") for agent, why in heard.failed]
    turn.emit(*(Count("signalbox.filter_failures") for _ in heard.failed))
    if message.target is None:
        for agent in heard.subscribers:
            if agent == sender:
                continue
            problem = _problem(turn, message, rules, agent, sender)
            if problem is None:
                _give(turn, message, rules, agent, sender)
            else:
                left_out.append((agent, problem))
                turn.emit(Count("signalbox.subscription_refusals"))
    if left_out:
        _record_left_out(turn, message, rules, left_out, slot=SUBSCRIPTION_SLOT)


def notify(turn: Turn, message: Envelope, agents: tuple[str, ...]) -> None:
    """Give `message` to `agents`, whom it concerns although they need not subscribe; what they answer ends there.

    Each takes a hop: anybody can write such a message, so it may do no more than one that names its targets.
    """
    rules = turn.rulebook.current
    left_out: list[tuple[str, str]] = []
    for agent in agents:
        if rules is None or has_by_subscription(turn, message, agent):
            continue
        compiled = rules.agents[agent]
        budgets = rules.policy_of(turn.state.fleet or compiled.fleet).budgets
        violations = compiled.contract.violations(message.data)
        stop = check_budgets(turn.state, agent, budgets)
        if violations:
            left_out.append((agent, f"does not accept the data: {', '.join(violations)}"))
        elif stop is not None:
            left_out.append((agent, stop.detail))
        else:
            reason = f"{agent} took part in what {message.type} tells of"
            slot = notice_slot(agent)
            turn.record(
                message,
                slot=slot,
                agent=agent,
                path="subscription",
                reason=reason,
                candidates=None,
            )
            task_id = send_task(
                turn,
                message,
                agent,
                slot,
                message.data,
                task_seconds=budgets.task_seconds,
                definitions=rules.digest,
                causetype=message.type,
            )
            turn.keep_task(task_id, KeptTask(is_notice=True))
    if rules is not None and left_out:
        _record_left_out(turn, message, rules, left_out, slot=NOTICE_SLOT)


def has_by_subscription(turn: Turn, message: Envelope, agent: str) -> bool:
    """Say whether `agent` was given this very message as a subscriber."""
    rules = turn.rulebook.current
    if rules is None or agent not in rules.agents:
        return False
    is_subscriber = rules.agents[agent].definition.subscribe is not None
    return is_subscriber and _was_given(turn, message, subscription_slot(agent))


def acting_subscribers(turn: Turn, message: Envelope) -> tuple[str, ...]:
    """Return the subscribers that were given `message` and act on it; those that only listen are left out."""
    rules = turn.rulebook.current
    if rules is None:
        return ()
    return tuple(
        agent
        for agent in rules.subscriptions.of(message).subscribers
        if not is_listener(rules.agents[agent].definition)
        and has_by_subscription(turn, message, agent)
    )


def is_listener(definition: AgentDefinition | None) -> bool:
    """Say whether an agent only listens: its answers end there."""
    subscribe = None if definition is None else definition.subscribe
    return subscribe is not None and subscribe.role == "listener"


def end_listening(turn: Turn, detail: str) -> None:
    """End the branch of a listener: it says nothing about the conversation, unless nothing else does."""
    if turn.state.verdict is None:
        turn.judge("none", detail)


def _control(turn: Turn, message: Envelope, agent: str, is_paused: bool) -> SetPaused:
    return SetPaused(
        Pause(
            agent=agent,
            paused=is_paused,
            message_id=message.id,
            conversation_id=turn.state.id,
            type=message.type,
            source=message.source,
            at=from_epoch_ms(turn.now_ms),
        )
    )


def _problem(
    turn: Turn, message: Envelope, rules: Rules, agent: str, sender: str | None
) -> str | None:
    compiled = rules.agents[agent]
    violations = compiled.contract.violations(message.data)
    if violations:
        return f"does not accept the data: {', '.join(violations)}"
    budgets = rules.policy_of(turn.state.fleet or compiled.fleet).budgets
    if turn.state.tokens > budgets.tokens:
        return f"{turn.state.tokens} of {budgets.tokens} tokens are spent"
    if sender is not None and turn.state.heard.get(agent, 0) >= budgets.hops:
        return (
            f"it heard {budgets.hops} answers of agents in this episode, as many as there are hops"
        )
    return None


def _give(turn: Turn, message: Envelope, rules: Rules, agent: str, sender: str | None) -> None:
    state, compiled, slot = turn.state, rules.agents[agent], subscription_slot(agent)
    subscribe = compiled.definition.subscribe
    budgets = rules.policy_of(state.fleet or compiled.fleet).budgets
    deadline_ms = task_deadline_ms(turn, budgets.task_seconds)
    turn.record(
        message,
        slot=slot,
        agent=agent,
        path="subscription",
        reason=f"{agent} subscribes to it",
        candidates=None,
    )
    task = new_task(
        turn,
        message,
        agent,
        slot,
        message.data,
        deadline_ms=deadline_ms,
        definitions=rules.digest,
        causetype=message.type,
        priority=(subscribe and subscribe.priority) or message.priority,
    )
    heard = state.heard
    if sender is not None:
        heard = {**heard, agent: heard.get(agent, 0) + 1}
    turn.evolve(open={**state.open, task.id: OpenDispatch(agent, deadline_ms)}, heard=heard)
    _remember(turn, message, slot)
    turn.emit(Dispatch(agent, task), Count("signalbox.subscription_tasks"))


def _record_left_out(
    turn: Turn, message: Envelope, rules: Rules, left_out: list[tuple[str, str]], *, slot: str
) -> None:
    shown = left_out[:MAX_LISTED]
    more = len(left_out) - len(shown)
    reason = "; ".join(f"{agent} {why}" for agent, why in shown[:3])
    turn.emit(
        RecordDecision(
            Decision(
                message_id=message.id,
                slot=slot,
                conversation_id=turn.state.id,
                hop=turn.state.hops,
                agent=NONE,
                path="subscription",
                reason=f"{len(left_out)} did not get it by {slot}: {reason}"[:1000],
                candidates=tuple(
                    Candidate(agent=agent, accepted=False, violations=(why[:300],))
                    for agent, why in shown
                ),
                rejected_total=len(shown) + more,
                definitions_digest=rules.digest,
                decided_at=from_epoch_ms(turn.now_ms),
            )
        )
    )


def _was_given(turn: Turn, message: Envelope, slot: str) -> bool:
    return turn.state.has_seen(seen_hash(dispatch_id(message.id, slot)))


def _remember(turn: Turn, message: Envelope, slot: str) -> None:
    """Note it where admitted ids are noted: eight bytes, and no further kind of state."""
    turn.mark_seen(dispatch_id(message.id, slot))
