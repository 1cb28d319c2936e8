"""How many records of each flow there are a minute. A minute is read again only when records of it came or went."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from threading import Lock
from typing import Any, Final

from pydantic_core import from_json

from signalbox.contracts.decision import NONE
from signalbox.flow.window import (
    DEAD_LETTER,
    DECISION,
    MESSAGE,
    MINUTE_MS,
    NONE_FLOW,
    OUTCOME,
    Minute,
    Minutes,
    Span,
)
from signalbox.topics import AGENT_DECISIONS, AGENT_MESSAGES, AGENT_OUTCOMES

_KEPT: Final = 5000
"""So many minutes of a topic are remembered: a day and its hour before, of three topics."""
_FIELDS: Final = {
    AGENT_MESSAGES: (MESSAGE, "type"),
    AGENT_DECISIONS: (DECISION, "path"),
    AGENT_OUTCOMES: (OUTCOME, "status"),
}
_SIZES: Final = f"""
SELECT at_ms / {MINUTE_MS} * {MINUTE_MS} AS minute, count(*) AS number FROM record INDEXED BY record_by_age
WHERE topic = ? AND at_ms >= ? AND at_ms < ? GROUP BY minute
"""
_VALUES: Final = """
SELECT conversation, value FROM record INDEXED BY record_by_age WHERE topic = ? AND at_ms >= ? AND at_ms < ?
"""
# Values of dead letters are large; what is counted of them is a table of its own.
_LETTERS: Final = f"""
SELECT at_ms / {MINUTE_MS} * {MINUTE_MS} AS minute, reason, count(*) AS number, min(conversation) AS example
FROM dead_letter WHERE at_ms >= ? AND at_ms < ? GROUP BY minute, reason
"""

Counted = tuple[tuple[str, int, str | None], ...]
"""Flow, number, example."""


class MinuteCounts:
    """Counts by the minute, remembered. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[tuple[str, str, int], tuple[int, Counted]] = {}

    def read(self, connection: sqlite3.Connection, span: Span) -> Minutes:
        """Return the minutes of each flow from the hour before the window to its end."""
        found: dict[str, list[Minute]] = defaultdict(list)
        with self._lock:
            (file,) = (row["file"] for row in connection.execute("PRAGMA database_list"))
            for topic in _FIELDS:
                values = (topic, span.minutes_ms, span.end_ms)
                for row in connection.execute(_SIZES, values):
                    place = (file, topic, row["minute"])
                    for flow, number, example in self._counted(
                        connection, place, row["number"], span
                    ):
                        found[flow].append(Minute(row["minute"], number, example))
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        for row in connection.execute(_LETTERS, (span.minutes_ms, span.end_ms)):
            minute = Minute(row["minute"], row["number"], row["example"])
            found[DEAD_LETTER + row["reason"]].append(minute)
        return {flow: tuple(each) for flow, each in found.items()}

    def _counted(
        self, connection: sqlite3.Connection, place: tuple[str, str, int], size: int, span: Span
    ) -> Counted:
        # Taken out and put in again, so that what was asked for longest ago is forgotten first.
        known = self._kept.pop(place, None)
        if known is None or known[0] != size:
            _, topic, minute = place
            until = min(minute + MINUTE_MS, span.end_ms)
            known = (size, _flows(topic, connection.execute(_VALUES, (topic, minute, until))))
        self._kept[place] = known
        return known[1]


def _flows(topic: str, rows: Iterable[Any]) -> Counted:
    kind, field = _FIELDS[topic]
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        # As records are read everywhere else; SQLite's JSON knows no NaN, and of a name that is there twice the first.
        value = from_json(row["value"])
        found[kind + value[field]].append(row["conversation"])
        if topic == AGENT_DECISIONS and value["agent"] == NONE:
            found[NONE_FLOW].append(row["conversation"])
    return tuple((flow, len(names), min(names)) for flow, names in found.items())
