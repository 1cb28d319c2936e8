"""Sagas while the TaskManager is killed at each of their steps, and while the job changes its parallelism; ledger and books judge."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest

from signalbox.local_stack import api
from tests.faults.figures import stall_seconds
from tests.faults.fleet import ORDERS_FLEET, fault_fleet, fault_fleet_and_orders
from tests.faults.shop import Orders, slots_of
from tests.faults.stand import Stand

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(1200)]

ORDERS = 40
BOOKS_FILE = "orders.sqlite"
STEPS = (
    "step:reserve",
    "step:charge",
    "step:ship",
    "step:ship:2",
    "compensate:charge",
    "compensate:reserve",
)
"""Slots of the watched order, in the order in which they are decided: two attempts at shipping, then everything back."""

Tell = Callable[..., None]


@pytest.fixture
def shop(stand: Stand) -> Iterator[Stand]:
    """The stand with the orders' agents beside its own; they are taken out again afterwards."""
    stand.apply(fault_fleet_and_orders())

    def is_open() -> bool:
        found = api.status(stand.settings)
        running = {agent.name for agent in found.agents if agent.state == "running"}
        return set(ORDERS_FLEET.agents) <= running

    stand.until(is_open, "the orders' agents do not run", 300)
    yield stand
    stand.apply(fault_fleet())


@pytest.mark.parametrize("step", STEPS)
def test_taskmanager_killed_at_a_step_of_a_saga(
    shop: Stand, seed: int, step: str, tell: Tell
) -> None:
    """`kill -9` within a second of the moment at which the watched order's step is seen, forty orders in all their steps."""
    run = shop.name_run(f"saga.{step.replace(':', '-')}", seed)
    orders = Orders(run, seed, ORDERS)
    sender = shop.send(orders.outgoing(), per_second=10)

    def is_at_step() -> bool:
        return step in slots_of(shop.history.read_if_possible(), orders.watched)

    shop.until(is_at_step, f"{orders.watched} never came to {step}", 120)
    time.sleep(random.Random(f"{step}-{seed}").uniform(0, 1))  # places the fault, waits for nothing
    killed = shop.signal("taskmanager")
    report = shop.settle(sender)

    statuses = orders.judge(shop.history.records, shop.settings.home / "outbox" / BOOKS_FILE)
    stall = stall_seconds(shop.history.records, run, killed)
    tell(report, seed=seed, orders=dict(statuses), stall_s=stall)


def test_sagas_from_parallelism_one_to_two_and_back(shop: Stand, seed: int, tell: Tell) -> None:
    """From one subtask to two and back by savepoints, with orders in every step: runs, results and deadlines come along."""
    run = shop.name_run("saga.rescale", seed)
    orders = Orders(run, seed, 2 * ORDERS)
    sender = shop.send(orders.outgoing(), per_second=10)
    for share, parallelism in ((0.2, 2), (0.6, 1)):
        sender.wait_until(share)
        shop.down()
        shop.up(parallelism=parallelism)
    report = shop.settle(sender)

    statuses = orders.judge(shop.history.records, shop.settings.home / "outbox" / BOOKS_FILE)
    tell(report, seed=seed, orders=dict(statuses))
