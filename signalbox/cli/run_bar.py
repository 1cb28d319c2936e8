"""When a step was queued, worked on, waited for and judged, as a bar of characters. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from signalbox.cli.run_seen import Asked, Given

QUEUED, AT_WORK, PERSON, JUDGED = "░", "█", "▒", "▓"
_LEGEND: Final = {AT_WORK: "work", QUEUED: "queue", PERSON: "person", JUDGED: "judge"}

Span = tuple[int, int, str]
"""From, to (ms), and the character that stands for it."""


def spans_of(
    work: Iterable[Given], now_ms: int, *, judged: Iterable[Given] = (), asked: Iterable[Asked] = ()
) -> Iterator[Span]:
    """Yield what is to be drawn, in an order in which later ones may cover earlier ones. What is open lasts until `now_ms`."""
    for question in asked:
        yield question.at_ms, _end(question.ended_ms, now_ms), PERSON
    for one in judged:
        yield one.at_ms, _end(one.ended_ms, now_ms), JUDGED
    for one in work:
        end = _end(one.ended_ms, now_ms)
        taken_up = one.taken_ms if one.worked_ms is None else end - one.worked_ms
        begin = min(end, max(one.at_ms, taken_up or one.at_ms))
        if begin > one.at_ms:
            yield one.at_ms, begin, QUEUED
        yield begin, end, AT_WORK


def bar(spans: Iterable[Span], *, from_ms: int, to_ms: int, width: int) -> str:
    """Draw `spans` on `width` characters that stand for the time from `from_ms` to `to_ms`; what lasts longer than none has one."""
    cells = [" "] * width
    whole = max(1, to_ms - from_ms)
    for begin, end, char in spans:
        first = min(width - 1, max(0, (begin - from_ms) * width // whole))
        last = min(width, max(first + 1, -((from_ms - end) * width // whole)))
        cells[first:last] = char * (last - first)
    return "".join(cells).rstrip()


def legend(spans: Iterable[Span], width: int) -> str:
    """Say what the characters that were used stand for, as many as fit."""
    used = {char for _, _, char in spans}
    told = ""
    for char, name in _LEGEND.items():
        if char in used and len(told) + len(name) + 3 <= width:
            told += f"{char} {name} "
    return told.rstrip()


def _end(ended_ms: int | None, now_ms: int) -> int:
    return now_ms if ended_ms is None else ended_ms
