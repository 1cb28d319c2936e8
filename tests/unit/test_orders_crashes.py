"""An order survives a crash at any of its ticks: state goes back to the last checkpoint, what came since is read again.

The orchestrator as Flink runs it, without Flink: a log of messages with a position, checkpoints of state and position, and a
crash that goes back to the last one. At least once, what was written since is there and is written again; exactly once, it is
there from the next checkpoint on. The agents are the fleet's own handlers over real books, and do not go back.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.handlers import handler_from
from agents.orders.books import OPENING_STOCK, UNDONE_BY, Books
from agents.orders.trouble import BOOKS_FILE
from agents.result import Reply, Terminal
from agents.task import Task
from signalbox.contracts.envelope import TASK_FAILED, Envelope
from signalbox.contracts.outcome import Outcome
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_fleet
from signalbox.routing.rules import EnginePolicy, Rulebook, Rules
from signalbox.routing.simulation import Simulation
from tests.support.fleets import message, reply
from tests.support.tasks import context_of

FLEET = load_fleet(Path(__file__).parents[2] / "agent_definitions" / "orders")
RULES = Rulebook(Rules.compile(ActiveSet.of([FLEET]), EnginePolicy()))
FATES: dict[str, tuple[dict[str, Any], str]] = {
    "sold": ({}, "completed"),
    "no stock": ({"product_id": "unicorn"}, "failed"),
    "declined": ({"payment_method": "declined_card"}, "compensated"),
    "not shipped": ({"trouble": {"at": "ship", "kind": "refuse"}}, "compensated"),
    "refund stumbles": (
        {
            "payment_method": "declined_card",
            "trouble": {"at": "release", "kind": "once"},
        },
        "compensated",
    ),
}
DELIVERIES = ("at_least_once", "exactly_once")
EVERY = (1, 3, 1000)
"""Ticks between checkpoints: after each, now and then, and only while nothing else is to do."""


def order(name: str, **more: Any) -> Envelope:
    """What a customer sends."""
    data = {
        "order_id": name,
        "product_id": "teapot",
        "quantity": 2,
        "amount": 3998,
        "payment_method": "card",
        "shipping_address": "1 Example Street",
        **more,
    }
    return message(f"m-{name}", data, conversation=name, type="order.placed")


class Desk:
    """The handlers and their books, which several runs may use: each order has a name of its own."""

    def __init__(self, folder: Path) -> None:
        self.books = Books(folder / BOOKS_FILE)
        self._context = context_of(folder)
        self._handlers = {name: handler_from(one) for name, one in FLEET.agents.items()}
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        """End the loop that handlers run on."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def handle(self, task: Envelope) -> Envelope:
        """Handle a task; the answer's id follows from the task's, as a runner's does."""
        handler: Any = self._handlers[task.target or ""]
        result = self._loop.run_until_complete(handler(Task(task, 1), self._context))
        if isinstance(result, Terminal):
            return reply(
                task, {"detail": result.detail, "permanent": result.is_permanent}, kind=TASK_FAILED
            )
        assert isinstance(result, Reply)
        return reply(task, result.data, kind=FLEET.agents[task.target or ""].output.type)


