"""The orders fleet: books that add up, whatever fails, comes twice or comes late."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agents.handlers import handler_from
from agents.orders.books import OPENING_STOCK, UNDONE_BY, Books, RefusedError
from agents.orders.trouble import BOOKS_FILE
from agents.result import HandlerResult, Reply, Terminal
from agents.task import Task
from signalbox.contracts.envelope import Envelope
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_fleet
from signalbox.definitions.specs import AgentDefinition
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.simulation import Simulation
from tests.support.fleets import message, reply
from tests.support.tasks import context_of

FLEET = load_fleet(Path(__file__).parents[2] / "agent_definitions" / "orders")
RULES = Rulebook(Rules.compile(ActiveSet.of([FLEET]), EnginePolicy()))
AT = "2026-01-15T09:00:00+00:00"


def order(number: int, **more: Any) -> dict[str, Any]:
    """An order as a customer places it."""
    return {
        "order_id": f"o-{number}",
        "product_id": "teapot",
        "quantity": 2,
        "amount": 2 * 1999,
        "payment_method": "card",
        "shipping_address": "1 Example Street",
        **more,
    }


class Shop:
    """Many orders in a simulation, worked off by the fleet's own handlers against real books."""

    def __init__(self, folder: Path) -> None:
        self.world = Simulation(RULES)
        self.books = Books(folder / BOOKS_FILE)
        self._context = context_of(folder)
        self._handlers = {
            name: handler_from(definition) for name, definition in FLEET.agents.items()
        }
        self._loop = asyncio.new_event_loop()
        self._taken = 0

    def close(self) -> None:
        """End the loop that the handlers ran on."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def place(self, data: dict[str, Any]) -> None:
        """Place an order; its conversation is the order's id."""
        asked = message(
            f"m-{data['order_id']}", data, conversation=data["order_id"], type="order.placed"
        )
        self.world.send(asked)

    def new_tasks(self) -> list[Envelope]:
        """Return the tasks given out since the last time."""
        new = self.world.dispatches[self._taken :]
        self._taken = len(self.world.dispatches)
        return [one.task for one in new]

    def handle(self, task: Envelope) -> Envelope:
        """Handle a task as a runner would: both contracts hold, and what comes back is its answer."""
        definition: AgentDefinition = FLEET.agents[task.target or ""]
        assert definition.input.contract.accepts(task.data)
        handler = self._handlers[definition.name]
        result: HandlerResult = self._loop.run_until_complete(handler(Task(task, 1), self._context))  # type: ignore[arg-type]
        if isinstance(result, Terminal):
            told = {"reason": result.reason, "detail": result.detail}
            data = {**told, "permanent": result.is_permanent}
            return reply(task, data, kind="task.failed")
        assert isinstance(result, Reply)
        assert definition.output.contract.accepts(result.data)
        return reply(task, result.data, kind=definition.output.type)

    def work(self) -> None:
        """Work everything off, later attempts at compensations too."""
        for _ in range(100):
            tasks = self.new_tasks()
            for task in tasks:
                self.world.send(self.handle(task))
            if not tasks:
                if not any(self.world.state_of(one).is_open for one in self.world.blobs):
                    return
                self.world.pass_time(1)
        raise AssertionError("not all orders ended")


def test_books_hold_each_action_of_an_order_once(tmp_path: Path) -> None:
    """The same booking twice is one booking, also with another amount."""
    books = Books(tmp_path / BOOKS_FILE)
    first = books.book("o-1", "reserve", "teapot", 2, AT)
    again = books.book("o-1", "reserve", "teapot", 5, AT)

    assert (first.is_new, again.is_new, again.amount) == (True, False, 2)
    assert books.in_stock("teapot") == OPENING_STOCK["teapot"] - 2


def test_books_refuse_what_was_taken_back_before_it_came(tmp_path: Path) -> None:
    """A task that arrives after its compensation does nothing: its order is over."""
    books = Books(tmp_path / BOOKS_FILE)
    assert books.take_back("o-1", "charge", AT).amount == 0
    with pytest.raises(RefusedError, match="taken back before it came"):
        books.book("o-1", "charge", "card", 500, AT)

    assert books.takings_cents() == 0


def test_books_take_back_exactly_what_was_booked_and_once(tmp_path: Path) -> None:
    """What is refunded is what was charged, however often it is asked for."""
    books = Books(tmp_path / BOOKS_FILE)
    books.book("o-1", "charge", "card", 500, AT)
    assert books.takings_cents() == 500
    for _ in range(2):
        books.take_back("o-1", "charge", AT)

    assert books.takings_cents() == 0


def test_books_do_not_sell_what_is_not_there(tmp_path: Path) -> None:
    """The last units go to whoever comes first, and a product nobody knows is never in stock."""
    books = Books(tmp_path / BOOKS_FILE)
    books.book("o-1", "reserve", "atlas", OPENING_STOCK["atlas"] - 1, AT)
    with pytest.raises(RefusedError, match="1 of 'atlas' are left, 2 are wanted"):
        books.book("o-2", "reserve", "atlas", 2, AT)
    with pytest.raises(RefusedError, match="0 of 'unicorn'"):
        books.book("o-3", "reserve", "unicorn", 1, AT)


