"""Recorded conversations on disk for the length of one replay: SQLite in a temporary folder, so that memory stays bounded.

What is read from the topics in their order comes out by conversation. Nothing here is durable.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.decision import Decision
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.review import Review
from signalbox.replay.records import Records, SeenMessage

_TABLES: Final = """
CREATE TABLE message (
    conversation TEXT, id TEXT, type TEXT, agent TEXT, cause TEXT, at_ms INTEGER,
    part INTEGER, place INTEGER, tokens INTEGER, digest TEXT, in_range INTEGER, body BLOB
);
CREATE TABLE conversation (id TEXT PRIMARY KEY, first_ms INTEGER);
CREATE TABLE fact (conversation TEXT, kind TEXT, body BLOB);
CREATE TABLE answer (digest TEXT, message_id TEXT, cached INTEGER, body BLOB);
CREATE TABLE used (digest TEXT PRIMARY KEY);
"""
_INDEXES: Final = """
CREATE INDEX message_place ON message (part, place);
CREATE INDEX message_conversation ON message (conversation);
CREATE INDEX fact_conversation ON fact (conversation);
CREATE INDEX answer_digest ON answer (digest, message_id);
"""

Fact = Decision | Outcome | Review | DeadLetter


class ReplayStore:
    """Fill it (`add_message`, then `add_fact`), `seal` it, read it. An `AnswerBook` as well."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "replay.sqlite", isolation_level=None)
        # It is thrown away in any case: nothing needs to survive a crash.
        self._db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _TABLES)
        self._db.execute("BEGIN")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def add_message(self, conversation_id: str, seen: SeenMessage, body: bytes) -> None:
        """Keep a message; its payload only where it is in the range."""
        self._db.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                conversation_id,
                seen.id,
                seen.type,
                seen.agent,
                seen.cause,
                seen.at_ms,
                seen.partition,
                seen.offset,
                seen.tokens,
                seen.data_digest,
                seen.in_range,
                body if seen.in_range else None,
            ),
        )
        if seen.in_range:
            self._db.execute(
                "INSERT OR IGNORE INTO conversation VALUES (?, ?)", (conversation_id, seen.at_ms)
            )

    def add_fact(self, conversation_id: str, fact: Fact, body: bytes) -> None:
        """Keep a record of a conversation that has messages in the range; of any, where a model answered."""
        if isinstance(fact, Decision) and fact.prompt_digest is not None:
            self._db.execute(
                "INSERT INTO answer VALUES (?, ?, ?, ?)",
                (fact.prompt_digest, fact.message_id, fact.cached, body),
            )
        if self._is_in_range(conversation_id):
            self._db.execute(
                "INSERT INTO fact VALUES (?, ?, ?)", (conversation_id, type(fact).__name__, body)
            )

    def seal(self) -> None:
        """Say that everything is there."""
        self._db.execute("COMMIT")
        self._db.executescript(_INDEXES)

    def conversations(self) -> Iterator[Records]:
        """Yield the conversations of the range by the time of their first message in it."""
        names = self._db.execute("SELECT id FROM conversation ORDER BY first_ms, id")
        for (conversation_id,) in names:
            yield self._records(conversation_id)

    def body(self, seen: SeenMessage) -> bytes:
        """Return the payload of a message that is in the range."""
        found = self._db.execute(
            "SELECT body FROM message WHERE part = ? AND place = ?", (seen.partition, seen.offset)
        )
        body: bytes = found.fetchone()[0]
        return body

    def own(self, message_id: str, digest: str) -> Decision | None:
        """See `AnswerBook`."""
        return self._answer("digest = ? AND message_id = ? ORDER BY rowid DESC", digest, message_id)

    def shared(self, digest: str) -> Decision | None:
        """See `AnswerBook`."""
        return self._answer("digest = ? ORDER BY cached, rowid DESC", digest)

    def is_first_use(self, digest: str) -> bool:
        """See `AnswerBook`."""
        done = self._db.execute("INSERT OR IGNORE INTO used VALUES (?)", (digest,))
        return done.rowcount == 1

    def _is_in_range(self, conversation_id: str) -> bool:
        found = self._db.execute("SELECT 1 FROM conversation WHERE id = ?", (conversation_id,))
        return found.fetchone() is not None

    def _answer(self, condition: str, *values: str) -> Decision | None:
        query = f"SELECT body FROM answer WHERE {condition} LIMIT 1"
        row = self._db.execute(query, values).fetchone()
        return None if row is None else Decision.from_json(row[0])

    def _records(self, conversation_id: str) -> Records:
        records = Records(conversation_id)
        messages = self._db.execute(
            "SELECT id, type, agent, cause, at_ms, part, place, tokens, digest, in_range FROM message"
            " WHERE conversation = ? ORDER BY rowid",
            (conversation_id,),
        )
        records.messages = [SeenMessage(*row) for row in messages]
        facts = self._db.execute(
            "SELECT kind, body FROM fact WHERE conversation = ? ORDER BY rowid", (conversation_id,)
        )
        for kind, body in facts:
            match kind:
                case "Decision":
                    records.decisions.append(Decision.from_json(body))
                case "Outcome":
                    records.outcomes.append(Outcome.from_json(body))
                case "Review":
                    records.reviews.append(Review.from_json(body))
                case _:
                    records.dead_letters.append(DeadLetter.from_json(body))
        return records
