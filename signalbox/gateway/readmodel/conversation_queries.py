"""Questions about conversations: what happened in one, which there are, and what was learnt since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from connectors.broker import Partition
from signalbox.cli.facts import Fact
from signalbox.contracts.events import EVENT_TYPES
from signalbox.contracts.ids import EVENT_ID_PREFIX
from signalbox.gateway.readmodel.tables import Page, Tables, before, facts_from

MAX_FACTS: Final = 20_000
"""Of one conversation; its budgets keep it far below."""
_NOT_AN_EVENT: Final = (
    f"NOT (decisions = 0 AND id GLOB '{EVENT_ID_PREFIX}*' AND coalesce(began_type, '') IN ("
    + ", ".join(f"'{kind}'" for kind in sorted(EVENT_TYPES))
    + "))"
)
OPEN: Final = "open"
"""The status of a conversation without an outcome."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the order in which records were read: `row` of a file of the read model."""

    file: str
    row: int


@dataclass(frozen=True, slots=True)
class Tail:
    """What was read after a place: at most so many facts, and how many more there were before these."""

    cursor: Cursor
    facts: tuple[Fact, ...] = ()
    left_out: int = 0


class ConversationQueries(Tables):
    """What is known of conversations."""

    def facts(self, conversation: str) -> tuple[Fact, ...]:
        """Return every fact of a conversation, by time."""
        with self._open() as connection:
            return facts_from(
                connection,
                "SELECT * FROM record WHERE conversation = ? ORDER BY at_ms, topic, partition, offset LIMIT ?",
                (conversation, MAX_FACTS),
            )

    def read_to(self, partition: Partition) -> int:
        """Return the offset up to which a partition was read, which is the one that is read next."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT next_offset FROM source WHERE topic = ? AND partition = ?", partition
            ).fetchone()
            return 0 if row is None else int(row["next_offset"])

    def tail(self, after: Cursor | None, limit: int) -> Tail:
        """Return the newest `limit` facts that were read after a place; none where that is not in the file that counts now."""
        with self._open() as connection:
            (file,) = (row["file"] for row in connection.execute("PRAGMA database_list"))
            newest = connection.execute("SELECT coalesce(max(rowid), 0) FROM record").fetchone()[0]
            cursor = Cursor(file, newest)
            if after is None or after.file != file or after.row >= newest:
                return Tail(cursor)
            first = max(after.row, newest - limit)
            facts = facts_from(
                connection, "SELECT * FROM record WHERE rowid > ? ORDER BY rowid", (first,)
            )
            return Tail(cursor, facts, first - after.row)

    def size_of(self, conversation: str) -> int:
        """Return how many records of a conversation there are: where that is as before, nothing has happened in it."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT count(*) FROM record WHERE conversation = ?", (conversation,)
            ).fetchone()
            return int(row[0])

    def conversations_of(self, identifier: str) -> tuple[str, ...]:
        """Return the conversations that know a message or a task of this id; mostly one, mostly."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT conversation FROM name WHERE id = ? LIMIT 10", (identifier,)
            )
            return tuple(row["conversation"] for row in rows)

    def knows(self, identifiers: Sequence[str]) -> frozenset[str]:
        """Return those of the ids by which a message is known."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT DISTINCT id FROM name WHERE id IN (SELECT value FROM json_each(?))",
                (orjson.dumps(list(identifiers)).decode(),),
            )
            return frozenset(row["id"] for row in rows)

    def conversations(
        self, page: Page, *, status: str | None = None, events: bool = False
    ) -> list[dict[str, Any]]:
        """Return conversations, the one that was spoken in last first; `status` is an outcome's, or `open`.

        With `events` also those that are an event of the orchestrator alone, which nobody heard: nothing ever ends them.
        """
        wanted, values = before(page, "last_ms", "id")
        if not events:
            wanted.append(_NOT_AN_EVENT)
        if status is not None:
            wanted.append("status IS ?")
            values.append(None if status == OPEN else status)
        with self._open() as connection:
            rows = connection.execute(
                f"SELECT * FROM conversation WHERE {' AND '.join(wanted)} "
                "ORDER BY last_ms DESC, id DESC LIMIT ?",
                (*values, page.limit),
            )
            return [dict(row) for row in rows]
