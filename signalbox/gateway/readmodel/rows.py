"""One record of a topic as changes of the read model's tables. Pure; what is no valid record changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from connectors.broker import ConsumedRecord
from signalbox.cli.dead_letters import Entry, first_replay, mark_of
from signalbox.cli.facts import Fact, fact_of
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.envelope import ORCHESTRATOR, TASK_FAILED, TASK_STATUS, Envelope
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.ids import dispatch_id
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.record import to_epoch_ms
from signalbox.contracts.review import Review
from signalbox.topics import AGENT_HEARTBEATS, AGENT_MESSAGES, AGENT_REGISTRY, DEAD_LETTER_MARKS

_INTEGERS: Final = 2**63
"""SQLite's have 64 bits; a record's may have as many as somebody writes."""


class Change(NamedTuple):
    """One row to write: the name of its statement in `schema.STATEMENTS`, and its values."""

    statement: str
    values: tuple[Any, ...]


def changes_of(record: ConsumedRecord, prefix: str) -> Iterator[Change]:
    """Yield what a record changes; nothing of one with a number that no table can hold.

    Args:
        record: as it was read.
        prefix: of the topics' names.
    """
    changes = tuple(_changes_of(record, prefix))
    if all(map(_fits, changes)):
        yield from changes


def _fits(change: Change) -> bool:
    return all(-_INTEGERS <= each < _INTEGERS for each in change.values if isinstance(each, int))


def _changes_of(record: ConsumedRecord, prefix: str) -> Iterator[Change]:
    topic = record.topic.removeprefix(prefix)
    if topic == AGENT_REGISTRY:
        if record.key_text is not None:
            values = (record.offset, record.timestamp_ms, record.key_text, record.value)
            yield Change("registry", values)
    elif topic == AGENT_HEARTBEATS:
        yield from _of_heartbeat(record)
    elif topic == DEAD_LETTER_MARKS:
        yield from _of_mark(record)
    elif (fact := fact_of(record, prefix)) is not None:
        yield from _of_fact(fact, record.value or b"")


def _of_heartbeat(record: ConsumedRecord) -> Iterator[Change]:
    try:
        beat: Heartbeat = Heartbeat.from_json(record.value or b"")
    except ValidationError:
        return
    # The job's own, by which it tells a silent broker from silent agents.
    if beat.agent != ORCHESTRATOR:
        yield Change("instance", (beat.agent, beat.instance, record.timestamp_ms, record.value))


def _of_mark(record: ConsumedRecord) -> Iterator[Change]:
    if (mark := mark_of(record)) is not None:
        yield Change("mark", (mark.place, record.offset, record.value))


def _of_fact(fact: Fact, value: bytes) -> Iterator[Change]:
    conversation = fact.conversation_id
    place = (fact.topic, fact.partition, fact.offset)
    yield Change("record", (*place, fact.at_ms, conversation, fact.key, value))
    if fact.task_agent is not None and isinstance(fact.body, Envelope):
        yield Change("task_given", (fact.task_agent, fact.body.id, fact.at_ms))
        return
    if isinstance(fact.body, DeadLetter):
        yield _of_dead_letter(fact, fact.body)
    if conversation is None:
        return
    for identifier in _names(fact):
        yield Change("name", (identifier, conversation))
    yield _of_conversation(conversation, fact)
    match fact.body:
        case Envelope() as message if fact.topic == AGENT_MESSAGES:
            yield from _of_answer(message, fact.at_ms)
            if message.claimed_agent is not None:
                yield Change("said", (message.id, conversation, message.claimed_agent))
        case Decision() as decision if decision.agent != NONE:
            chosen = (decision.message_id, conversation, decision.slot, decision.agent)
            yield Change("chosen", chosen)
        case Review() as review:
            times = (to_epoch_ms(review.opened_at), to_epoch_ms(review.deadline))
            yield Change("review", (review.token or review.message.id, conversation, *times))


def _names(fact: Fact) -> Iterator[str]:
    """Yield the ids by which a person may ask for what the fact belongs to."""
    match fact.body:
        case Envelope() as message:
            yield message.id
        case Decision() as decision:
            yield decision.message_id
            if decision.agent != NONE:
                yield dispatch_id(decision.message_id, decision.slot)
        case Review() as review:
            yield review.message.id
        case DeadLetter(message_id=str() as identifier):
            yield identifier


def _of_conversation(conversation: str, fact: Fact) -> Change:
    began: tuple[Any, Any] = (None, None)
    decided: tuple[Any, Any] = (None, None)
    ended: tuple[Any, Any, Any] = (None, None, None)
    kinds = dict.fromkeys((Envelope, Decision, Review, DeadLetter, Outcome), 0)
    kinds[type(fact.body)] = 1
    match fact.body:
        case Envelope() as message:
            began = (fact.at_ms, message.type)
        case Decision() as decision:
            decided = (to_epoch_ms(decision.decided_at), decision.agent)
        case Outcome() as outcome:
            ended = (outcome.episode, to_epoch_ms(outcome.ended_at), outcome.status)
    times = (fact.at_ms, fact.at_ms)
    return Change("conversation", (conversation, *times, *kinds.values(), *began, *decided, *ended))


def _of_answer(message: Envelope, at_ms: int) -> Iterator[Change]:
    agent, task = message.claimed_agent, message.causationid
    # A claim: it counts where a task of this id was given to this agent.
    if agent is not None and task is not None and message.type != TASK_STATUS:
        yield Change("task_answered", (agent, task, at_ms, int(message.type == TASK_FAILED)))


def _of_dead_letter(fact: Fact, letter: DeadLetter) -> Change:
    place = (fact.partition, fact.offset, fact.at_ms)
    named = (letter.message_id, fact.conversation_id)
    # What its first replay is called: whether there is one is then a question to the tables alone.
    replay = first_replay(Entry(f"{fact.partition}:{fact.offset}", fact.at_ms, letter))
    return Change("dead_letter", (*place, letter.reason, letter.topic, *named, replay))
