"""Lists by pages: how many at once, and where the next page begins."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from signalbox.gateway.problems import RequestError
from signalbox.gateway.readmodel.queries import Page

Limit = Annotated[int, Query(ge=1, le=500, description="At most so many.")]
Before = Annotated[
    str | None, Query(max_length=300, description="`next` of the page before, for the next one.")
]


def page_of(limit: int, before: str | None) -> Page:
    """Return the page that a request asks for.

    Raises:
        RequestError: `before` is none that a page said.
    """
    if before is None:
        return Page(limit)
    at_ms, _, identifier = before.partition("~")
    # SQLite's integers have 64 bits.
    if not at_ms.isascii() or not at_ms.isdecimal() or len(at_ms) > 18:
        msg = f"before={before!r:.80} is no place in the list"
        raise RequestError(msg, "give `next` of the page before as it came, or leave it out")
    return Page(limit, (int(at_ms), identifier))


def next_of(rows: int, limit: int, at_ms: int, identifier: str) -> str | None:
    """Return what the next page is asked for with; None after the last one."""
    return f"{at_ms}~{identifier}" if rows == limit else None