class Crashing:
    """The orchestrator with its log, going back to a checkpoint after tick `crash_at`; 0 is never."""

    def __init__(
        self, desk: Desk, log: list[Envelope], *, crash_at: int, every: int, delivery: str
    ):
        self.world = Simulation(RULES)
        self.tasks: list[Envelope] = []
        self.outcomes: list[Outcome] = []
        self.ticks = 0
        self._desk = desk
        self._log = list(log)
        self._position = 0
        self._crash_at = crash_at
        self._every = every
        self._is_exact = delivery == "exactly_once"
        self._handled = 0
        self._checkpoint()

    def run(self, dice: random.Random | None = None) -> None:
        """Go on until nothing is left to do; with `dice` tasks come twice and messages and tasks take turns at random."""
        for _ in range(2000):
            may_read, may_handle = self._position < len(self._log), self._handled < len(self.tasks)
            if may_read and (not may_handle or dice is None or dice.random() < 0.5):
                self._position += 1
                self.world.send(self._log[self._position - 1])
                self._ticked()
            elif may_handle:
                self._handle(1 if dice is None else dice.choice((1, 1, 2)))
            elif self._uncommitted():
                self._checkpoint()
            elif any(self.world.state_of(one).is_open for one in self.world.blobs):
                self.world.pass_time(1)
                self._ticked()
            else:
                return
        raise AssertionError("not all orders ended")

    def _handle(self, times: int) -> None:
        task = self.tasks[self._handled]
        self._handled += 1
        for _ in range(times):
            self._log.append(self._desk.handle(task))

    def _ticked(self) -> None:
        self.ticks += 1
        if not self._is_exact:
            self._write()
        if self.ticks == self._crash_at:
            self._crash()
        elif self.ticks % self._every == 0:
            self._checkpoint()

    def _uncommitted(self) -> bool:
        return self._is_exact and bool(self.world.dispatches or self.world.outcomes)

    def _write(self) -> None:
        self.tasks += [one.task for one in self.world.dispatches]
        self.outcomes += self.world.outcomes
        self.world.dispatches.clear()
        self.world.outcomes.clear()

    def _checkpoint(self) -> None:
        self._write()
        world = self.world
        self._kept = (
            self._position,
            dict(world.blobs),
            dict(world.pending),
            dict(world.results),
        )

    def _crash(self) -> None:
        """Lose all that is in memory, and what was not committed; the clock goes on."""
        position, blobs, pending, results = self._kept
        self._position = position
        self.world = Simulation(RULES, self.world.now_ms, dict(blobs), dict(pending), dict(results))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Handlers over new books."""
    made = Desk(tmp_path)
    yield made
    made.close()


def judge(run: Crashing, desk: Desk, name: str, status: str, delivery: str) -> None:
    """One outcome as it must be, every task one of its slot, and books in balance for this order."""
    told = [one for one in run.outcomes if one.conversation_id == name]
    assert {one.status for one in told} == {status}
    assert {one.episode for one in told} == {1}
    own = Counter(one.id for one in run.tasks if one.subject == name)
    if delivery == "exactly_once":
        assert len(told) == 1
        assert max(own.values()) == 1
    booked = desk.books.of(name)
    if status == "completed":
        assert set(booked) == set(UNDONE_BY)
    else:
        assert all(booked.get(a, 0) == booked.get(b, 0) for a, b in UNDONE_BY.items())
    assert run.world.results == {}
    assert run.world.pending == {}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("fate", FATES)
def test_order_survives_a_crash_at_every_tick(desk: Desk, fate: str, delivery: str) -> None:
    """Every tick of the order is once the last before a crash, with checkpoints at each tick, now and then, and hardly ever."""
    more, status = FATES[fate]
    sold = 0
    for every in EVERY:
        unharmed = Crashing(
            desk, [order(f"u-{every}", **more)], crash_at=0, every=every, delivery=delivery
        )
        unharmed.run()
        judge(unharmed, desk, f"u-{every}", status, delivery)
        slots = Counter(task.target for task in unharmed.tasks)
        sold += 2 * (status == "completed")
        for crash_at in range(1, unharmed.ticks + 1):
            name = f"o-{every}-{crash_at}"
            run = Crashing(
                desk, [order(name, **more)], crash_at=crash_at, every=every, delivery=delivery
            )
            run.run()
            judge(run, desk, name, status, delivery)
            once = {task.id: task.target for task in run.tasks}
            assert Counter(once.values()) == slots
            sold += 2 * (status == "completed")
    assert desk.books.in_stock("teapot") == OPENING_STOCK["teapot"] - sold


@pytest.mark.parametrize("seed", range(6))
def test_many_orders_and_a_crash_with_tasks_that_come_twice_add_up(desk: Desk, seed: int) -> None:
    """Orders of every fate side by side, each task may be handled twice and each answer read twice: to the unit."""
    dice = random.Random(seed)
    delivery = DELIVERIES[seed % 2]
    fates = {f"o-{number}": dice.choice(list(FATES.values())) for number in range(20)}
    log = [order(name, **more) for name, (more, _) in fates.items()]
    crash_at = dice.randint(5, 120)
    run = Crashing(desk, log, crash_at=crash_at, every=dice.choice((1, 7, 40)), delivery=delivery)
    run.run(dice)

    assert run.ticks > crash_at
    for name, (_, status) in fates.items():
        judge(run, desk, name, status, delivery)
    sold = sum(status == "completed" for _, status in fates.values())
    assert desk.books.in_stock("teapot") == OPENING_STOCK["teapot"] - 2 * sold
    assert desk.books.takings_cents() == 3998 * sold
