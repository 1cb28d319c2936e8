"""How the read model is asked: the file that counts now, through a connection of its own, and what is read as facts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import structlog

from connectors.broker import ConsumedRecord
from signalbox.cli.facts import Fact, facts_of
from signalbox.errors import SignalboxError
from signalbox.gateway.readmodel.place import ReadModelPlace
from signalbox.gateway.readmodel.schema import VERSION, open_to_read

Answer = TypeVar("Answer")
_log: Any = structlog.get_logger()


class NotReadyError(SignalboxError):
    """The read model is not there yet: its consumer has not begun, or reads the topics anew."""

    code: ClassVar[str] = "SB-111"


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows: at most `limit`, and those before `before` (as the last page said) only."""

    limit: int
    before: tuple[int, str] | None = None


class Tables:
    """The tables at `place`."""

    def __init__(self, place: ReadModelPlace) -> None:
        self._place = place

    def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return what a question of another module finds, asked of one moment."""
        with self._open() as connection:
            return question(connection)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = open_to_read(self._place.current())
        except sqlite3.OperationalError:
            raise _not_ready() from None
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise _not_ready(version)
            # One moment for all questions of a request.
            connection.execute("BEGIN")
            yield connection
        except sqlite3.DatabaseError as error:
            # Locked while its consumer mends it, no whole database, or the disk does not answer.
            _log.warning("readmodel.not_read", detail=str(error))
            raise _not_ready() from None
        finally:
            connection.close()


def facts_from(
    connection: sqlite3.Connection, statement: str, values: Sequence[Any]
) -> tuple[Fact, ...]:
    """Return the records that a statement asks for, as facts."""
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


def before(page: Page, *columns: str) -> tuple[list[str], list[Any]]:
    """Return the condition that a page's rows fulfil, and its values; `columns` are what they are in the order of."""
    if page.before is None:
        return ["1"], []
    return [f"({', '.join(columns)}) < (?, ?)"], [*page.before]


def _not_ready(version: int = 0) -> NotReadyError:
    if version:
        return NotReadyError(
            f"the read model's tables are of version {version}, and this gateway reads version {VERSION}; "
            "its consumer makes them anew when it starts: start gateway and consumer of one release"
        )
    return NotReadyError(
        "the read model is not there yet; its consumer begins with the stack, `signalbox status` says"
    )
