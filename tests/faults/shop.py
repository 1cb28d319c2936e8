"""Orders for the fault runs, and the judgement of the shop's books, which a plain SQLite connection reads."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.faults.history import Stored
from tests.faults.work import Piece, Work

BOOKS_FILE = "orders.sqlite"
UNDONE_BY = {"reserve": "release", "charge": "refund", "ship": "cancel"}
FATES: Mapping[int, dict[str, Any]] = {
    1: {"payment_method": "declined_card"},
    2: {"trouble": {"at": "ship", "kind": "fail"}},
    3: {"product_id": "unicorn"},
    4: {"payment_method": "declined_card", "trouble": {"at": "release", "kind": "once"}},
}
"""By the order's number modulo ten: what is wrong with it. None of these may complete."""


class Orders(Work):
    """The orders of one run, by seed. The watched one is reserved, charged, twice not shipped, refunded, released."""

    starts_on = "order.placed"

    def _piece(self, name: str, number: int, chance: random.Random) -> Piece:
        data = {
            "order_id": name,
            "product_id": "teapot",
            "quantity": chance.randint(1, 3),
            "amount": chance.randint(100, 9999),
            "payment_method": "card",
            "shipping_address": "1 Example Street",
            **FATES.get(number % 10, {}),
        }
        return Piece(name, data, is_doomed=number % 10 in FATES)

    def judge(self, records: Iterable[Stored], outbox: Path) -> Counter[str]:
        """Compare outcomes and books, order by order and in sum; return how the orders ended."""
        outcomes = self.outcomes(records)
        booked = self._booked(outbox / BOOKS_FILE)
        sold, statuses = [], Counter[str]()
        for order in self.placed:
            end = outcomes[order.name]
            statuses[end["status"]] += 1
            found = booked.get(order.name, {})
            if end["status"] == "completed":
                assert not order.is_doomed, f"{order.name} completed: {order.data}"
                wanted = {
                    "reserve": order.data["quantity"],
                    "charge": order.data["amount"],
                    "ship": 1,
                }
                assert found == wanted, f"{order.name}: booked {found}, {wanted} is right"
                sold.append(order)
            else:
                # A stall may be longer than an agent may be silent; nothing else takes a sound order back.
                is_silence = "did not answer in time" in str(end["detail"])
                assert order.is_doomed or is_silence, f"{order.name}: {end}"
                for action, undo in UNDONE_BY.items():
                    assert found.get(action, 0) == found.get(undo, 0), f"{order.name}: {found}"
        total = Counter[str]()
        for found in booked.values():
            total.update(found)
        assert total["reserve"] - total["release"] == sum(one.data["quantity"] for one in sold)
        assert total["charge"] - total["refund"] == sum(one.data["amount"] for one in sold)
        return statuses

    def _booked(self, books: Path) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        with sqlite3.connect(books) as db:
            for order, action, amount in db.execute(
                "SELECT order_id, action, amount FROM bookings"
            ):
                if order.startswith(f"{self._run}-"):
                    found.setdefault(order, {})[action] = amount
        return found
