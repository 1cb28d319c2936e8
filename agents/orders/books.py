"""The shop's books: a SQLite file in which every booking is filed under its order and action, so that each happens once.

A task may come again after a crash between the booking and the commit of its answer, and a cancelled order's first task may come
after its cancellation; the books know both. What is in stock is never stored: it is the opening stock less what is booked.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Action = Literal["reserve", "release", "charge", "refund", "ship", "cancel"]

UNDONE_BY: Final[Mapping[Action, Action]] = {
    "reserve": "release",
    "charge": "refund",
    "ship": "cancel",
}
OPENING_STOCK: Final[Mapping[str, int]] = {"teapot": 4000, "lantern": 2500, "atlas": 40}
"""Units of each product when the books begin."""
_BUSY_SECONDS: Final = 20.0
_TABLES: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS bookings (
    order_id TEXT NOT NULL, action TEXT NOT NULL, what TEXT NOT NULL, amount INTEGER NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (order_id, action)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS bookings_by_what ON bookings (what, action, amount);
CREATE TABLE IF NOT EXISTS stumbles (order_id TEXT NOT NULL, action TEXT NOT NULL, PRIMARY KEY (order_id, action)) WITHOUT ROWID;
"""


class RefusedError(Exception):
    """A booking that the books do not allow; the text says why."""


@dataclass(frozen=True, slots=True)
class Booking:
    """One line. `amount` is units of `what`, or cents; `is_new` is False where the books had it before."""

    what: str
    amount: int
    is_new: bool


class Books:
    """One file, shared by the processes of one machine; every method is one transaction, on disk when it returns.

    Threads may share a value of it: handlers run in some, and one booking waits for another anyhow.
    """

    def __init__(self, path: Path) -> None:
        """Use the books at `path`, begun where they are missing."""
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._db.executescript(_TABLES)

    def book(self, order: str, action: Action, what: str, amount: int, at: str) -> Booking:
        """Book `action` for `order`, once ever; the second time the first booking is returned as it was.

        Raises:
            RefusedError: the order's action was taken back before, or there is not enough in stock.
        """
        with self._transaction() as db:
            known = _find(db, order, action)
            if known is not None:
                return known
            undone_by = UNDONE_BY.get(action)
            if undone_by is not None and _find(db, order, undone_by) is not None:
                msg = f"{action} of order {order} was taken back before it came"
                raise RefusedError(msg)
            if action == "reserve" and (left := _left(db, what)) < amount:
                msg = f"{left} of {what!r} are left, {amount} are wanted"
                raise RefusedError(msg)
            return _write(db, order, action, what, amount, at)

    def take_back(self, order: str, action: Action, at: str) -> Booking:
        """Book what undoes `action` of `order`, once ever, with the same amount; nothing where it never happened."""
        with self._transaction() as db:
            undone_by = UNDONE_BY[action]
            known = _find(db, order, undone_by)
            if known is not None:
                return known
            done = _find(db, order, action)
            what, amount = ("", 0) if done is None else (done.what, done.amount)
            return _write(db, order, undone_by, what, amount, at)

    def stumbles_first(self, order: str, action: Action) -> bool:
        """Say whether this is the first time that `action` of `order` is asked to stumble; for failures on purpose."""
        with self._transaction() as db:
            cursor = db.execute("INSERT OR IGNORE INTO stumbles VALUES (?, ?)", (order, action))
            return cursor.rowcount == 1

    def of(self, order: str) -> dict[str, int]:
        """Return what is booked for an order, action → amount."""
        with self._transaction() as db:
            rows = db.execute("SELECT action, amount FROM bookings WHERE order_id = ?", (order,))
            return dict(rows.fetchall())

    def in_stock(self, product: str) -> int:
        """Return how many units of `product` are neither reserved nor sold."""
        with self._transaction() as db:
            return _left(db, product)

    def takings_cents(self) -> int:
        """Return what was charged less what was refunded, in cents."""
        with self._transaction() as db:
            return _sum(db, "charge") - _sum(db, "refund")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _find(db: sqlite3.Connection, order: str, action: Action) -> Booking | None:
    query = "SELECT what, amount FROM bookings WHERE order_id = ? AND action = ?"
    row = db.execute(query, (order, action)).fetchone()
    return None if row is None else Booking(row[0], row[1], is_new=False)


def _write(
    db: sqlite3.Connection, order: str, action: Action, what: str, amount: int, at: str
) -> Booking:
    db.execute("INSERT INTO bookings VALUES (?, ?, ?, ?, ?)", (order, action, what, amount, at))
    return Booking(what, amount, is_new=True)


def _left(db: sqlite3.Connection, product: str) -> int:
    out = _sum(db, "reserve", product) - _sum(db, "release", product)
    return OPENING_STOCK.get(product, 0) - out


def _sum(db: sqlite3.Connection, action: Action, what: str | None = None) -> int:
    query = "SELECT coalesce(sum(amount), 0) FROM bookings WHERE action = ? AND what = coalesce(?, what)"
    return int(db.execute(query, (action, what)).fetchone()[0])
