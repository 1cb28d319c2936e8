"""The inbox of what waits for a person, as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from signalbox.cli.inbox import Item
from signalbox.cli.screen import Line

_TITLES: Final = ("kind", "conversation", "workflow", "step", "due", "default")
_MAX_REASON_CHARS: Final = 200


def lines_of(items: Sequence[Item], now_ms: int) -> Iterator[Line]:
    """Yield the table; below each question its reason, and by what it is answered."""
    rows = [_cells(item, now_ms) for item in items]
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    yield Line(_joined(_TITLES, widths), "dim")
    for item, row in zip(items, rows, strict=True):
        yield Line(_joined(row, widths), "yellow")
        reason = " ".join(item.review.reason.split())
        short = reason if len(reason) <= _MAX_REASON_CHARS else f"{reason[:_MAX_REASON_CHARS]} …"
        yield Line(f"  {short}")
        yield Line(f"  {item.name}", "dim")


def _cells(item: Item, now_ms: int) -> tuple[str, ...]:
    review = item.review
    return (
        item.kind,
        review.conversation_id,
        review.workflow or "–",
        review.step or "–",
        item.due(now_ms),
        item.default,
    )


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()
