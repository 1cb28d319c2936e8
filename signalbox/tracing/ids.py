"""Ids of traces and spans: they follow from what they are of, so that whoever makes them again makes the same.

Source: W3C Trace Context, level 1: 16 and 8 bytes, not all zero; `traceparent` is version-trace-parent-flags.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

_SAMPLED: Final = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where an episode's trace belongs: `parent` is the span of whoever sent the first message, where they said so."""

    trace_id: int
    parent: int | None = None
    is_sampled: bool = True


def context_of(conversation: str, traceparent: str | None) -> TraceContext:
    """Return the trace of a conversation: the client's own, else one that follows from the conversation's id.

    Args:
        conversation: its id.
        traceparent: of its first message; one that is not valid counts as none (Trace Context §4.3).
    """
    if traceparent is not None:
        version, trace, parent, flags = traceparent.split("-")
        if version != "ff" and int(trace, 16) and int(parent, 16):
            return TraceContext(int(trace, 16), int(parent, 16), bool(int(flags, 16) & _SAMPLED))
    return TraceContext(_number(16, "trace", conversation))


def span_id(*of: str) -> int:
    """Return the id of the span of what `of` names together."""
    return _number(8, "span", *of)


def _number(size: int, *of: str) -> int:
    digest = hashlib.sha256("\x00".join(of).encode("utf-8", "surrogatepass")).digest()
    # Zero means "none"; one in 2^64 becomes one.
    return int.from_bytes(digest[:size], "big") or 1
