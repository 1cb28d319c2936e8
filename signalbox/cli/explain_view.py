"""Why one message went where it went, from the facts; written as lines or JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from signalbox.cli.facts import Fact
from signalbox.cli.moments import duration
from signalbox.cli.screen import Line
from signalbox.cli.trace_view import chosen
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Candidate, Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.record import rfc3339, to_epoch_ms
from signalbox.contracts.review import Review
from signalbox.topics import AGENT_MESSAGES


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything the topics say about the deciding of one message. `asked_for` is the id as given: the message's or its task's."""

    asked_for: str
    message_id: str
    message: Envelope | None
    arrived_ms: int | None
    decisions: tuple[Decision, ...]
    reviews: tuple[Review, ...]
    dead_letters: tuple[DeadLetter, ...]


def explanation_of(identifier: str, facts: Iterable[Fact]) -> Explanation | None:
    """Find the message `identifier` (or the message whose task that is); None when no topic knows it."""
    known = sorted(facts, key=lambda fact: (fact.at_ms, fact.offset))
    message_id = _message_of(identifier, known)
    arrival = next((fact for fact in known if _is_message(fact, message_id)), None)
    bodies = [fact.body for fact in known]
    decisions = tuple(b for b in bodies if isinstance(b, Decision) and b.message_id == message_id)
    reviews = tuple(b for b in bodies if isinstance(b, Review) and b.message.id == message_id)
    dead = tuple(
        b for b in bodies if isinstance(b, DeadLetter) and b.message_id in {message_id, identifier}
    )
    if arrival is None and not (decisions or reviews or dead):
        return None
    message = arrival.body if arrival is not None and isinstance(arrival.body, Envelope) else None
    arrived_ms = arrival.at_ms if arrival is not None else None
    return Explanation(identifier, message_id, message, arrived_ms, decisions, reviews, dead)


def _message_of(identifier: str, facts: list[Fact]) -> str:
    for fact in facts:
        is_task = fact.task_agent is not None and isinstance(fact.body, Envelope)
        if is_task and isinstance(fact.body, Envelope) and fact.body.id == identifier:
            return fact.body.causationid or identifier
    return identifier


def _is_message(fact: Fact, message_id: str) -> bool:
    if fact.topic != AGENT_MESSAGES or not isinstance(fact.body, Envelope):
        return False
    return fact.body.id == message_id


def lines_of(explanation: Explanation, details: Sequence[Sequence[Line]] = ()) -> Iterator[Line]:
    """Write the explanation for a person; `details` are further lines of each decision, then of each review that routing led to."""
    of_reviews = iter(details[len(explanation.decisions) :])
    message = explanation.message
    if message is not None:
        yield Line(f"{message.type}  {message.id}", "bold")
        yield Line(f"from {message.source} in conversation {message.subject}")
    else:
        yield Line(f"{explanation.message_id}  (no longer on agent_messages)", "bold")
    if explanation.asked_for != explanation.message_id:
        yield Line(f"task {explanation.asked_for} was made of it")
    for number, decision in enumerate(explanation.decisions):
        yield Line("")
        yield from _decision_lines(decision, explanation.arrived_ms)
        yield from details[number] if number < len(details) else ()
    for review in explanation.reviews:
        yield Line("")
        yield from _review_lines(review, is_decided=bool(explanation.decisions))
        yield from next(of_reviews, ()) if is_routing(review) else ()
    for dead in explanation.dead_letters:
        yield Line("")
        yield Line(f"dead letter {dead.reason} on {dead.topic}: {dead.detail}", "red")
    if not (explanation.decisions or explanation.reviews or explanation.dead_letters):
        yield Line("")
        yield Line("not decided yet: it waits for a model, its turn, or definitions", "yellow")


def is_routing(review: Review) -> bool:
    """Say whether a review asks where a message goes, and by which definitions: a workflow's approval is no such question."""
    return review.token is None and review.definitions_digest is not None


def _review_lines(review: Review, *, is_decided: bool) -> Iterator[Line]:
    yield Line(f"put to a person until {rfc3339(review.deadline)}: {review.reason}", "yellow")
    for name, value in _model_rows(review):
        yield Line(f"  {name:<12} {value}")
    if not is_decided:
        yield from _candidate_lines(review.candidates)
        yield from _unlisted_lines(review)