def test_order_that_succeeds_is_reserved_charged_and_shipped_with_a_result(tmp_path: Path) -> None:
    """Three tasks, one after the other, and an outcome that says transaction and parcel."""
    shop = Shop(tmp_path)
    shop.place(order(1))
    shop.work()
    shop.close()

    (outcome,) = shop.world.outcomes
    assert (outcome.status, outcome.hops) == ("completed", 3)
    assert outcome.result == {
        "order_id": "o-1",
        "transaction_id": "pay-o-1",
        "tracking_number": "parcel-o-1",
        "estimated_delivery": "2026-01-18",
    }
    assert shop.books.of("o-1") == {"reserve": 2, "charge": 3998, "ship": 1}


@pytest.mark.parametrize(
    ("more", "status", "booked"),
    [
        ({"product_id": "unicorn"}, "failed", {}),
        ({"payment_method": "declined_card"}, "compensated", {"reserve": 2, "release": 2}),
        (
            {"trouble": {"at": "ship", "kind": "refuse"}},
            "compensated",
            {"reserve": 2, "charge": 3998, "refund": 3998, "release": 2},
        ),
        (
            {"trouble": {"at": "ship", "kind": "fail"}},
            "compensated",
            {"reserve": 2, "charge": 3998, "refund": 3998, "release": 2},
        ),
        (
            {"trouble": {"at": "ship", "kind": "once"}},
            "completed",
            {"reserve": 2, "charge": 3998, "ship": 1},
        ),
        (
            {"payment_method": "declined_card", "trouble": {"at": "release", "kind": "once"}},
            "compensated",
            {"reserve": 2, "release": 2},
        ),
        (
            {"payment_method": "declined_card", "trouble": {"at": "release", "kind": "refuse"}},
            "failed",
            {"reserve": 2},
        ),
    ],
)
def test_order_that_fails_is_taken_back_as_far_as_it_went(
    tmp_path: Path, more: dict[str, Any], status: str, booked: dict[str, int]
) -> None:
    """By data: out of stock, a declined card, a failure that stays or passes, a compensation that must be tried again."""
    shop = Shop(tmp_path)
    shop.place(order(1, **more))
    shop.work()
    shop.close()

    assert [one.status for one in shop.world.outcomes] == [status]
    assert shop.books.of("o-1") == booked


@pytest.mark.parametrize(("kind", "tries"), [("refuse", 1), ("fail", 2)])
def test_order_that_is_refused_for_good_is_not_tried_again(
    tmp_path: Path, kind: str, tries: int
) -> None:
    """A step's retry is for what may pass; a refusal that stays is taken back at once."""
    shop = Shop(tmp_path)
    shop.place(order(1, trouble={"at": "ship", "kind": kind}))
    tasks = []
    while new := shop.new_tasks():
        tasks += new
        for task in new:
            shop.world.send(shop.handle(task))
    shop.close()

    assert [task.data["action"] for task in tasks].count("ship") == tries


def test_thousand_orders_with_thirty_percent_failures_add_up(tmp_path: Path) -> None:
    """Tasks come twice, answers come late or twice, three in ten orders fail: stock and money are right to the unit."""
    dice = random.Random(7)
    shop, placed = Shop(tmp_path), {}
    for number in range(1000):
        data = order(number, quantity=dice.randint(1, 3), amount=dice.randint(100, 9999))
        if number % 10 < 3:
            data |= dice.choice(
                [
                    {"payment_method": "declined_card"},
                    {"product_id": "unicorn"},
                    {"trouble": {"at": "ship", "kind": "fail"}},
                    {"trouble": {"at": "charge", "kind": "refuse"}},
                    {
                        "payment_method": "declined_card",
                        "trouble": {"at": "release", "kind": "once"},
                    },
                ]
            )
        placed[data["order_id"]] = data
        shop.place(data)
    _work_off_badly(shop, dice)
    shop.close()
    outcomes = {one.conversation_id: one.status for one in shop.world.outcomes}

    assert len(shop.world.outcomes) == len(outcomes) == 1000
    sold = [placed[name] for name, status in outcomes.items() if status == "completed"]
    assert 600 < len(sold) <= 700
    assert shop.books.in_stock("teapot") == OPENING_STOCK["teapot"] - sum(
        o["quantity"] for o in sold
    )
    assert shop.books.takings_cents() == sum(one["amount"] for one in sold)
    for name, status in outcomes.items():
        booked = shop.books.of(name)
        if status == "completed":
            assert set(booked) == set(UNDONE_BY), (name, booked)
        else:
            assert all(booked.get(a, 0) == booked.get(b, 0) for a, b in UNDONE_BY.items()), name
    assert shop.world.results == {}


def _work_off_badly(shop: Shop, dice: random.Random) -> None:
    late: list[Envelope] = []
    waiting: list[Envelope] = []
    for _ in range(20_000):
        waiting += shop.new_tasks()
        if not waiting:
            if not any(shop.world.state_of(one).is_open for one in shop.world.blobs):
                break
            shop.world.pass_time(61)
            for answer in late:
                shop.world.send(answer)
            late.clear()
            continue
        task = waiting.pop(dice.randrange(len(waiting)))
        fate = dice.random()
        answer = shop.handle(task)
        if fate < 0.02:
            late.append(answer)  # it acted, and its answer comes after its deadline
            continue
        if fate < 0.04:
            answer = shop.handle(task)  # it comes again after a crash
        shop.world.send(answer)
        if fate > 0.98:
            shop.world.send(answer)
    reasons = Counter(one.reason for one in shop.world.dead_letters)
    assert set(reasons) <= {"late"}
