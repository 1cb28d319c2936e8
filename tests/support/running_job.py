"""The job `orchestrate` on a real broker and cluster, under a topic prefix of its own, with small agents and a stub model."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import kafka

from connectors.kafka import KafkaBroker
from connectors.registry import publish
from signalbox.contracts.envelope import Envelope
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.settings import Settings
from signalbox.topics import agent_tasks, full_name
from tests.support.fleets import agent

# The client has no types; naming it Any once keeps the calls readable.
_Producer: Any = kafka.KafkaProducer
_Consumer: Any = kafka.KafkaConsumer

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "flink_jobs" / "orchestrate.py"

# One agent that a contract decides, and two between which the model must.
AGENTS = (
    agent("alpha", ["a"]),
    agent("beta", ["b"], closed=False),
    agent("gamma", ["b"], closed=False),
)


class StubModel:
    """The stub chat model as a process of its own, as a context manager."""

    def __init__(self, *, median_seconds: float, sigma: float, seed: int = 1) -> None:
        self._argv = [
            sys.executable,
            str(ROOT / "benchmarks" / "stub_model.py"),
            *("--median-seconds", str(median_seconds), "--sigma", str(sigma), "--seed", str(seed)),
        ]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.base_url: str = json.loads(self._process.stdout.readline())["openai_base_url"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def settings(self, **more: Any) -> dict[str, Any]:
        """The model section of the settings that reach it."""
        return {"provider": "openai", "base_url": self.base_url, "name": "stub", **more}


class RunningJob:
    """One deployment of the job. The context manager cancels it; topics and state stay."""

    def __init__(
        self, broker: TemporaryBroker, cluster: TemporaryCluster, prefix: str, **settings: Any
    ) -> None:
        kafka_settings = {"topic_prefix": prefix, "group_prefix": prefix}
        self.settings: Settings = broker.settings(kafka=kafka_settings, **settings)
        self._prefix = prefix
        self._broker = broker
        self._cluster = cluster
        self._job_id: str | None = None
        broker.create_topics(*(one.name for one in AGENTS), prefix=prefix)
        self.producer = _Producer(bootstrap_servers=broker.bootstrap_servers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.producer.close()
        if self._job_id is not None:
            self._cluster.rest.cancel(self._job_id)

    def apply(self, *agents: AgentDefinition, policy: str = "contract_first") -> None:
        """Make `agents` the active set."""
        fleet = Fleet(
            FleetPolicy.model_validate({"name": "test", "policy": policy}),
            {one.name: one for one in agents},
        )
        self.apply_fleet(fleet)

    def apply_fleet(self, fleet: Fleet) -> None:
        """Make `fleet` the active set; the topics of its agents must be there."""
        broker = KafkaBroker(self._broker.bootstrap_servers)
        applied_at = datetime.now(UTC)
        publish(broker, ActiveSet.of([fleet]), topic_prefix=self._prefix, applied_at=applied_at)

    def start(self, *, restore_from: str | None = None) -> None:
        """Submit the job and wait until its tasks run."""
        self._job_id = self._cluster.run(SCRIPT, self.settings, restore_from=restore_from)

    def stop(self) -> str:
        """Stop the job with a savepoint and return its path."""
        assert self._job_id is not None
        job_id, self._job_id = self._job_id, None
        return self._cluster.stop_job(job_id)

    def send(self, *messages: Envelope | bytes | None, key: str | None = None) -> None:
        """Write messages, or raw values, to `agent_messages`."""
        for one in messages:
            value = one.to_json() if isinstance(one, Envelope) else one
            name = one.subject if isinstance(one, Envelope) else key
            self.producer.send(
                full_name(self._prefix, "agent_messages"),
                key=None if name is None else name.encode(),
                value=value,
            )
        self.producer.flush()

    def tasks(self, *agents: str) -> tuple[str, ...]:
        """Return the base names of the task topics of `agents`, of all without any."""
        return tuple(agent_tasks(name) for name in agents or [one.name for one in AGENTS])

    def wait_for(
        self,
        topics: Sequence[str],
        is_enough: Callable[[list[Any]], bool],
        *,
        timeout_seconds: float = 60.0,
    ) -> list[Any]:
        """Read committed records of `topics` from their beginning until `is_enough`, and return them.

        Raises:
            AssertionError: it never was; with how much was there, the last of it, and what the job failed with.
        """
        consumer = _Consumer(
            *(full_name(self._prefix, topic) for topic in topics),
            bootstrap_servers=self._broker.bootstrap_servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        found: list[Any] = []
        deadline = time.monotonic() + timeout_seconds
        try:
            while not is_enough(found):
                assert time.monotonic() < deadline, (
                    f"after {timeout_seconds} s: {len(found)} records; the job: {self._failure()}; "
                    f"the last: {_shown(found)}"
                )
                for batch in consumer.poll(200).values():
                    found += batch
        finally:
            consumer.close()
        return found

    def _failure(self) -> str:
        return (self._job_id and self._cluster.rest.failure(self._job_id)) or "no exception"

    def records(self, topics: Sequence[str], count: int, **options: Any) -> list[dict[str, Any]]:
        """Wait for `count` records and return their values, parsed."""
        found = self.wait_for(topics, lambda records: len(records) >= count, **options)
        return [json.loads(record.value) for record in found]


def _shown(records: Iterable[Any]) -> list[tuple[str, bytes]]:
    return [(record.topic, record.value[:200]) for record in records][-5:]
