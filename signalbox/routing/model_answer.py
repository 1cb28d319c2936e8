"""A model's part in a decision: what it answered, or why it did not, and the question put again.

Every question is understood by the version of the definitions that admitted its message, while that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signalbox.contracts.chat import ChatAnswer
from signalbox.contracts.decision import NONE, DecisionPath
from signalbox.contracts.envelope import Envelope
from signalbox.routing.answers import UnusableAnswer, parse_answer
from signalbox.routing.backoff import backoff_ms
from signalbox.routing.candidates import Weighed, handoffs_of, weigh
from signalbox.routing.decide import conclude, conclude_none, current_rules, decide, emit_question
from signalbox.routing.left_out import as_asked, is_to_be_left_out
from signalbox.routing.prompt import prompt_digest, routing_request
from signalbox.routing.rules import Rules
from signalbox.routing.state import InFlight
from signalbox.routing.ticks import ModelAnswered, ModelFailed
from signalbox.routing.turn import Turn


def ask_again(turn: Turn, message: Envelope, in_flight: InFlight) -> None:
    """Ask anew what a restart lost the call of, under the version that admitted the message while it is kept."""
    rules = turn.rulebook.version(in_flight.definitions)
    if rules is None:
        _decide_anew(turn, message, in_flight)
        return
    names = _candidates(turn, message, in_flight, rules).accepted
    emit_question(turn, message, names, rules)


def answered(turn: Turn, tick: ModelAnswered) -> None:
    """Take what the model said: an agent, NONE, or what nobody can use, of which it is told once."""
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


def failed(turn: Turn, tick: ModelFailed) -> None:
    """Ask again after a wait, where that can help and was not done too often; else the message is a dead letter."""
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
