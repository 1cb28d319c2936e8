"""Orders for the fault runs, and the judgement of the shop's books, which a plain SQLite connection reads."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.history import Stored
from tests.faults.load import Outgoing

UNDONE_BY = {"reserve": "release", "charge": "refund", "ship": "cancel"}
WATCHED = 2
"""The order that goes through every step: reserved, charged, twice not shipped, refunded, released."""
FATES: Mapping[int, dict[str, Any]] = {
    1: {"payment_method": "declined_card"},
    2: {"trouble": {"at": "ship", "kind": "fail"}},
    3: {"product_id": "unicorn"},
    4: {"payment_method": "declined_card", "trouble": {"at": "release", "kind": "once"}},
}
"""By the order's number modulo ten: what is wrong with it. None of these may complete."""


@dataclass(frozen=True)
class Order:
    """One order as it was placed."""

    name: str
    data: dict[str, Any]
    is_doomed: bool


class Orders:
    """The orders of one run, by seed."""

    def __init__(self, run: str, seed: int, count: int) -> None:
        chance = random.Random(seed)
        self._run = run
        self.placed = [
            Order(
                name=f"{run}-o{number}",
                data={
                    "order_id": f"{run}-o{number}",
                    "product_id": "teapot",
                    "quantity": chance.randint(1, 3),
                    "amount": chance.randint(100, 9999),
                    "payment_method": "card",
                    "shipping_address": "1 Example Street",
                    **FATES.get(number % 10, {}),
                },
                is_doomed=number % 10 in FATES,
            )
            for number in range(count)
        ]

    @property
    def watched(self) -> str:
        """The conversation whose steps place the fault."""
        return self.placed[WATCHED].name

    def outgoing(self) -> Iterator[Outgoing]:
        """The messages that place them."""
        for order in self.placed:
            fields = {
                "specversion": "1.0",
                "id": f"m-{order.name}",
                "source": "cli",
                "type": "order.placed",
                "time": datetime.now(UTC).isoformat(),
                "subject": order.name,
                "data": order.data,
            }
            yield Outgoing(f"m-{order.name}", order.name, json.dumps(fields).encode())

    def judge(self, records: Iterable[Stored], books: Path) -> Counter[str]:
        """Compare outcomes and books, order by order and in sum; return how the orders ended.

        Raises:
            AssertionError: an order has not one outcome, completed against its fate, or the books do not say what its outcome does.
        """
        outcomes: dict[str, list[dict[str, Any]]] = {order.name: [] for order in self.placed}
        for record in records:
            if record.topic == "agent_outcomes" and record.fields:
                outcomes.get(record.fields["conversation_id"], []).append(record.fields)
        booked = self._booked(books)
        sold, statuses = [], Counter[str]()
        for order in self.placed:
            (end,) = outcomes[order.name]
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


def slots_of(records: Iterable[Stored], conversation: str) -> set[str]:
    """Which slots of a conversation's run were decided so far."""
    return {
        record.fields["slot"]
        for record in records
        if record.topic == "agent_decisions"
        and record.fields
        and record.fields["conversation_id"] == conversation
    }
