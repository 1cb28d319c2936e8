"""The reducer: `reduce(state, tick, now_ms, rulebook) -> (state, commands)`, the whole orchestrator as a pure function.

Time is an argument, models and brokers are commands and ticks. A conversation has at most one decision in flight; its later
messages wait their turn. Every accepted message ends in exactly one of: dispatched, part of an outcome, parked, dead-lettered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.decision import NONE, DecisionPath
from signalbox.contracts.envelope import TASK_ESCALATED, Envelope
from signalbox.contracts.events import is_event
from signalbox.routing.answers import UnusableAnswer, parse_answer
from signalbox.routing.arrive import arrive, escalate
from signalbox.routing.backoff import backoff_ms
from signalbox.routing.candidates import Weighed, definition_of, handoffs_of, weigh
from signalbox.routing.commands import Command
from signalbox.routing.decide import conclude, conclude_none, current_rules, decide, emit_question
from signalbox.routing.events import publish_end, take_event
from signalbox.routing.hear import end_listening, is_listener
from signalbox.routing.left_out import as_asked, is_to_be_left_out
from signalbox.routing.prompt import prompt_digest, routing_request
from signalbox.routing.rules import Rulebook, Rules
from signalbox.routing.state import Conversation, InFlight
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
            _answered(turn, tick)
        case ModelFailed():
            _failed(turn, tick)
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
            _apply_resolution(turn, tick.message, in_flight)
        else:
            _ask_again(turn, tick.message, in_flight)
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


def _ask_again(turn: Turn, message: Envelope, in_flight: InFlight) -> None:
    """The call was lost in a restart: ask again, under the version that admitted the message while it is kept."""
    rules = turn.rulebook.version(in_flight.definitions)
    if rules is None:
        _decide_anew(turn, message, in_flight)
        return
    names = _candidates(turn, message, in_flight, rules).accepted
    emit_question(turn, message, names, rules)


def _answered(turn: Turn, tick: ModelAnswered) -> None:
    in_flight = _deciding(turn, tick.sequence)
    if in_flight is None:
        return
    answer, message = tick.answer, tick.message
    in_flight = in_flight.evolve(
        tokens_in=in_flight.tokens_in + answer.tokens_in,
        tokens_out=in_flight.tokens_out + answer.tokens_out,
    )
    spent = answer.tokens_in + answer.tokens_out
    turn.evolve(in_flight=in_flight, tokens=turn.state.tokens + spent)
    rules = turn.rulebook.version(in_flight.definitions)
    if rules is None:
        _decide_anew(turn, message, in_flight)
        return
    candidates = _candidates(turn, message, in_flight, rules).scored(answer.scores or {})
    names = candidates.accepted
    verdict = parse_answer(answer.text, answer.shortlist or names)
    facts = _facts(turn, message, in_flight, names, rules, answer)
    if isinstance(verdict, UnusableAnswer):
        _repair_or_review(turn, message, in_flight, rules, candidates, verdict.problem, facts=facts)
        return
    facts["confidence"] = verdict.confidence
    path: DecisionPath = "cache" if answer.cached else "model"
    if verdict.agent == NONE:
        conclude_none(
            turn,
            message,
            candidates,
            path=path,
            reason=verdict.reason,
            sender=in_flight.sender,
            sequence=in_flight.sequence,
            **facts,
        )
    elif verdict.confidence < turn.policy.review.below_confidence:
        reason = f"{answer.model} chose {verdict.agent} with confidence {verdict.confidence:.2f}: {verdict.reason}"
        turn.park(
            message,
            candidates,
            reason,
            sender=in_flight.sender,
            sequence=in_flight.sequence,
            **facts,
        )
    elif verdict.agent not in current_rules(turn).agents or (
        turn.rulebook.failed and is_to_be_left_out(turn, candidates, verdict.agent)
    ):
        _decide_anew(turn, message, in_flight)
    else:
        turn.release(in_flight.sequence)
        conclude(
            turn,
            message,
            verdict.agent,
            candidates,
            path=path,
            reason=verdict.reason,
            sender=in_flight.sender,
            **facts,
        )


def _failed(turn: Turn, tick: ModelFailed) -> None:
    in_flight = _deciding(turn, tick.sequence)
    if in_flight is None:
        return
    rules = turn.rulebook.version(in_flight.definitions)
    if rules is None:
        _decide_anew(turn, tick.message, in_flight)
        return
    engine = rules.engine
    if tick.is_retryable and in_flight.attempt < engine.model_max_attempts:
        wait_ms = backoff_ms(
            in_flight.attempt,
            base_seconds=engine.backoff_base_seconds,
            cap_seconds=engine.backoff_cap_seconds,
            seed=in_flight.message_id,
            retry_after_seconds=tick.retry_after_seconds,
        )
        turn.evolve(
            in_flight=in_flight.evolve(
                attempt=in_flight.attempt + 1, not_before_ms=turn.now_ms + wait_ms
            )
        )
        names = _candidates(turn, tick.message, in_flight, rules).accepted
        emit_question(turn, tick.message, names, rules)
        return
    detail = f"attempt {in_flight.attempt} of {engine.model_max_attempts}: {tick.detail}"
    turn.release(in_flight.sequence)
    turn.dead_letter(tick.message, "model_failed", detail, attempts=in_flight.attempt)
    turn.judge("failed", detail)


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


def _apply_resolution(turn: Turn, message: Envelope, in_flight: InFlight) -> None:
    resolution = in_flight.resolution
    if resolution is None:
        return
    rules = current_rules(turn)
    # Waiting for a person does not spend the agents' time budget: it begins anew.
    turn.evolve(deadline_ms=turn.now_ms + int(turn.policy.budgets.seconds * 1000))
    is_edited = resolution.data is not None
    given = message if resolution.data is None else message.evolve(data=resolution.data)
    # A person may overrule an allowlist, never a contract: the agent could not use the data.
    candidates = weigh(given.data, rules, None)
    reason = f"{resolution.resolved_by} decided{' on edited data' if is_edited else ''}"
    if resolution.comment:
        reason = f"{reason}: {resolution.comment}"
    # A model may have been asked first; its tokens are on no other record.
    spent: dict[str, Any] = {"tokens_in": in_flight.tokens_in, "tokens_out": in_flight.tokens_out}
    if resolution.agent == NONE:
        conclude_none(
            turn,
            message,
            candidates,
            path="human",
            reason=reason,
            sender=in_flight.sender,
            sequence=in_flight.sequence,
            **spent,
        )
    elif resolution.agent not in candidates.accepted:
        _ask_person_again(turn, message, given, in_flight, resolution.agent)
    else:
        turn.release(in_flight.sequence)
        conclude(
            turn,
            given,
            resolution.agent,
            candidates,
            path="human",
            reason=reason,
            sender=in_flight.sender,
            data_from=resolution.message_id if is_edited else None,
            **spent,
        )


def _ask_person_again(
    turn: Turn, message: Envelope, given: Envelope, in_flight: InFlight, agent: str
) -> None:
    """The chosen agent could not use the data: the question stays, about the message as it came."""
    rules = current_rules(turn)
    told = "the data"
    if given is not message:
        told = f"the edited data ({', '.join(rules.agents[agent].contract.violations(given.data))})"
    problem = f"{agent} does not accept {told}; choose another agent or NONE"
    candidates = weigh(message.data, rules, None)
    turn.park(message, candidates, problem, sender=in_flight.sender, sequence=in_flight.sequence)


def _repair_or_review(
    turn: Turn,
    message: Envelope,
    in_flight: InFlight,
    rules: Rules,
    candidates: Weighed,
    problem: str,
    *,
    facts: Mapping[str, Any],
) -> None:
    if in_flight.is_repaired:
        turn.park(
            message,
            candidates,
            f"the model's answer was unusable twice: {problem}",
            sender=in_flight.sender,
            sequence=in_flight.sequence,
            **facts,
        )
        return
    turn.evolve(in_flight=in_flight.evolve(is_repaired=True, not_before_ms=0))
    emit_question(turn, message, candidates.accepted, rules, problem=problem)


def _decide_anew(turn: Turn, message: Envelope, in_flight: InFlight) -> None:
    """The version this decision began under is gone, or the chosen agent is: decide under the current one."""
    turn.evolve(in_flight=None)
    decide(turn, message, sender=in_flight.sender, sequence=in_flight.sequence)


def _deciding(turn: Turn, sequence: int) -> InFlight | None:
    in_flight = turn.state.in_flight
    if in_flight is None or in_flight.sequence != sequence or in_flight.phase != "deciding":
        return None  # an answer to a question nobody asks any more: the episode ended meanwhile
    return in_flight


def _candidates(turn: Turn, message: Envelope, in_flight: InFlight, rules: Rules) -> Weighed:
    weighed = weigh(message.data, rules, handoffs_of(in_flight.sender, turn.rulebook))
    return as_asked(turn, message, weighed) if turn.state.detours else weighed


def _facts(
    turn: Turn,
    message: Envelope,
    in_flight: InFlight,
    names: tuple[str, ...],
    rules: Rules,
    answer: ChatAnswer,
) -> dict[str, Any]:
    request = routing_request(
        message, names, rules, sender=in_flight.sender, fleet=turn.state.fleet
    )
    return {
        "model": answer.model,
        "prompt_digest": prompt_digest(request),
        "shortlist": answer.shortlist,
        "calibration": answer.calibration,
        "definitions": rules.digest,
        "answer": answer.text,
        "tokens_in": in_flight.tokens_in,
        "tokens_out": in_flight.tokens_out,
        "latency_ms": answer.latency_ms,
        "attempts": in_flight.attempt + in_flight.is_repaired,
        "cached": answer.cached,
    }
