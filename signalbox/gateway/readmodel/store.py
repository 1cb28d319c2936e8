"""Writes the read model: a batch of records and how far they were read in one transaction, so each record counts once."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from connectors.broker import ConsumedRecord, Partition
from signalbox.contracts.registry import RETIRED_PREFIX, WORKFLOW_PREFIX
from signalbox.gateway.readmodel.rows import changes_of
from signalbox.gateway.readmodel.schema import STATEMENTS, contents, make_empty, open_to_write
from signalbox.topics import AGENT_OUTCOMES, TOPICS, agent_tasks, spec_of

FORGOTTEN_AT_ONCE: Final = 20_000
"""Records of a topic that are dropped in one go: so long what is new waits."""


class Store:
    """One file, written by one process.

    Args:
        path: of the file; made where it is missing.
        prefix: of the topics' names.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        self.path = path
        self._prefix = prefix
        self._connection = open_to_write(path)
        self._inode = path.stat().st_ino

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def is_there(self) -> bool:
        """Say whether the file is still the one that was opened: who opens one by its name gets another, where it was removed."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def offsets(self) -> dict[Partition, int]:
        """Return where reading goes on in each partition that was read."""
        rows = self._connection.execute("SELECT topic, partition, next_offset FROM source")
        return {Partition(topic, number): offset for topic, number, offset in rows}

    def agents(self) -> frozenset[str]:
        """Return every agent that the registry ever told of."""
        rows = self._connection.execute("SELECT DISTINCT key FROM registry")
        keys = (key for (key,) in rows if not key.startswith((RETIRED_PREFIX, WORKFLOW_PREFIX)))
        return frozenset(key.partition("@")[0] for key in keys if "@" in key)

    def take(self, records: Iterable[ConsumedRecord]) -> int:
        """Write what records change and how far was read; return how many were new.

        Delivery: exactly once. What was taken before is passed over, whoever sends it again.
        """
        known = self.offsets()
        ends = dict(known)
        rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        count = 0
        for record in records:
            if record.offset < ends.get(record.source, 0):
                continue
            count += 1
            ends[record.source] = record.offset + 1
            for change in changes_of(record, self._prefix):
                rows[change.statement].append(change.values)
        moved = {source: offset for source, offset in ends.items() if known.get(source) != offset}
        if moved:
            self._write(rows, moved)
        return count

    def _write(
        self, rows: Mapping[str, list[tuple[Any, ...]]], offsets: Mapping[Partition, int]
    ) -> None:
        with _transaction(self._connection):
            for statement, values in rows.items():
                self._connection.executemany(STATEMENTS[statement], values)
            self._connection.executemany(
                "INSERT INTO source VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
                [(*source, offset) for source, offset in offsets.items()],
            )

    def make_empty(self) -> None:
        """Forget everything, and how far was read."""
        make_empty(self._connection)

    def forget_old(self, now_ms: int) -> int:
        """Drop records that their topics do not keep either, and conversations of which nothing is left; return how many records.

        Where it is `FORGOTTEN_AT_ONCE` or more there may be others, and conversations wait for the last of them.
        """
        dropped = 0
        with _transaction(self._connection):
            for topic in (*TOPICS, *map(agent_tasks, self.agents())):
                kept_ms = spec_of(topic).retention_ms
                if kept_ms > 0:
                    dropped += self._connection.execute(
                        "DELETE FROM record WHERE rowid IN "
                        "(SELECT rowid FROM record WHERE topic = ? AND at_ms < ? LIMIT ?)",
                        (topic, now_ms - kept_ms, FORGOTTEN_AT_ONCE),
                    ).rowcount
            if dropped >= FORGOTTEN_AT_ONCE:
                return dropped
            limit = (now_ms - spec_of(AGENT_OUTCOMES).retention_ms,)
            old = "WHERE conversation IN (SELECT id FROM conversation WHERE last_ms < ?)"
            for statement in (
                f"DELETE FROM said {old}",
                f"DELETE FROM chosen {old}",
                f"DELETE FROM name {old}",
                "DELETE FROM conversation WHERE last_ms < ?",
                "DELETE FROM review WHERE deadline_ms < ?",
                "DELETE FROM dead_letter WHERE at_ms < ?",
                "DELETE FROM task WHERE coalesce(given_ms, answered_ms) < ?",
                "DELETE FROM instance WHERE at_ms < ?",
            ):
                self._connection.execute(statement, limit)
        return dropped

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every table's rows, to compare."""
        return contents(self._connection)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Any:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk has ended it already: then another error would hide that one.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
