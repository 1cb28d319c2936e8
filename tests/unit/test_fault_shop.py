"""What judges sagas under faults, judged on a history that the reducer and the shop's own handlers made."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agents.handlers import handler_from
from agents.orders.trouble import BOOKS_FILE
from agents.result import Terminal
from agents.task import Task
from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.contracts.ids import reply_id
from signalbox.contracts.record import Record
from signalbox.definitions.fleet import ActiveSet
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.simulation import Simulation
from tests.faults.fleet import ORDERS_FLEET, fault_fleet_and_orders
from tests.faults.history import Stored
from tests.faults.ledger import Ledger
from tests.faults.shop import Orders, slots_of
from tests.faults.verdict import Sent
from tests.support.fleets import reply
from tests.support.tasks import context_of

COUNT = 20


class Played:
    """Twenty orders from their messages to their outcomes; the records are where topics would hold them."""

    def __init__(self, folder: Path) -> None:
        self.orders = Orders("run", 1, COUNT)
        self.books = folder / BOOKS_FILE
        self.sent: list[Sent] = []
        self.records: list[Stored] = []
        self._world = Simulation(Rulebook(Rules.compile(fault_fleet_and_orders(), EnginePolicy())))
        for number, one in enumerate(self.orders.outgoing()):
            self.sent.append(Sent(one.id, one.conversation, ("agent_messages", 0, number)))
            self._send(Envelope.from_json(one.value or b""))
        asyncio.run(self._work(folder))
        for outcome in self._world.outcomes:
            self._store("agent_outcomes", outcome)
        for decision in self._world.decisions:
            self._store("agent_decisions", decision)

    async def _work(self, folder: Path) -> None:
        context, done = context_of(folder), 0
        handlers: dict[str, Any] = {
            name: handler_from(one) for name, one in ORDERS_FLEET.agents.items()
        }
        while len(self._world.outcomes) < COUNT:
            if done == len(self._world.dispatches):
                self._world.pass_time(1)
                continue
            task = self._world.dispatches[done].task
            done += 1
            agent = task.target or ""
            self._store(f"agent_tasks_{agent}", task)
            result = await handlers[agent](Task(task, 1), context)
            identity = reply_id(task.id, 0)
            if isinstance(result, Terminal):
                answer = reply(
                    task,
                    {"detail": result.detail, "permanent": result.is_permanent},
                    kind=TASK_FAILED,
                    id=identity,
                )
            else:
                kind = ORDERS_FLEET.agents[agent].output.type
                answer = reply(task, result.data, kind=kind, id=identity)
            self._send(answer)

    def _send(self, message: Envelope) -> None:
        self._store("agent_messages", message)
        self._world.send(message)

    def _store(self, topic: str, record: Record) -> None:
        self.records.append(Stored(topic, 0, len(self.records), record.to_json()))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The history of one run, which no test changes."""
    return Played(tmp_path_factory.mktemp("shop"))


def test_ledger_and_books_agree_on_a_history_of_the_reducer(played: Played) -> None:
    """Both judge it good, each order ended as its number says, and the watched one went through every step."""
    report = Ledger(played.records, played.sent).judge()
    statuses = played.orders.judge(played.records, played.books)

    assert report.is_good, str(report)
    assert statuses == {"completed": 12, "compensated": 6, "failed": 2}
    assert {
        "step:reserve",
        "step:charge",
        "step:ship",
        "step:ship:2",
        "compensate:charge",
        "compensate:reserve",
    } <= slots_of(played.records, played.orders.watched)


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM bookings WHERE order_id = 'run-o0' AND action = 'charge'",
        "DELETE FROM bookings WHERE order_id = 'run-o2' AND action = 'refund'",
        "UPDATE bookings SET amount = amount + 1 WHERE order_id = 'run-o5' AND action = 'reserve'",
        "INSERT INTO bookings VALUES ('run-o3', 'ship', 'nowhere', 1, '')",
    ],
)
def test_books_that_do_not_say_what_outcomes_do_are_refused(
    played: Played, tmp_path: Path, spoil: str
) -> None:
    """Money not taken, not given back, a unit too many, a parcel of an order that failed."""
    copy = tmp_path / "copy.sqlite"
    with sqlite3.connect(played.books) as db, sqlite3.connect(copy) as other:
        db.backup(other)
        other.execute(spoil)

    with pytest.raises(AssertionError):
        played.orders.judge(played.records, copy)


def test_orders_without_an_outcome_or_against_their_fate_are_refused(played: Played) -> None:
    """One that never ended, one that ended twice, and one that completed though its card was declined."""
    ends = [one for one in played.records if one.topic == "agent_outcomes"]
    declined = next(one for one in ends if b'"run-o1"' in (one.value or b""))
    value = (declined.value or b"").replace(b'"compensated"', b'"completed"')
    forged = Stored(declined.topic, 0, declined.offset, value)
    for changed in (ends[1:], [*ends, ends[0]], [*(x for x in ends if x is not declined), forged]):
        with pytest.raises((AssertionError, ValueError)):
            played.orders.judge(changed, played.books)


def test_fault_fleet_beside_the_orders_is_one_active_set() -> None:
    """Names are unique, so both fleets may be active together."""
    assert isinstance(fault_fleet_and_orders(), ActiveSet)
