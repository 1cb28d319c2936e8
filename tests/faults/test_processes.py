"""Processes of the stack are killed and frozen under load; the supervisor and Flink bring them back, the ledger judges."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.load import mixed
from tests.faults.stand import Stand, stall_seconds

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(600)]

MESSAGES = 400
Tell = Callable[..., None]


@pytest.mark.smoke
def test_f1_taskmanager_killed(stand: Stand, seed: int, tell: Tell) -> None:
    """F1: `kill -9` of the TaskManager at a random moment under load: nothing lost, nothing twice."""
    run = stand.name_run("f1", seed)
    before = stand.stub.stats()
    sender = stand.send(mixed(run, seed, MESSAGES))
    sender.wait_until(random.Random(seed).uniform(0.3, 0.7))
    in_flight = stand.stub.stats()["in_flight"]
    killed = stand.signal("taskmanager")
    report = stand.settle(sender)

    repeated = sum(count - 1 for count in stand.stub.calls().values())
    tell(
        report,
        seed=seed,
        recovery_s=stall_seconds(stand.history.records, run, killed),
        in_flight_at_kill=in_flight,
        calls=stand.stub.stats()["calls"] - before["calls"],
        repeated_calls_so_far=repeated,
    )
