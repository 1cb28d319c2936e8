"""From the facts of all conversations to the numbers of a window. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from signalbox.cli.dead_letters import entries_of, state_of
from signalbox.cli.facts import Fact
from signalbox.cli.flow_open import OpenThings, may_be_open
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import NONE, Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.flow.window import (
    DEAD_LETTER,
    DECISION,
    MAX_HOPS,
    MESSAGE,
    MINUTE_MS,
    NONE_FLOW,
    OUTCOME,
    FlowWindow,
    Hops,
    Minute,
    Minutes,
    Seen,
    Span,
    hops_of,
)
from signalbox.topics import AGENT_MESSAGES


def window_of(
    facts: Iterable[Fact], span: Span, *, living: Collection[str], marked: Collection[str]
) -> FlowWindow:
    """Return the numbers of a window.

    Args:
        facts: everything that the topics keep, in any order; what came after the window is left out.
        span: the window.
        living: the agents that send heartbeats.
        marked: places of dead letters that were discarded.
    """
    known = [fact for fact in facts if fact.at_ms < span.end_ms]
    minutes = _minutes(known, span)
    opened = OpenThings()
    for conversation, own in _by_conversation(known).items():
        if may_be_open(own):
            opened.take(conversation, own, span, living)
    return FlowWindow.of(
        span,
        minutes,
        hops=_hops(known, span.begin_ms, span.end_ms),
        hops_before=_hops(known, span.before_ms, span.begin_ms),
        dead_letters=_open_letters(known, span, marked),
        **opened.fields(span.end_ms),
    )


def _flows(fact: Fact) -> Iterator[str]:
    match fact.body:
        case Envelope() as message if fact.topic == AGENT_MESSAGES:
            yield MESSAGE + message.type
        case Decision() as decision:
            yield DECISION + decision.path
            if decision.agent == NONE:
                yield NONE_FLOW
        case DeadLetter() as letter:
            yield DEAD_LETTER + letter.reason
        case Outcome() as outcome:
            yield OUTCOME + outcome.status


def _minutes(facts: Iterable[Fact], span: Span) -> Minutes:
    found: dict[str, dict[int, list[str | None]]] = defaultdict(lambda: defaultdict(list))
    for fact in facts:
        if fact.at_ms >= span.minutes_ms:
            for flow in _flows(fact):
                minute = fact.at_ms // MINUTE_MS * MINUTE_MS
                found[flow][minute].append(fact.conversation_id)
    return {
        flow: tuple(
            Minute(begin_ms, len(names), min((one for one in names if one), default=None))
            for begin_ms, names in sorted(each.items())
        )
        for flow, each in found.items()
    }


def _hops(facts: Sequence[Fact], begin_ms: int, end_ms: int) -> Hops:
    came: dict[tuple[str, str], int] = {}
    for fact in facts:
        if fact.topic == AGENT_MESSAGES and isinstance(fact.body, Envelope):
            name = (fact.body.subject, fact.body.id)
            came[name] = min(fact.at_ms, came.get(name, fact.at_ms))
    given = [
        fact for fact in facts if fact.task_agent is not None and begin_ms <= fact.at_ms < end_ms
    ]
    given.sort(key=lambda one: (one.at_ms, one.topic, one.partition, one.offset), reverse=True)
    waited = []
    for fact in given[:MAX_HOPS]:
        if isinstance(fact.body, Envelope):
            began_ms = came.get((fact.body.subject, fact.body.causationid or ""))
            if began_ms is not None:
                waited.append(max(0, fact.at_ms - began_ms))
    return hops_of(waited)


def _open_letters(
    facts: Collection[Fact], span: Span, marked: Collection[str]
) -> Mapping[str, Seen]:
    ids = {
        fact.body.id
        for fact in facts
        if fact.topic == AGENT_MESSAGES and isinstance(fact.body, Envelope)
    }
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for entry in entries_of(facts):
        if entry.at_ms >= span.begin_ms and state_of(entry, ids, marked) == "open":
            found[entry.letter.reason].append((entry.at_ms, entry.place))
    return {reason: Seen(len(each), max(each)[1]) for reason, each in found.items()}


def _by_conversation(facts: Iterable[Fact]) -> Mapping[str, list[Fact]]:
    found: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.conversation_id is not None:
            found[fact.conversation_id].append(fact)
    return found
