"""Lines of JSON to records that the job will admit: pure, and judged by the very code that admits messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import orjson

from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.record import rfc3339
from signalbox.errors import UsageError
from signalbox.json_lines import object_of, problems_told
from signalbox.routing.admit import decode
from signalbox.routing.ticks import Origin
from signalbox.topics import AGENT_MESSAGES, INCOMING_LEADS

Destination = Literal["agent_messages", "incoming_leads"]

LEAD_SUBMITTED: Final = "lead.submitted"


@dataclass(frozen=True, slots=True)
class Line:
    """One record to send: `id` names it to the person, `key` is its conversation."""

    number: int
    id: str
    key: str
    type: str
    value: bytes
    headers: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a bare payload does not say. `conversation` None gives each line a conversation of its own."""

    type: str
    conversation: str | None
    new_id: Callable[[str], str]
    at: datetime


def parse(lines: Iterable[bytes], destination: Destination, defaults: Defaults) -> tuple[Line, ...]:
    """Turn every line into a record; blank lines are skipped.

    Raises:
        UsageError: naming each line that cannot be sent, and why; then nothing of the input is to be sent.
    """
    parsed: list[Line] = []
    problems: list[str] = []
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            parsed.append(_parse_line(number, raw.strip(), destination, defaults))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        told = problems_told(problems, "sent, so nothing was sent")
        raise UsageError("\n  ".join(told))
    return tuple(parsed)


def _parse_line(number: int, raw: bytes, destination: Destination, defaults: Defaults) -> Line:
    value = object_of(raw, _kind)
    if destination == INCOMING_LEADS:
        return _raw_lead(number, raw, value, defaults)
    envelope = value if "specversion" in value else _wrapped(value, defaults)
    return admitted(number, envelope)


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), "true or false")


def _raw_lead(number: int, raw: bytes, value: dict[str, Any], defaults: Defaults) -> Line:
    if "specversion" in value:
        msg = "an envelope goes to agent_messages; leave out --topic incoming_leads"
        raise ValueError(msg)
    conversation = defaults.conversation or defaults.new_id("conv")
    # Size and depth have the same bounds on the way in, so the same code says so.
    admitted(number, _wrapped(value, defaults))
    return Line(number, conversation, conversation, LEAD_SUBMITTED, raw, {})


def _wrapped(payload: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    # A lead by itself is wrapped as the SQL statement wraps it on its way from incoming_leads.
    is_bare_lead = defaults.type == LEAD_SUBMITTED and "lead" not in payload
    return {
        "specversion": "1.0",
        "id": defaults.new_id("msg"),
        "source": "cli",
        "type": defaults.type,
        "time": rfc3339(defaults.at),
        "subject": defaults.conversation or defaults.new_id("conv"),
        "data": {"lead": payload} if is_bare_lead else payload,
    }


def admitted(number: int, fields: dict[str, Any]) -> Line:
    """Return the record of an envelope that line `number` of the input is.

    Raises:
        ValueError: the job would not admit it; says why.
    """
    # The time would only stand in a dead letter, of which nothing but the detail is shown.
    admitted = decode(orjson.dumps(fields), Origin(AGENT_MESSAGES), now_ms=0)
    if isinstance(admitted, DeadLetter):
        raise ValueError(admitted.detail)  # noqa: TRY004 (see above)
    return Line(
        number,
        admitted.id,
        admitted.subject,
        admitted.type,
        admitted.to_json(),
        admitted.headers(),
    )
