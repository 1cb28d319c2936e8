"""Sagas and plans while the TaskManager is killed at each of their steps, and while the job changes its parallelism."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from signalbox.definitions.fleet import Fleet
from signalbox.local_stack import api
from tests.faults.bureau import BUREAU, Requests
from tests.faults.figures import stall_seconds
from tests.faults.fleet import ORDERS_FLEET, fault_fleet, fault_fleet_and
from tests.faults.shop import Orders
from tests.faults.stand import Stand
from tests.faults.work import Work, slots_of

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(1200)]

PIECES = 40

Tell = Callable[..., None]


@dataclass(frozen=True)
class Kind:
    """A kind of work: who does it, what is sent, and slots of the watched piece, in the order in which they are decided."""

    name: str
    fleet: Fleet
    work: type[Work]
    steps: tuple[str, ...]


SAGA = Kind(
    "saga",
    ORDERS_FLEET,
    Orders,
    (
        "step:reserve",
        "step:charge",
        "step:ship",
        "step:ship:2",
        "compensate:charge",
        "compensate:reserve",
    ),
)
"""Two attempts at shipping, then everything back."""
PLAN = Kind(
    "plan",
    BUREAU,
    Requests,
    (
        "step:plan",
        "plan:plan:refused",
        "plan:plan",
        "step:plan_find2:2",
        "step:plan_both",
        "step:answer",
    ),
)
"""A plan is asked for, refused, accepted; a task is given out again, one that needs two others begins; all is put together."""
KINDS = (SAGA, PLAN)


@pytest.fixture
def crew(stand: Stand, kind: Kind) -> Iterator[Stand]:
    """The stand with the agents of a kind of work beside its own; they are taken out again afterwards."""
    stand.apply(fault_fleet_and(kind.fleet))

    def is_there() -> bool:
        found = api.status(stand.settings)
        running = {agent.name for agent in found.agents if agent.state == "running"}
        return set(kind.fleet.agents) <= running

    stand.until(is_there, f"the agents of {kind.fleet.name} do not run", 300)
    yield stand
    stand.apply(fault_fleet())


@pytest.mark.parametrize(
    ("kind", "step"),
    [pytest.param(kind, step, id=f"{kind.name}-{step}") for kind in KINDS for step in kind.steps],
)
def test_taskmanager_killed_at_a_step(
    crew: Stand, kind: Kind, seed: int, step: str, tell: Tell
) -> None:
    """`kill -9` within a second of the moment at which the watched piece's step is seen, forty pieces in all their steps."""
    run = crew.name_run(f"{kind.name}.{step.replace(':', '-')}", seed)
    work = kind.work(run, seed, PIECES)
    sender = crew.send(work.outgoing(), per_second=10)

    def is_at_step() -> bool:
        return step in slots_of(crew.history.read_if_possible(), work.watched)

    crew.until(is_at_step, f"{work.watched} never came to {step}", 120)
    time.sleep(random.Random(f"{step}-{seed}").uniform(0, 1))  # places the fault, waits for nothing
    killed = crew.signal("taskmanager")
    report = crew.settle(sender)

    statuses = work.judge(crew.history.records, crew.settings.home / "outbox")
    stall = stall_seconds(crew.history.records, run, killed)
    tell(report, seed=seed, ended=dict(statuses), stall_s=stall)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_from_parallelism_one_to_two_and_back(
    crew: Stand, kind: Kind, seed: int, tell: Tell
) -> None:
    """From one subtask to two and back by savepoints, with pieces in every step: runs, results and deadlines come along."""
    run = crew.name_run(f"{kind.name}.rescale", seed)
    work = kind.work(run, seed, 2 * PIECES)
    sender = crew.send(work.outgoing(), per_second=10)
    for share, parallelism in ((0.2, 2), (0.6, 1)):
        sender.wait_until(share)
        crew.down()
        crew.up(parallelism=parallelism)
    report = crew.settle(sender)

    statuses = work.judge(crew.history.records, crew.settings.home / "outbox")
    tell(report, seed=seed, ended=dict(statuses))
