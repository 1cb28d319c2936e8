"""The read model's tables, and how each kind of change is written.

Topics are read side by side, so every change must come to the same whatever came before it from another topic: rows are added,
sums, minima and maxima are kept, and of two that differ the later one by its own time wins. A rebuild then equals what grew.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

VERSION: Final = 2
"""Of the tables; a file of another version is not read but built anew."""

TABLES: Final = """
CREATE TABLE source (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE record (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, conversation TEXT, key TEXT, value BLOB NOT NULL,
    PRIMARY KEY (topic, partition, offset)
);
CREATE INDEX record_by_conversation ON record (conversation, at_ms);
CREATE INDEX record_by_age ON record (topic, at_ms);
CREATE TABLE name (
    id TEXT NOT NULL, conversation TEXT NOT NULL,
    PRIMARY KEY (id, conversation)
) WITHOUT ROWID;
CREATE TABLE conversation (
    id TEXT PRIMARY KEY,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    messages INTEGER NOT NULL, decisions INTEGER NOT NULL, reviews INTEGER NOT NULL,
    dead_letters INTEGER NOT NULL, outcomes INTEGER NOT NULL,
    began_ms INTEGER, began_type TEXT,
    decided_ms INTEGER, last_agent TEXT,
    episode INTEGER, ended_ms INTEGER, status TEXT
) WITHOUT ROWID;
CREATE INDEX conversation_by_time ON conversation (last_ms, id);
CREATE INDEX conversation_by_status ON conversation (status, last_ms, id);
CREATE TABLE review (
    name TEXT PRIMARY KEY, conversation TEXT NOT NULL, opened_ms INTEGER NOT NULL, deadline_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE dead_letter (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL, topic TEXT NOT NULL, message_id TEXT, conversation TEXT,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE INDEX dead_letter_by_reason ON dead_letter (reason, at_ms);
CREATE INDEX dead_letter_by_message ON dead_letter (message_id);
CREATE TABLE task (
    id TEXT NOT NULL, agent TEXT NOT NULL, given_ms INTEGER, answered_ms INTEGER, failed INTEGER,
    PRIMARY KEY (agent, id)
) WITHOUT ROWID;
CREATE INDEX task_open ON task (given_ms, agent) WHERE answered_ms IS NULL;
CREATE TABLE instance (
    agent TEXT NOT NULL, instance TEXT NOT NULL, at_ms INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (agent, instance)
) WITHOUT ROWID;
CREATE TABLE mark (
    place TEXT PRIMARY KEY, offset INTEGER NOT NULL, value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE registry (offset INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, key TEXT NOT NULL, value BLOB);
"""

TABLE_NAMES: Final = (
    "source",
    "record",
    "name",
    "conversation",
    "review",
    "dead_letter",
    "task",
    "instance",
    "mark",
    "registry",
)

_CONVERSATION: Final = """
INSERT INTO conversation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    first_ms = min(first_ms, excluded.first_ms),
    last_ms = max(last_ms, excluded.last_ms),
    messages = messages + excluded.messages,
    decisions = decisions + excluded.decisions,
    reviews = reviews + excluded.reviews,
    dead_letters = dead_letters + excluded.dead_letters,
    outcomes = outcomes + excluded.outcomes,
    (began_ms, began_type) = (
        SELECT a, b FROM (
            SELECT began_ms AS a, began_type AS b UNION ALL SELECT excluded.began_ms, excluded.began_type
        ) WHERE a IS NOT NULL ORDER BY a, b LIMIT 1
    ),
    (decided_ms, last_agent) = (
        SELECT a, b FROM (
            SELECT decided_ms AS a, last_agent AS b UNION ALL SELECT excluded.decided_ms, excluded.last_agent
        ) WHERE a IS NOT NULL ORDER BY a DESC, b DESC LIMIT 1
    ),
    (episode, ended_ms, status) = (
        SELECT a, b, c FROM (
            SELECT episode AS a, ended_ms AS b, status AS c
            UNION ALL SELECT excluded.episode, excluded.ended_ms, excluded.status
        ) WHERE a IS NOT NULL ORDER BY a DESC, b DESC, c DESC LIMIT 1
    )
"""

STATEMENTS: Final[dict[str, str]] = {
    "record": "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?, ?)",
    "name": "INSERT OR IGNORE INTO name VALUES (?, ?)",
    "conversation": _CONVERSATION,
    "review": """
        INSERT INTO review VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
            conversation = excluded.conversation, opened_ms = excluded.opened_ms, deadline_ms = excluded.deadline_ms
        WHERE excluded.opened_ms > opened_ms
    """,
    "dead_letter": "INSERT OR IGNORE INTO dead_letter VALUES (?, ?, ?, ?, ?, ?, ?)",
    "task_given": """
        INSERT INTO task (agent, id, given_ms) VALUES (?, ?, ?) ON CONFLICT (agent, id) DO UPDATE SET
            given_ms = min(coalesce(given_ms, excluded.given_ms), excluded.given_ms)
    """,
    "task_answered": """
        INSERT INTO task (agent, id, answered_ms, failed) VALUES (?, ?, ?, ?) ON CONFLICT (agent, id) DO UPDATE SET
            answered_ms = excluded.answered_ms, failed = excluded.failed
        WHERE answered_ms IS NULL OR (excluded.answered_ms, excluded.failed) < (answered_ms, failed)
    """,
    "instance": """
        INSERT INTO instance VALUES (?, ?, ?, ?) ON CONFLICT (agent, instance) DO UPDATE SET
            at_ms = excluded.at_ms, value = excluded.value
        WHERE excluded.at_ms >= at_ms
    """,
    "mark": """
        INSERT INTO mark VALUES (?, ?, ?) ON CONFLICT (place) DO UPDATE SET
            offset = excluded.offset, value = excluded.value
        WHERE excluded.offset > offset
    """,
    "registry": "INSERT OR IGNORE INTO registry VALUES (?, ?, ?, ?)",
}
"""How each kind of change is written, by the name that `rows` gives it."""


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open or make the file of a read model. A file of another version is emptied."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    # A crash of the machine may cost the last changes; their offsets are in the same transactions, so they are read again.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA busy_timeout = 5000")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found != VERSION:
        make_empty(connection)
    return connection


def make_empty(connection: sqlite3.Connection) -> None:
    """Drop every table and make them anew."""
    connection.execute("BEGIN IMMEDIATE")
    known = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    for (table,) in known:
        connection.execute(f'DROP TABLE "{table}"')
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open the file for questions; nothing can be changed through it.

    Raises:
        sqlite3.OperationalError: there is none.
    """
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def contents(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return every table's rows, sorted: two read models of equal topics are equal."""
    return {
        table: sorted(
            (tuple(row) for row in connection.execute(f"SELECT * FROM {table}")),
            key=repr,
        )
        for table in TABLE_NAMES
    }
