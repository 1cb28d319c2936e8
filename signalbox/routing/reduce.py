"""The reducer: `reduce(state, tick, now_ms, rulebook) -> (state, commands)`, the whole orchestrator as a pure function.

Time is an argument, models and brokers are commands and ticks. A conversation has at most one decision in flight; its later
messages wait their turn. Every accepted message ends in exactly one of: dispatched, part of an outcome, parked, dead-lettered.
"""

from __future__ import annotations

from typing import assert_never

from signalbox.contracts.envelope import TASK_ESCALATED
from signalbox.contracts.events import is_event
from signalbox.routing.arrive import arrive, escalate
from signalbox.routing.candidates import definition_of
from signalbox.routing.commands import Command
from signalbox.routing.decide import decide
from signalbox.routing.events import publish_end, take_event
from signalbox.routing.hear import end_listening, is_listener
from signalbox.routing.model_answer import answered, ask_again, failed
from signalbox.routing.resolution import apply_resolution
from signalbox.routing.rules import Rulebook
from signalbox.routing.state import Conversation
from signalbox.routing.taking_back import (
    agent_failed,
    decide_what_was_taken_back,
    unacknowledged,
)
from signalbox.routing.ticks import (
    AgentFailed,
    DecisionCrashed,
    DefinitionsReady,
    MessageArrived,
    MessageReady,
    ModelAnswered,
    ModelFailed,
    Recalled,
    Tick,
    TimePassed,
    WorkflowCrashed,
)
from signalbox.routing.turn import Turn
from signalbox.routing.workflow import approval
from signalbox.routing.workflow.answers import silent
from signalbox.routing.workflow.clock import out_of_time, stop_if_late
from signalbox.routing.workflow.failure import give_up
from signalbox.routing.workflow.going_on import go_on


def reduce(
    state: Conversation, tick: Tick, now_ms: int, rulebook: Rulebook
) -> tuple[Conversation, tuple[Command, ...]]:
    """Take one tick.

    Args:
        state: the conversation; `Conversation(id=subject)` for a new one. Returned as the same object when nothing changed.
        tick: what happened.
        now_ms: the time, ms since 1970.
        rulebook: the active definitions; while it has none, messages wait.
    """
    turn = Turn(state, now_ms, rulebook)
    _take_tick(turn, tick)
    if turn.state.kept:
        decide_what_was_taken_back(turn)
    go_on(turn)
    turn.settle()
    publish_end(turn)
    return turn.state, tuple(turn.commands)


def _take_tick(turn: Turn, tick: Tick) -> None:
    match tick:
        case MessageArrived():
            arrive(turn, tick)
        case MessageReady():
            _ready(turn, tick)
        case ModelAnswered():
            answered(turn, tick)
        case ModelFailed():
            failed(turn, tick)
        case DecisionCrashed():
            _crashed(turn, tick)
        case TimePassed():
            _time_passed(turn)
        case Recalled(messages):
            turn.at_hand |= messages
        case WorkflowCrashed() | AgentFailed() | DefinitionsReady():
            _take_news(turn, tick)
        case _:
            assert_never(tick)


def _take_news(turn: Turn, tick: WorkflowCrashed | AgentFailed | DefinitionsReady) -> None:
    match tick:
        case WorkflowCrashed(detail):
            _workflow_crashed(turn, detail)
        case AgentFailed(agent) if turn.state.is_open:
            agent_failed(turn, agent)


def _ready(turn: Turn, tick: MessageReady) -> None:
    in_flight = turn.state.in_flight
    if in_flight is not None:
        if in_flight.sequence != tick.sequence:
            return
        if in_flight.phase == "parked":
            apply_resolution(turn, tick.message, in_flight)
        else:
            ask_again(turn, tick.message, in_flight)
        return
    waiting = turn.state.waiting
    if not waiting or waiting[0].sequence != tick.sequence:
        return
    head = waiting[0]
    turn.evolve(waiting=waiting[1:])
    if is_event(tick.message):
        turn.release(tick.sequence)
        take_event(turn, tick.message)
        return
    if not turn.state.is_open:
        if head.sender is not None:
            turn.release(tick.sequence)
            turn.dead_letter(
                tick.message, "late", "the conversation ended while this answer waited"
            )
            return
        turn.begin_episode()
    if head.sender is not None and tick.message.type == TASK_ESCALATED:
        escalate(turn, tick.message, head.sender, sequence=tick.sequence)
        return
    decide(turn, tick.message, sender=head.sender, sequence=tick.sequence)


def _crashed(turn: Turn, tick: DecisionCrashed) -> None:
    """Our own mistake costs one message, not the job."""
    turn.evolve(
        waiting=tuple(entry for entry in turn.state.waiting if entry.sequence != tick.sequence)
    )
    if tick.sequence >= 0:
        turn.release(tick.sequence)
    else:
        turn.mark_seen(tick.message.id)
    detail = f"the orchestrator could not decide this message: {tick.detail}"
    turn.dead_letter(tick.message, "handler_failed", detail)
    if turn.state.is_open:
        turn.judge("failed", detail)


def _workflow_crashed(turn: Turn, detail: str) -> None:
    """Our own mistake costs one run, not the job."""
    if turn.state.workflow is not None:
        give_up(turn, f"the orchestrator could not go on with it: {detail}")


def _time_passed(turn: Turn) -> None:
    state = turn.state
    if not state.is_open:
        return
    approval.time_passed(turn)
    stop_if_late(turn)
    if turn.now_ms >= turn.state.deadline_ms and not out_of_time(turn):
        seconds = (turn.now_ms - state.started_at_ms) / 1000
        detail = f"not finished after {seconds:.0f} s, the fleet's time budget"
        turn.end_episode("expired", turn.state.verdict_detail or detail)
        return
    in_flight = state.in_flight
    if in_flight and in_flight.phase == "parked" and turn.now_ms >= in_flight.review_deadline_ms:
        turn.release(in_flight.sequence)
        turn.judge("none", "nobody decided before the review's deadline")
    if turn.state.kept:
        unacknowledged(turn)
    for task_id, dispatch in turn.state.open.items():
        if turn.now_ms >= dispatch.deadline_ms:
            is_notice = turn.state.is_notice(task_id)
            turn.close_task(task_id)
            silence = f"{dispatch.agent} did not answer {task_id} in time"
            run = turn.state.workflow
            step_id = None if run is None else run.step_of(task_id)
            if step_id is not None:
                silent(turn, step_id, f"{dispatch.agent} did not answer in time")
            elif is_notice or is_listener(definition_of(dispatch.agent, turn.rulebook)):
                end_listening(turn, silence)
            else:
                turn.judge("expired", silence)
