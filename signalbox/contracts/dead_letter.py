"""The dead letter on `agent_messages_dlq`: what could not go on, where it came from, and the reason as a public contract."""

from __future__ import annotations

import base64
import codecs
import hashlib
from typing import Annotated, Final, Literal, Self

import orjson
from pydantic import StringConstraints

from signalbox.contracts.record import Record, Timestamp

MAX_RAW_BYTES: Final = 512 * 1024
"""Raw values beyond this are cut; `truncated` says so and `sha256` is of the whole."""

DeadLetterReason = Literal[
    "malformed_json",
    "invalid_envelope",
    "invalid_signature",
    "payload_too_large",
    "unknown_agent",
    "model_failed",
    "handler_failed",
    "output_contract_violated",
    "agent_removed",
    "expired",
    "late",
    "overloaded",
]


def _as_text_or_base64(kept: bytes, *, is_cut: bool) -> tuple[str | None, str | None]:
    """Return the value as text, or as base64 where it is not UTF-8 or JSON escapes would blow it up sixfold."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # A cut may fall inside a character; that alone does not make a value binary.
        text = decoder.decode(kept, final=not is_cut)
    except UnicodeDecodeError:
        text = None
    if text is not None and len(orjson.dumps(text)) <= 2 * MAX_RAW_BYTES:
        return text, None
    return None, base64.b64encode(kept).decode("ascii")


class DeadLetter(Record):
    """One record that ended here. Text is in `value`; bytes that are not UTF-8 are in `value_base64`."""

    value: str | None = None
    value_base64: str | None = None
    truncated: bool = False
    sha256: str
    topic: str
    partition: int | None = None
    offset: int | None = None
    key: str | None = None
    message_id: str | None = None
    conversation_id: str | None = None
    reason: DeadLetterReason
    detail: Annotated[str, StringConstraints(max_length=2000)]
    attempts: int = 1
    failed_at: Timestamp

    @classmethod
    def of(cls, raw: bytes | None, **fields: object) -> Self:
        """Build a dead letter around the raw value `raw` (None is a tombstone), cutting it at 512 KiB."""
        whole = raw or b""
        text, encoded = _as_text_or_base64(whole[:MAX_RAW_BYTES], is_cut=len(whole) > MAX_RAW_BYTES)
        detail = str(fields.pop("detail", ""))[:2000]
        return cls.model_validate(
            {
                "value": text if raw is not None else None,
                "value_base64": encoded,
                "truncated": len(whole) > MAX_RAW_BYTES,
                "sha256": hashlib.sha256(whole).hexdigest(),
                "detail": detail,
                **fields,
            }
        )
