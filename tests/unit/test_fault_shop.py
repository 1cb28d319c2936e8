"""What judges sagas under faults, judged on a history that the reducer and the shop's own handlers made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from signalbox.definitions.fleet import ActiveSet
from tests.faults.fleet import ORDERS_FLEET, fault_fleet_and
from tests.faults.history import Stored
from tests.faults.ledger import Ledger
from tests.faults.shop import BOOKS_FILE, Orders
from tests.faults.work import slots_of
from tests.support.played_work import Played


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The history of one run, which no test changes."""
    return Played(Orders("run", 1, 20), ORDERS_FLEET, tmp_path_factory.mktemp("shop"))


def test_ledger_and_books_agree_on_a_history_of_the_reducer(played: Played) -> None:
    """Both judge it good, each order ended as its number says, and the watched one went through every step."""
    report = Ledger(played.records, played.sent).judge()
    statuses = played.work.judge(played.records, played.outbox)

    assert report.is_good, str(report)
    assert statuses == {"completed": 12, "compensated": 6, "failed": 2}
    assert {
        "step:reserve",
        "step:charge",
        "step:ship",
        "step:ship:2",
        "compensate:charge",
        "compensate:reserve",
    } <= slots_of(played.records, played.work.watched).keys()


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM bookings WHERE order_id = 'run-w0' AND action = 'charge'",
        "DELETE FROM bookings WHERE order_id = 'run-w2' AND action = 'refund'",
        "UPDATE bookings SET amount = amount + 1 WHERE order_id = 'run-w5' AND action = 'reserve'",
        "INSERT INTO bookings VALUES ('run-w3', 'ship', 'nowhere', 1, '')",
    ],
)
def test_books_that_do_not_say_what_outcomes_do_are_refused(
    played: Played, tmp_path: Path, spoil: str
) -> None:
    """Money not taken, not given back, a unit too many, a parcel of an order that failed."""
    copy = tmp_path / BOOKS_FILE
    with sqlite3.connect(played.outbox / BOOKS_FILE) as db, sqlite3.connect(copy) as other:
        db.backup(other)
        other.execute(spoil)

    with pytest.raises(AssertionError):
        played.work.judge(played.records, tmp_path)


def test_orders_without_an_outcome_or_against_their_fate_are_refused(played: Played) -> None:
    """One that never ended, one that ended twice, and one that completed though its card was declined."""
    ends = [one for one in played.records if one.topic == "agent_outcomes"]
    declined = next(one for one in ends if b'"run-w1"' in (one.value or b""))
    value = (declined.value or b"").replace(b'"compensated"', b'"completed"')
    forged = Stored(declined.topic, 0, declined.offset, value)
    for changed in (ends[1:], [*ends, ends[0]], [*(x for x in ends if x is not declined), forged]):
        with pytest.raises((AssertionError, ValueError)):
            played.work.judge(changed, played.outbox)


def test_fault_fleet_beside_the_orders_is_one_active_set() -> None:
    """Names are unique, so both fleets may be active together."""
    assert isinstance(fault_fleet_and(ORDERS_FLEET), ActiveSet)
