"""Replays of dead letters: what is sent once more, as it was or mended, and what is left out and why."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from connectors.broker import OutgoingRecord
from signalbox.cli.dead_letters import MAX_REPLAYS, Entry, Plan, entries_of, original_id, plan_of
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import replay_id
from signalbox.gateway.intake import SOURCE, message_of
from signalbox.gateway.parts import Parts
from signalbox.gateway.problems import ConflictError, NotFoundError
from signalbox.gateway.readmodel.queries import Page
from signalbox.gateway.shapes import Replay, ReplayAll
from signalbox.topics import AGENT_MESSAGES

_BATCH: Final = 100
"""Each may have half a megabyte."""


def entry_at(parts: Parts, place: str) -> Entry:
    """Return the dead letter at a place, `partition:offset` of its topic.

    Raises:
        NotFoundError: there is none.
    """
    partition, _, offset = place.partition(":")
    fact = parts.read_model.dead_letter(int(partition), int(offset))
    if fact is None:
        msg = f"no dead letter {place}"
        raise NotFoundError(msg, "/dead-letters lists their places")
    return entries_of([fact])[0]


def plan_of_one(parts: Parts, place: str, asked: Replay) -> Plan:
    """Return what replaying one sends.

    Raises:
        NotFoundError: there is none at the place.
        ConflictError: it cannot be sent as it is.
        RequestError: mended, it would become a dead letter again.
    """
    entry = entry_at(parts, place)
    known = _known_ids(parts, [entry], MAX_REPLAYS)
    if asked.message is None:
        plan = plan_of([entry], known, parts.now(), again=True, source=SOURCE)
        if plan.skipped:
            remedy = "send it mended: `message` with `type` and `data`"
            msg = f"{place} cannot be sent as it is: {plan.skipped[0][1]}"
            raise ConflictError(msg, remedy)
        return plan
    return Plan((_mended(parts, entry, asked.message, known),), ())


def _mended(parts: Parts, entry: Entry, edits: dict[str, Any], known: Iterable[str]) -> Envelope:
    """Return the original with other attributes: judged as any message from outside is, under a replay's id."""
    plan = plan_of([entry], frozenset(known), parts.now(), again=True, source=SOURCE)
    original = original_id(entry)
    # What is no message has attributes only where somebody gives them.
    base = plan.messages[0].model_dump(mode="json", exclude_none=True) if plan.messages else {}
    number = next(n for n in range(10_000) if replay_id(original, n) not in known)
    fixed = {"id": replay_id(original, number), "causationid": original, "source": SOURCE}
    subject = entry.letter.conversation_id or entry.letter.key
    named = {"subject": subject} if subject else {}
    admitted = message_of({**named, **base, **edits, **fixed}, parts.given())
    envelope: Envelope = Envelope.from_json(admitted.value)
    return envelope


def plan_of_all(parts: Parts, asked: ReplayAll) -> Plan:
    """Return what replaying the open ones of a reason sends, and what it leaves out."""
    entries = _open_entries(parts, asked.reason, asked.limit)
    return plan_of(entries, _known_ids(parts, entries), parts.now(), again=False, source=SOURCE)


def _open_entries(parts: Parts, reason: str, limit: int) -> list[Entry]:
    """Return at most `limit` open dead letters of a reason, the oldest first."""
    # The newest come first; of all that there are only so many are held.
    found: deque[Entry] = deque(maxlen=limit)
    page = Page(_BATCH)
    while True:
        facts = parts.read_model.dead_letters(page, reason=reason, is_open=True)
        entries = entries_of(facts)[::-1]
        found.extend(entries)
        if len(facts) < _BATCH:
            return list(found)[::-1]
        page = Page(_BATCH, (entries[-1].at_ms, entries[-1].place))


def _known_ids(parts: Parts, entries: Iterable[Entry], replays: int = 1) -> frozenset[str]:
    """Return the ids of each one's first `replays` replays that are on the topic."""
    candidates = [replay_id(original_id(entry), n) for entry in entries for n in range(replays)]
    return parts.read_model.knows(candidates)


async def publish_all(parts: Parts, messages: Sequence[Envelope]) -> None:
    """Write replays, and return once the broker has them all."""
    topic = parts.topic(AGENT_MESSAGES)
    await asyncio.gather(
        *(
            parts.publisher.publish(
                OutgoingRecord(topic, one.subject.encode(), one.to_json(), one.headers())
            )
            for one in messages
        )
    )
