"""Agents that rest by event, on a real broker and cluster: a halt stops the trader's process, a resumption sets it to work again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from signalbox.contracts.heartbeat import Heartbeat
from signalbox.definitions.loader import load_fleet
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.topics import AGENT_CONTROL, AGENT_HEARTBEATS, AGENT_MESSAGES, agent_tasks
from tests.support.fleets import message
from tests.support.running_job import ROOT, RunningJob

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

FLEET = load_fleet(Path(__file__).parents[2] / "agent_definitions" / "trading")
PREFIX = "trading."
TRADER = "trading_agent"
PATIENCE_SECONDS = 120.0


class Trader:
    """The trader's process, as the supervisor would start it."""

    def __init__(self, broker: TemporaryBroker, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SIGNALBOX_HOME": str(folder),
            "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "SIGNALBOX_KAFKA__TOPIC_PREFIX": PREFIX,
            "SIGNALBOX_KAFKA__GROUP_PREFIX": PREFIX,
        }

    @contextmanager
    def running(self, how: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        """A process of it; at the end it is ended by the signal `how`."""
        with (self._folder / "trader.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "agents", TRADER],
                env=self._environment,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            process.send_signal(how)
            process.wait(60)


def _tick(number: int) -> Any:
    data = {
        "symbol": "AAPL",
        "price": 190.5,
        "change_percent": -3.2,
        "volume": 900,
        "avg_volume": 1000,
        "note": "volatility",
    }
    name = f"tick-{number}"
    return message(
        f"m-{name}",
        data,
        conversation=name,
        type="market.data",
        priority=1,
        source="connector/market",
    )


def _alert(kind: str, name: str) -> Any:
    source = "connector/market"
    return message(f"m-{name}", {}, conversation=name, type=f"alert.{kind}", source=source)


def _proposals(job: RunningJob, count: int) -> Counter[str]:
    """Wait for so many proposals, and return how many each tick has."""

    def proposed(records: list[Any]) -> list[Any]:
        return [one for one in map(_json, records) if one["type"] == "trade.proposed"]

    found = job.wait_for(
        (AGENT_MESSAGES,),
        lambda records: len(proposed(records)) >= count,
        timeout_seconds=PATIENCE_SECONDS,
    )
    return Counter(one["subject"] for one in proposed(found))


def _json(record: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(record.value)
    return fields


def _beats(records: list[Any]) -> list[Heartbeat]:
    beats = [Heartbeat.from_json(one.value) for one in records]
    return [one for one in beats if one.agent == TRADER]


def _wait_until_paused(job: RunningJob, paused: bool, *, times: int = 1) -> None:
    """Wait until `times` further heartbeats of the trader say that it rests, or does not."""
    before = len(_beats(job.wait_for((AGENT_HEARTBEATS,), lambda records: bool(_beats(records)))))
    job.wait_for(
        (AGENT_HEARTBEATS,),
        lambda records: (
            len(after := _beats(records)[before:]) >= times
            and all(one.paused == paused for one in after[-times:])
        ),
        timeout_seconds=PATIENCE_SECONDS,
    )


def test_halt_rests_the_trader_and_resumption_sets_it_to_work(
    broker: TemporaryBroker, cluster: TemporaryCluster, tmp_path: Path
) -> None:
    """While it rests its tasks wait on the topic, also through its own death; resumed, each is done once."""
    broker.create_topics(*FLEET.agents, prefix=PREFIX)
    trader = Trader(broker, tmp_path)
    with RunningJob(
        broker, cluster, PREFIX, delivery="exactly_once", checkpoint_interval_ms=500
    ) as job:
        job.apply_fleet(FLEET)
        job.start()
        with trader.running(signal.SIGKILL):
            job.send(_tick(1))
            assert _proposals(job, 1) == {"tick-1": 1}

            job.send(_alert("market_halt", "halt-1"))
            _wait_until_paused(job, True)
            job.send(*(_tick(number) for number in range(2, 7)))
            topic = (agent_tasks(TRADER),)
            job.wait_for(topic, lambda found: len(found) >= 6, timeout_seconds=PATIENCE_SECONDS)
            # It had the tasks before it in two further beats, and left them.
            _wait_until_paused(job, True, times=2)
            assert _proposals(job, 1) == {"tick-1": 1}

        with trader.running():
            # The process that was killed took the pause with it; the new one reads it from the topic.
            _wait_until_paused(job, True, times=2)
            assert _proposals(job, 1) == {"tick-1": 1}

            job.send(_alert("market_resumed", "resumed-1"))
            _wait_until_paused(job, False)
            assert _proposals(job, 6) == {f"tick-{number}": 1 for number in range(1, 7)}
        pauses = job.records((AGENT_CONTROL,), 2)

    assert [(one["agent"], one["paused"]) for one in pauses] == [(TRADER, True), (TRADER, False)]
