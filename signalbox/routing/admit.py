"""Admission's first half: bytes to an envelope, or to a dead letter that says why not; never an exception.

Size and depth are checked before anything is parsed (OWASP LLM10, unbounded consumption). What only the engine may
say (`hop`, `definitions`, the source `orchestrator`) is not believed from outside; its events may do so little that anybody may
write one.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson
from pydantic import ValidationError

from signalbox.contracts.dead_letter import DeadLetter, DeadLetterReason
from signalbox.contracts.envelope import ORCHESTRATOR, Envelope
from signalbox.contracts.events import is_event
from signalbox.contracts.record import MAX_ID_CHARS, from_epoch_ms
from signalbox.routing.ticks import Origin
from signalbox.topics import MAX_ADMITTED_BYTES

MAX_DEPTH: Final = 64
_ENGINE_ONLY: Final = ("hop", "definitions")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[{}\[\]]")


def decode(raw: bytes | None, origin: Origin, now_ms: int) -> Envelope | DeadLetter:
    """Decode one value of `agent_messages`.

    Args:
        raw: the Kafka value; None is a tombstone.
        origin: where it was read, for the dead letter.
        now_ms: the time of the dead letter, ms since 1970.
    """
    if raw is None:
        return _dead(raw, origin, now_ms, "malformed_json", "the value is null; send a JSON object")
    if len(raw) > MAX_ADMITTED_BYTES:
        detail = f"{len(raw)} bytes; at most {MAX_ADMITTED_BYTES} are admitted, put large content elsewhere and link it"
        return _dead(raw, origin, now_ms, "payload_too_large", detail)
    if is_deeper_than(raw, MAX_DEPTH):
        detail = f"nested deeper than {MAX_DEPTH} levels; flatten the data"
        return _dead(raw, origin, now_ms, "malformed_json", detail)
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _dead(raw, origin, now_ms, "malformed_json", f"not JSON: {error}")
    if not isinstance(fields, dict):
        detail = f"a CloudEvents object is needed, got {type(fields).__name__}"
        return _dead(raw, origin, now_ms, "invalid_envelope", detail)
    for name in _ENGINE_ONLY:
        fields.pop(name, None)
    return _validated(fields, raw, origin, now_ms)


def is_deeper_than(raw: bytes, limit: int) -> bool:
    """Say whether the brackets of `raw`, outside strings, nest deeper than `limit`."""
    # Counting is a memchr: nearly every message ends here, without the exact scan below.
    if raw.count(b"{") + raw.count(b"[") <= limit:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", raw)):
        depth += 1 if bracket[0] in b"{[" else -1
        if depth > limit:
            return True
    return False


def _validated(
    fields: dict[str, Any], raw: bytes, origin: Origin, now_ms: int
) -> Envelope | DeadLetter:
    named = {
        "message_id": _as_id(fields.get("id")),
        "conversation_id": _as_id(fields.get("subject")),
    }
    try:
        message = Envelope.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)[:5]
        )
        return _dead(raw, origin, now_ms, "invalid_envelope", problems, **named)
    if message.source == ORCHESTRATOR and not is_event(message):
        detail = "source 'orchestrator' is the engine's own; use cli, gateway, connector/<name>"
        return _dead(raw, origin, now_ms, "invalid_envelope", detail, **named)
    return message


def _as_id(value: object) -> str | None:
    return value[:MAX_ID_CHARS] if isinstance(value, str) else None


def _dead(
    raw: bytes | None,
    origin: Origin,
    now_ms: int,
    reason: DeadLetterReason,
    detail: str,
    **named: str | None,
) -> DeadLetter:
    return DeadLetter.of(
        raw,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        key=origin.key,
        reason=reason,
        detail=detail,
        failed_at=from_epoch_ms(now_ms),
        **named,
    )