def _decision_lines(decision: Decision, arrived_ms: int | None) -> Iterator[Line]:
    who = chosen(decision)
    style = "bold yellow" if who in {NONE, "plan refused"} else "bold green"
    slot = "" if decision.slot == "route" else f" (slot {decision.slot})"
    yield Line(f"→ {who}{slot}", style)
    rows = [("path", _path(decision)), ("reason", decision.reason)]
    if decision.data_from is not None:
        rows.append(("data", f"edited by a person, in message {decision.data_from}"))
    rows += _model_rows(decision)
    rows.append(("definitions", decision.definitions_digest))
    when = rfc3339(decision.decided_at)
    if arrived_ms is not None:
        waited = max(0, to_epoch_ms(decision.decided_at) - arrived_ms)
        when += f", {duration(waited)} after it arrived"
    rows.append(("decided", f"{when}; {decision.hop} hops so far"))
    for name, value in rows:
        yield Line(f"  {name:<12} {value}")
    yield from _candidate_lines(decision.candidates)
    yield from _unlisted_lines(decision)


def _path(decision: Decision) -> str:
    meanings = {
        "explicit": "the message names its target",
        "contract": "the input contracts decided, no model was asked",
        "cache": "an equal question was answered before",
        "model": "more than one contract accepts the data, so a model was asked",
        "human": "a person decided",
        "workflow": "a workflow's step names its agent",
        "subscription": "the agent subscribes to such messages",
    }
    meaning = meanings.get(decision.path)
    if decision.path == "model" and sum(one.accepted for one in decision.candidates) <= 1:
        meaning = "a model was asked"
    return f"{decision.path}: {meaning}" if meaning else decision.path


def _model_rows(record: Decision | Review) -> Iterator[tuple[str, str]]:
    """What a model was asked and said, for a decision or before a person was asked."""
    if record.model is None:
        return
    calls = "1 attempt" if record.attempts == 1 else f"{record.attempts} attempts"
    tokens = f"{record.tokens_in} tokens in, {record.tokens_out} out"
    cached = ", answered from the cache" if record.cached else ""
    yield "model", f"{record.model}, {calls}, {duration(record.latency_ms)}, {tokens}{cached}"
    if record.confidence is not None:
        yield "confidence", f"{record.confidence:.2f}"
    if record.answer is not None:
        yield "answer", record.answer
    if record.prompt_digest is not None:
        yield "prompt", record.prompt_digest
    if record.calibration is not None:
        yield "calibration", record.calibration
    if record.shortlist:
        yield (
            "shortlist",
            f"asked of the {len(record.shortlist)} nearest: {', '.join(record.shortlist)}",
        )


def _candidate_lines(candidates: tuple[Candidate, ...]) -> Iterator[Line]:
    if not candidates:
        return
    yield Line("  candidates, in order")
    width = max(len(candidate.agent) for candidate in candidates)
    for candidate in candidates:
        mark = "✓" if candidate.accepted else "✗"
        notes = ["accepts"] if candidate.accepted else list(candidate.violations)
        if candidate.score is not None:
            notes.insert(0, f"score {candidate.score:.2f}")
        style = "green" if candidate.accepted else "dim"
        yield Line(f"    {mark} {candidate.agent:<{width}}  {'; '.join(notes)}", style)


def _unlisted_lines(record: Decision | Review) -> Iterator[Line]:
    """Say how many agents were weighed and are not listed: a record names the best and the nearest misses."""
    listed = sum(one.accepted for one in record.candidates)
    more = (record.accepted_total or 0) - listed
    if more > 0:
        yield Line(f"    … and {more} more that accept", "green")
    more = (record.rejected_total or 0) - (len(record.candidates) - listed)
    if more > 0:
        yield Line(f"    … and {more} more that do not", "dim")


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Write the explanation for programs: the records as they are on their topics."""
    message = explanation.message
    return {
        "message_id": explanation.message_id,
        "message": message.model_dump(mode="json", exclude_none=True) if message else None,
        "decisions": [_record(decision) for decision in explanation.decisions],
        "reviews": [_record(review) for review in explanation.reviews],
        "dead_letters": [_record(dead) for dead in explanation.dead_letters],
    }


def _record(record: Decision | Review | DeadLetter) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude_none=True)
