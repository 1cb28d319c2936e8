"""A request's body as the message that goes onto `agent_messages`, judged by the very code that admits it there. Pure.

Three forms are taken: a CloudEvents envelope (with `specversion`), a bare payload whose attributes are `ce-*` headers (the binary
mode of CloudEvents' HTTP binding), and a bare payload alone. Whoever names an id may send again: the message is the same one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import orjson

from connectors.broker import OutgoingRecord
from signalbox.cli.send_lines import LEAD_SUBMITTED
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.envelope import REVIEW_RESOLVED, WORKFLOW_CANCEL, Envelope
from signalbox.contracts.record import rfc3339
from signalbox.gateway.problems import RequestError, TooLargeError
from signalbox.routing.admit import MAX_DEPTH, decode, is_deeper_than
from signalbox.routing.ticks import Origin
from signalbox.topics import AGENT_MESSAGES, MAX_ADMITTED_BYTES

SOURCE: Final = "gateway"
DECISIVE_TYPES: Final = frozenset({REVIEW_RESOLVED, WORKFLOW_CANCEL})
"""What a person decides by; sending one needs the scope `decide`."""

_OURS: Final = (
    "hop",
    "definitions",
    "tokensused",
    "replystatus",
    "processingms",
    "causetype",
)
"""What the engine and its runners say; not believed from outside, so not passed on either."""
_HEADERS: Final = {
    # Of two that mean the same the later one counts: the binding's own.
    "idempotency-key": "id",
    "ce-id": "id",
    "ce-type": "type",
    "ce-subject": "subject",
    "ce-source": "source",
    "ce-time": "time",
    "ce-target": "target",
    "ce-priority": "priority",
    "ce-correlationid": "correlationid",
    "ce-causationid": "causationid",
    "ce-traceparent": "traceparent",
    "ce-deadline": "deadline",
}
_REMEDIES: Final = {
    "malformed_json": "send one JSON object in UTF-8",
    "invalid_envelope": "docs/schemas/envelope.schema.json has the fields; a bare payload needs none of them",
}
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MAX_DIGITS: Final = 10
"""Of a priority; what is longer stays a text, which no priority is."""
_ENVELOPE_ORIGIN: Final = Origin(AGENT_MESSAGES)


@dataclass(frozen=True, slots=True)
class Given:
    """What the gateway adds: the moment, and a new id (`prefix` → id)."""

    at: datetime
    new_id: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Message:
    """A message that will be admitted."""

    id: str
    conversation_id: str
    type: str
    value: bytes
    headers: Mapping[str, bytes]

    def record(self, topic: str) -> OutgoingRecord:
        """Return the record on `topic` (a full name): the key is the conversation."""
        return OutgoingRecord(topic, self.conversation_id.encode(), self.value, self.headers)


def conversation_of(message_id: str) -> str:
    """Return the conversation of a message that names only itself: sent again it must be the same, or it would be another message."""
    return f"conv-{hashlib.sha256(message_id.encode()).hexdigest()[:16]}"


def object_in(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is.

    Raises:
        TooLargeError: more bytes than a message may have.
        RequestError: nested too deep, no JSON, or no object.
    """
    if len(body) > MAX_ADMITTED_BYTES:
        raise too_large(len(body))
    # Before anything is parsed: a parser may not survive a hundred thousand brackets.
    if is_deeper_than(body, MAX_DEPTH):
        msg = "malformed_json"
        raise _refused(msg, f"nested deeper than {MAX_DEPTH} levels; flatten the data")
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        msg = "malformed_json"
        raise _refused(msg, f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        msg = "invalid_envelope"
        raise _refused(msg, f"an object is needed, got {_kind(fields)}")
    return fields


def event_of(body: bytes, headers: Mapping[str, str], given: Given) -> Message:
    """Return the message of `POST /events`.

    Args:
        body: as it came, at most `MAX_ADMITTED_BYTES`.
        headers: by lower-case name; of an envelope only `idempotency-key` and `traceparent` count, where it has none.
        given: what it does not say itself.

    Raises:
        TooLargeError: more bytes than a message may have.
        RequestError: the job would not admit it; with its own reason.
    """
    fields = object_in(body)
    if "specversion" in fields:
        attributes = {**_said_beside(headers), **fields}
    else:
        attributes = {
            **_traceparent(headers),
            **{
                attribute: unquote(
                    headers[header]
                )  # as the binding says; whoever does not need it writes no %
                for header, attribute in _HEADERS.items()
                if header in headers
            },
        }
        # A number in JSON, a text in a header.
        priority = attributes.get("priority", "")
        if priority.isdecimal() and len(priority) < _MAX_DIGITS:
            attributes["priority"] = int(priority)
        kind = attributes.setdefault("type", LEAD_SUBMITTED)
        attributes["data"] = _as_lead(fields) if kind == LEAD_SUBMITTED else fields
    return message_of(attributes, given)


def lead_of(body: bytes, headers: Mapping[str, str], given: Given) -> Message:
    """Return the message of `POST /leads`: the lead's fields, or an object with them as `lead`.

    Raises:
        TooLargeError: more bytes than a message may have.
        RequestError: the job would not admit it; with its own reason.
    """
    fields = object_in(body)
    if "specversion" in fields:
        msg = "an envelope was sent where a lead is taken"
        raise RequestError(msg, "send it to /events")
    return message_of(
        {**_said_beside(headers), "type": LEAD_SUBMITTED, "data": _as_lead(fields)}, given
    )


def _said_beside(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what headers say of a message that says the rest itself; its own attributes win."""
    named = {"id": headers["idempotency-key"]} if "idempotency-key" in headers else {}
    return {**named, **_traceparent(headers)}


def _traceparent(headers: Mapping[str, str]) -> dict[str, str]:
    # A client's HTTP library sets it, so a wrong one is nobody's message to refuse (Trace Context §4.3: ignore it).
    given = headers.get("traceparent")
    return {"traceparent": given} if given is not None and _TRACEPARENT.fullmatch(given) else {}


def message_of(attributes: Mapping[str, Any], given: Given) -> Message:
    """Return the message with these attributes and what is missing of them.

    Raises:
        RequestError: the job would not admit it; with its own reason.
    """
    fields = {key: value for key, value in attributes.items() if key not in _OURS}
    fields.setdefault("specversion", "1.0")
    fields.setdefault("source", SOURCE)
    if "time" not in fields:
        fields["time"] = rfc3339(given.at)
    identifier = fields.get("id")
    if fields.get("subject") is None:
        is_named = isinstance(identifier, str)
        fields["subject"] = conversation_of(str(identifier)) if is_named else given.new_id("conv")
    if identifier is None:
        fields["id"] = given.new_id("msg")
    admitted = decode(orjson.dumps(fields), _ENVELOPE_ORIGIN, now_ms=0)
    if isinstance(admitted, DeadLetter):
        if admitted.reason == "payload_too_large":
            raise TooLargeError(admitted.detail, "put large content elsewhere and link it")
        raise _refused(admitted.reason, admitted.detail)
    _refuse_foreign_source(admitted)
    value = admitted.to_json()
    if len(value) > MAX_ADMITTED_BYTES:
        # With the attributes that it did not say.
        raise too_large(len(value))
    return Message(admitted.id, admitted.subject, admitted.type, value, admitted.headers())


def too_large(size: int | None) -> TooLargeError:
    """Return the error of a body of `size` bytes; None where it was not read to its end."""
    told = f"the body has {size} bytes" if size is not None else "the body is longer"
    return TooLargeError(
        f"{told}; at most {MAX_ADMITTED_BYTES} are taken", "put large content elsewhere and link it"
    )


def _refuse_foreign_source(message: Envelope) -> None:
    # The job believes neither; but a client that says so is wrong, and hears it here.
    if message.claimed_agent is not None or message.source == "orchestrator":
        msg = f"source {message.source!r} is not a client's to say"
        remedy = "leave it out, or use gateway, cli or connector/<name>"
        raise RequestError(msg, remedy, reason="invalid_envelope")


def _as_lead(fields: dict[str, Any]) -> dict[str, Any]:
    # As `signalbox send` and the SQL job wrap it.
    return fields if "lead" in fields else {"lead": fields}


def _refused(reason: str, detail: str) -> RequestError:
    return RequestError(detail, _REMEDIES.get(reason, "mend what is named"), reason=reason)


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), "true or false")
