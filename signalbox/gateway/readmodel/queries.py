"""Questions to the read model. Each is asked of the file that counts now, through a connection of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

import orjson
import structlog

from connectors.broker import ConsumedRecord
from signalbox.cli.facts import Fact, facts_of
from signalbox.cli.track_record import TrackRecord, record_of
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.errors import SignalboxError
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.schema import VERSION, open_to_read

Answer = TypeVar("Answer")
_log: Any = structlog.get_logger()
MAX_FACTS: Final = 20_000
"""Of one conversation; its budgets keep it far below."""
OPEN: Final = "open"
"""The status of a conversation without an outcome."""
RECENT_TASKS: Final = 1000
OPEN_LETTER: Final = (
    "NOT EXISTS (SELECT 1 FROM name WHERE name.id = d.replay_id) "
    "AND NOT EXISTS (SELECT 1 FROM mark WHERE mark.place = d.partition || ':' || d.offset)"
)
"""Of a dead letter `d`: nobody replayed or discarded it."""


class NotReadyError(SignalboxError):
    """The read model is not there yet: its consumer has not begun, or reads the topics anew."""

    code: ClassVar[str] = "SB-111"


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows: at most `limit`, and those before `before` (as the last page said) only."""

    limit: int
    before: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """An agent's tasks: given and not answered, answered, answered with a failure."""

    open: int
    answered: int
    failed: int


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


class ReadModel:
    """What is known of conversations, agents, reviews and dead letters."""

    def __init__(self, place: ReadModelPlace) -> None:
        self._place = place

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = open_to_read(self._place.current())
        except sqlite3.OperationalError:
            raise _not_ready() from None
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise _not_ready()
            # One moment for all questions of a request.
            connection.execute("BEGIN")
            yield connection
        except sqlite3.OperationalError as error:
            # Locked while its consumer mends it, or the disk does not answer.
            _log.warning("readmodel.not_read", detail=str(error))
            raise _not_ready() from None
        finally:
            connection.close()

    def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return what a question of another module finds, asked of one moment."""
        with self._open() as connection:
            return question(connection)

    def facts(self, conversation: str) -> tuple[Fact, ...]:
        """Return every fact of a conversation, by time."""
        with self._open() as connection:
            return facts_from(
                connection,
                "SELECT * FROM record WHERE conversation = ? ORDER BY at_ms, topic, partition, offset LIMIT ?",
                (conversation, MAX_FACTS),
            )

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

    def conversations(self, page: Page, *, status: str | None = None) -> list[dict[str, Any]]:
        """Return conversations, the one that was spoken in last first; `status` is an outcome's, or `open`."""
        wanted, values = _before(page, "last_ms", "id")
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
        wanted, values = _before(page, "d.at_ms", "d.partition || ':' || d.offset")
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

    def heartbeats(self) -> tuple[tuple[int, Heartbeat], ...]:
        """Return the newest heartbeat of every process, with its time on the topic (ms since 1970)."""
        with self._open() as connection:
            rows = connection.execute("SELECT at_ms, value FROM instance ORDER BY agent, instance")
            return tuple((row["at_ms"], Heartbeat.from_json(row["value"])) for row in rows)

    def registry(self, after_offset: int = -1) -> tuple[ConsumedRecord, ...]:
        """Return the records of the registry behind an offset."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT * FROM registry WHERE offset > ? ORDER BY offset", (after_offset,)
            )
            return tuple(
                ConsumedRecord(
                    "agent_registry",
                    0,
                    row["offset"],
                    row["key"].encode(),
                    row["value"],
                    {},
                    row["at_ms"],
                )
                for row in rows
            )

    def track_record(self, agent: str) -> TrackRecord | None:
        """Return how an agent has done its tasks; as `signalbox.cli.track_record` tells it."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT max(0, answered_ms - given_ms) AS took, failed FROM task "
                "WHERE agent = ? AND given_ms IS NOT NULL AND answered_ms IS NOT NULL",
                (agent,),
            ).fetchall()
        return _record(agent, rows)

    def recent_record(self, agent: str) -> TrackRecord | None:
        """Return the same of its newest `RECENT_TASKS` tasks: it costs the same however many there were."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT max(0, answered_ms - given_ms) AS took, failed FROM "
                "(SELECT * FROM task WHERE agent = ? AND given_ms IS NOT NULL ORDER BY given_ms DESC LIMIT ?) "
                "WHERE answered_ms IS NOT NULL",
                (agent, RECENT_TASKS),
            ).fetchall()
        return _record(agent, rows)

    def handoffs(self) -> dict[tuple[str, str], int]:
        """Return how often what one agent said went to another one, by (sender, receiver)."""
        with self._open() as connection:
            rows = connection.execute("SELECT sender, agent, number FROM handoff")
            return {(row["sender"], row["agent"]): row["number"] for row in rows}

    def open_tasks(self, since_ms: int) -> dict[str, int]:
        """Return how many tasks that were given since then each agent has not answered; agents with none are left out."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT agent, count(*) AS number FROM task "
                "WHERE answered_ms IS NULL AND given_ms >= ? GROUP BY agent",
                (since_ms,),
            )
            return {row["agent"]: row["number"] for row in rows}

    def task_counts(self, agent: str, since_ms: int) -> TaskCounts:
        """Return how many tasks of an agent are open, and how those were answered that it got since then."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT count(*) FILTER (WHERE answered_ms IS NULL) AS open, "
                "count(*) FILTER (WHERE answered_ms IS NOT NULL) AS answered, "
                "count(*) FILTER (WHERE answered_ms IS NOT NULL AND failed) AS failed "
                "FROM task WHERE agent = ? AND given_ms >= ?",
                (agent, since_ms),
            ).fetchone()
            return TaskCounts(row["open"], row["answered"], row["failed"])


def _record(agent: str, rows: Sequence[sqlite3.Row]) -> TrackRecord | None:
    return record_of(agent, [row["took"] for row in rows], sum(row["failed"] for row in rows))


def facts_from(
    connection: sqlite3.Connection, statement: str, values: Sequence[Any]
) -> tuple[Fact, ...]:
    """Return the facts that a statement finds in `record`, whose columns are all asked for."""
    rows = connection.execute(statement, values)
    return facts_of(
        (
            ConsumedRecord(
                row["topic"],
                row["partition"],
                row["offset"],
                None if row["key"] is None else row["key"].encode(),
                row["value"],
                {},
                row["at_ms"],
            )
            for row in rows
        ),
        "",
    )


def _before(page: Page, *columns: str) -> tuple[list[str], list[Any]]:
    if page.before is None:
        return ["1"], []
    return [f"({', '.join(columns)}) < (?, ?)"], [*page.before]


def _not_ready() -> NotReadyError:
    return NotReadyError(
        "the read model is not there yet; its consumer begins with the stack, `signalbox status` says"
    )
