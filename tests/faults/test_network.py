"""The network between agents and broker misbehaves: a proxy that the broker advertises delays, drops, half-opens, resets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import kafka
import pytest

from connectors.kafka import KafkaBroker
from connectors.registry import publish
from signalbox.local_stack.environment import environment_of, inherited
from signalbox.local_stack.temporary import TemporaryBroker
from tests.faults.fleet import fault_fleet
from tests.faults.history import History
from tests.faults.proxy import FaultProxy
from tests.faults.stand import HANDLERS, ROOT
from tests.faults.verdict import Report

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(600)]

_Producer: Any = kafka.KafkaProducer
TASKS = 300
PATIENCE_SECONDS = 240.0


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TemporaryBroker, FaultProxy]]:
    """A broker that sends its clients to a fault proxy, and that proxy."""
    broker = TemporaryBroker(tmp_path_factory.mktemp("lines"))
    with FaultProxy(broker.plan.port) as proxy:
        broker.plan = replace(broker.plan, advertised_port=proxy.port)
        with broker:
            yield broker, proxy


@pytest.mark.parametrize("fault", ["delay", "drop", "half_open", "reset"])
def test_link_to_the_broker_misbehaves(
    lines: tuple[TemporaryBroker, FaultProxy],
    tmp_path: Path,
    tell: Callable[..., None],
    fault: str,
) -> None:
    """An agent whose link to the broker fails for a while answers every task once, for a reader of committed records."""
    broker, proxy = lines
    prefix = f"{fault}."
    broker.create_topics("alpha", prefix=prefix)
    publish(
        KafkaBroker(broker.bootstrap_servers),
        fault_fleet(),
        topic_prefix=prefix,
        applied_at=datetime.now(UTC),
    )
    _send_tasks(broker, prefix)
    history = History(broker.bootstrap_servers, prefix)
    with _agent(broker, prefix, tmp_path) as agent:
        history.until(lambda found: _answers(found).total() > TASKS / 10, seconds=120, what="start")
        broken = time.monotonic()
        proxy.set(fault, delay_seconds=0.2)  # type: ignore[arg-type]
        try:
            time.sleep(15)  # the length of the fault: longer than a transaction may take
        finally:
            proxy.heal()
        healed = time.monotonic()
        while _answers(history.read_if_possible()).total() < TASKS:
            assert time.monotonic() < healed + PATIENCE_SECONDS, _tail(tmp_path)
            if agent.process.poll() is not None:
                agent.start()  # as the supervisor does
            time.sleep(0.5)
        done = time.monotonic()

    answers = _answers(history.read())
    effects = Counter(
        json.loads(path.read_bytes())["task"] for path in (tmp_path / "outbox").glob("*/*.json")
    )
    assert answers == Counter({f"task-{n}": 1 for n in range(TASKS)})
    assert effects == answers
    assert [one for one in history.records if one.topic == "agent_messages_dlq"] == []
    tell(
        Report(acked=TASKS, delivered=TASKS, effects=TASKS),
        fault_s=healed - broken,
        after_s=done - healed,
    )


class _agent:
    """One process of alpha."""

    def __init__(self, broker: TemporaryBroker, prefix: str, home: Path) -> None:
        self._home = home
        kafka_settings = {"topic_prefix": prefix, "group_prefix": prefix}
        settings = broker.settings(home=home, kafka=kafka_settings)
        self._environ = {
            **inherited(),
            **environment_of(settings),
            "PYTHONPATH": f"{HANDLERS}{os.pathsep}{ROOT}",
        }

    def start(self) -> None:
        with (self._home / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agents", "alpha"],
                env=self._environ,
                cwd=self._home,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def _send_tasks(broker: TemporaryBroker, prefix: str) -> None:
    producer = _Producer(bootstrap_servers=broker.bootstrap_servers, acks="all")
    for number in range(TASKS):
        task = {
            "specversion": "1.0",
            "id": f"task-{number}",
            "source": "orchestrator",
            "type": "task.assigned",
            "time": datetime.now(UTC).isoformat(),
            "subject": f"c-{number}",
            "data": {"a": 1, "n": str(number), "do": {"sleep": 0.2}},
        }
        producer.send(
            f"{prefix}agent_tasks_alpha", key=b"c-%d" % number, value=json.dumps(task).encode()
        )
    producer.flush()
    producer.close()


def _answers(records: list[Any]) -> Counter[str]:
    return Counter(
        record.fields["causationid"]
        for record in records
        if record.topic == "agent_messages" and record.fields
    )


def _tail(folder: Path) -> str:
    return (folder / "agent.log").read_text()[-3000:]
