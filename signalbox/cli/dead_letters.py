"""Dead letters as a person handles them: found by place or id, and turned into messages again. Pure."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal

import orjson
from pydantic import ValidationError

from connectors.broker import ConsumedRecord
from signalbox.cli.facts import Fact
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.contracts.envelope import TASK_ASSIGNED, Envelope
from signalbox.contracts.ids import replay_id

MAX_REPLAYS: Final = 1000
REPLAYED_TASK: Final = "message.replayed"
"""The type of a message made of a task: the type of the message behind the task is not in it."""

State = Literal["open", "replayed", "discarded"]
Marks = Mapping[str, DeadLetterMark]
"""What people said of dead letters, by place."""
_LEFT_OUT: Final = {
    "replayed": "replayed before; name it to replay it again",
    "discarded": "discarded; name it to replay it all the same",
}
_NO_MARKS: Final[Marks] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Entry:
    """A dead letter and its place on the topic, `partition:offset`, which is how a person names it."""

    place: str
    at_ms: int
    letter: DeadLetter


def entries_of(facts: Collection[Fact]) -> tuple[Entry, ...]:
    """Return the dead letters among `facts`, oldest first."""
    entries = [
        Entry(f"{fact.partition}:{fact.offset}", fact.at_ms, fact.body)
        for fact in facts
        if isinstance(fact.body, DeadLetter)
    ]
    return tuple(sorted(entries, key=lambda entry: (entry.at_ms, entry.place)))


def find(entries: Collection[Entry], names: Collection[str]) -> tuple[Entry, ...]:
    """Return the entries that `names` name: by place, or by message id. A name may match several."""
    return tuple(
        entry for entry in entries if entry.place in names or entry.letter.message_id in names
    )


def marks_of(records: Iterable[ConsumedRecord]) -> dict[str, DeadLetterMark]:
    """Return the newest mark of each place among records of `dead_letter_marks`; what is no mark is passed over."""
    marks: dict[str, DeadLetterMark] = {}
    for record in sorted(records, key=lambda record: record.offset):
        if (mark := mark_of(record)) is not None:
            marks[mark.place] = mark
    return marks


def mark_of(record: ConsumedRecord) -> DeadLetterMark | None:
    """Parse one record of `dead_letter_marks`; None where it is no mark."""
    try:
        mark: DeadLetterMark = DeadLetterMark.from_json(record.value or b"")
    except ValidationError:
        return None
    return mark


def original_id(entry: Entry) -> str:
    """Return the id that a replay is caused by: the message's, else one that stands for the place."""
    return entry.letter.message_id or f"dead-letter-{entry.place.replace(':', '-')}"


def first_replay(entry: Entry) -> str:
    """Return the id of the first replay: while nobody knows it, there was none."""
    return replay_id(original_id(entry), 0)


def state_of(entry: Entry, known_ids: Collection[str], marked: Collection[str]) -> State:
    """Say what became of a dead letter: `agent_messages` holds a replay of it, or its place is among those marked, or neither."""
    if first_replay(entry) in known_ids:
        return "replayed"
    return "discarded" if entry.place in marked else "open"


def raw_value(letter: DeadLetter) -> bytes:
    """Return the value as it was on its topic, cut where the dead letter says so."""
    if letter.value_base64 is not None:
        return base64.b64decode(letter.value_base64)
    return (letter.value or "").encode()


def replay_of(
    letter: DeadLetter, known_ids: Collection[str], at: datetime, *, source: str = "cli"
) -> Envelope | str:
    """Return the message that tries the dead letter once more, or the sentence why it cannot be tried as it is.

    Its id is new and not in `known_ids` (what `agent_messages` holds), its cause is the original id, its source `source`.
    The conversation stays, and so do its budgets while its episode is open. A task becomes a message whose target
    is the task's agent.
    """
    if letter.truncated:
        return "its value was cut when it was kept; send the original again"
    try:
        original = Envelope.model_validate(orjson.loads(raw_value(letter)))
    except (ValidationError, ValueError):
        return "its value is not an envelope; save it with `dlq show --raw`, mend it, `signalbox send` it"
    is_task = original.type == TASK_ASSIGNED
    if original.type.startswith("task.") and not is_task:
        return (
            f"a {original.type} belongs to a task that has ended; replay the task's own dead letter"
        )
    return original.evolve(
        id=_unused_id(original.id, known_ids),
        source=source,
        type=REPLAYED_TASK if is_task else original.type,
        time=at,
        causationid=original.id,
        deadline=None,
        hop=None,
        definitions=None,
        tokensused=0,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay sends, and what it leaves out: (place, why)."""

    messages: tuple[Envelope, ...]
    skipped: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """`replayed` [{original, id, conversation}], `skipped` [{place, why}]."""
        return {
            "replayed": [
                {"original": one.causationid, "id": one.id, "conversation": one.subject}
                for one in self.messages
            ],
            "skipped": [{"place": place, "why": why} for place, why in self.skipped],
        }


def plan_of(
    entries: Iterable[Entry],
    known_ids: Collection[str],
    at: datetime,
    *,
    again: bool,
    source: str = "cli",
    marks: Marks = _NO_MARKS,
) -> Plan:
    """Return what replaying `entries` sends; those that were replayed before, or are among `marks`, only with `again`."""
    messages: dict[str, Envelope] = {}
    skipped: list[tuple[str, str]] = []
    for entry in entries:
        state = "open" if again else state_of(entry, known_ids, marks)
        if state != "open":
            skipped.append((entry.place, _LEFT_OUT[state]))
            continue
        made = replay_of(entry.letter, known_ids, at, source=source)
        if isinstance(made, str):
            skipped.append((entry.place, made))
        else:
            # Two dead letters of one message make one replay.
            messages.setdefault(made.id, made)
    return Plan(tuple(messages.values()), tuple(skipped))


def _unused_id(original_id: str, known_ids: Collection[str]) -> str:
    for number in range(MAX_REPLAYS):
        identifier = replay_id(original_id, number)
        if identifier not in known_ids:
            return identifier
    msg = f"{original_id} was replayed {MAX_REPLAYS} times"
    raise ValueError(msg)
