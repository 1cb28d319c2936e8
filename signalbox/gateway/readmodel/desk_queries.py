"""Questions about what waits for a person: reviews, dead letters and what was said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from signalbox.cli.facts import Fact
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.gateway.readmodel.tables import Page, Tables, before, facts_from

OPEN_LETTER: Final = (
    "NOT EXISTS (SELECT 1 FROM name WHERE name.id = d.replay_id) "
    "AND NOT EXISTS (SELECT 1 FROM mark WHERE mark.place = d.partition || ':' || d.offset)"
)
"""Of a dead letter `d`: nobody replayed or discarded it."""


class DeskQueries(Tables):
    """What is known of reviews and dead letters."""

    def asked(
        self, now_ms: int, limit: int, after: tuple[int, str] = (-1, "")
    ) -> tuple[tuple[int, str], ...]:
        """Return the conversations that may have an open question to a person, each with when the oldest was asked.

        The oldest question first; those after `after` only. What ended since is left out; what was answered is not.
        """
        with self._open() as connection:
            rows = connection.execute(
                "SELECT r.conversation, min(r.opened_ms) AS opened FROM review r "
                "LEFT JOIN conversation c ON c.id = r.conversation "
                "WHERE r.deadline_ms > ? AND (c.ended_ms IS NULL OR c.ended_ms <= r.opened_ms) "
                "GROUP BY r.conversation HAVING (opened, r.conversation) > (?, ?) "
                "ORDER BY opened, r.conversation LIMIT ?",
                (now_ms, *after, limit),
            )
            return tuple((row["opened"], row["conversation"]) for row in rows)

    def reviewed(self) -> tuple[str, ...]:
        """Return the conversations in which a person was asked something, the longest ago first."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT conversation FROM review GROUP BY conversation ORDER BY min(opened_ms), conversation"
            )
            return tuple(row["conversation"] for row in rows)

    def conversation_asked(self, name: str) -> str | None:
        """Return the conversation in which a person was asked under this name: a token, or a message's id."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT conversation FROM review WHERE name = ?", (name,)
            ).fetchone()
            return None if row is None else str(row["conversation"])

    def dead_letters(
        self,
        page: Page,
        *,
        reason: str | None = None,
        conversation: str | None = None,
        is_open: bool = False,
    ) -> tuple[Fact, ...]:
        """Return dead letters, the newest first; with `is_open` those only that nobody replayed or discarded."""
        wanted, values = before(page, "d.at_ms", "d.partition || ':' || d.offset")
        for column, value in (("reason", reason), ("conversation", conversation)):
            if value is not None:
                wanted.append(f"d.{column} = ?")
                values.append(value)
        if is_open:
            wanted.append(OPEN_LETTER)
        with self._open() as connection:
            return facts_from(
                connection,
                # CROSS: in the order of the index, instead of sorting every record of the topic.
                "SELECT r.* FROM dead_letter d CROSS JOIN record r "
                "ON r.topic = 'agent_messages_dlq' AND r.partition = d.partition AND r.offset = d.offset "
                f"WHERE {' AND '.join(wanted)} "
                "ORDER BY d.at_ms DESC, d.partition || ':' || d.offset DESC LIMIT ?",
                (*values, page.limit),
            )

    def dead_letter(self, partition: int, offset: int) -> Fact | None:
        """Return the dead letter at a place of its topic."""
        with self._open() as connection:
            found = facts_from(
                connection,
                "SELECT * FROM record WHERE topic = 'agent_messages_dlq' AND partition = ? AND offset = ?",
                (partition, offset),
            )
            return found[0] if found else None

    def dead_letter_counts(self, *, is_open: bool = False) -> dict[str, int]:
        """Return how many dead letters there are of each reason, the most frequent first; `is_open` as in `dead_letters`."""
        with self._open() as connection:
            rows = connection.execute(
                f"SELECT reason, count(*) AS number FROM dead_letter d WHERE {OPEN_LETTER if is_open else '1'} "
                "GROUP BY reason ORDER BY number DESC, reason"
            )
            return {row["reason"]: row["number"] for row in rows}

    def marks(self, places: Sequence[str]) -> dict[str, DeadLetterMark]:
        """Return what people said of the dead letters at some places."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT place, value FROM mark WHERE place IN (SELECT value FROM json_each(?))",
                (orjson.dumps(list(places)).decode(),),
            )
            return {row["place"]: DeadLetterMark.from_json(row["value"]) for row in rows}
