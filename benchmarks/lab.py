"""What every benchmark stands on: a real broker, a real cluster, the stub model, and one deployment of the job at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import kafka
import psutil

from connectors.kafka import KafkaBroker
from connectors.registry import publish
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.settings import Settings
from signalbox.topics import AGENT_DECISIONS, AGENT_MESSAGES, agent_tasks, full_name

# The client has no types; naming it Any once keeps the calls readable.
_Consumer: Any = kafka.KafkaConsumer

ROOT: Final = Path(__file__).resolve().parents[1]
AGENTS: Final = ("left", "right")
_PATIENCE_SECONDS: Final = 300.0


class Lab:
    """A broker and a cluster in a temporary folder, as a context manager."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="signalbox-bench-"))
            self.folder = Path(name)
            self.broker = stack.enter_context(TemporaryBroker(self.folder / "broker"))
            self.cluster = stack.enter_context(TemporaryCluster(self.folder / "cluster"))
            self._consumer = _Consumer(bootstrap_servers=self.broker.bootstrap_servers)
            stack.callback(self._consumer.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @contextmanager
    def deployment(
        self, name: str, agents: Sequence[AgentDefinition], **settings: Any
    ) -> Iterator[Deployment]:
        """The job with these agents under topics of its own; it is cancelled at the end."""
        fleet = Fleet(FleetPolicy(name="bench"), {one.name: one for one in agents})
        with self.deployed(name, fleet, **settings) as deployment:
            yield deployment

    @contextmanager
    def deployed(self, name: str, fleet: Fleet, **settings: Any) -> Iterator[Deployment]:
        """The job with this fleet under topics of its own; it is cancelled at the end."""
        prefix, names = f"{name}.", list(fleet.agents)
        self.broker.create_topics(*names, prefix=prefix)
        publish(
            KafkaBroker(self.broker.bootstrap_servers),
            ActiveSet.of([fleet]),
            topic_prefix=prefix,
            applied_at=datetime.now(UTC),
        )
        own: Settings = self.broker.settings(
            kafka={"topic_prefix": prefix, "group_prefix": prefix}, **settings
        )
        job = self.cluster.run(ROOT / "flink_jobs" / "orchestrate.py", own)
        try:
            yield Deployment(
                job=job,
                task_topics=[full_name(prefix, agent_tasks(name)) for name in names],
                messages=full_name(prefix, AGENT_MESSAGES),
                decisions=full_name(prefix, AGENT_DECISIONS),
            )
        finally:
            self.cluster.rest.cancel(job)

    def records_on(self, topic: str) -> int:
        """How many records were ever written to a topic. Transaction markers count too, so only for at_least_once."""
        numbers = self._consumer.partitions_for_topic(topic) or ()
        partitions = [kafka.TopicPartition(topic, number) for number in numbers]
        return sum(self._consumer.end_offsets(partitions).values())

    def wait_for_records(self, topic: str, count: int) -> float:
        """Return the moment (s since 1970) at which `count` records were on a topic."""
        return wait_until(lambda: self.records_on(topic) >= count, f"{count} records on {topic}")

    def feed(self, topic: str, count: int, rate: float, *, name: str, keys: str = "b") -> Feeder:
        """Start a feeder process; it writes `count` messages whose data has the properties `keys`."""
        argv = ["--servers", self.broker.bootstrap_servers, "--topic", topic, "--name", name]
        return Feeder([*argv, "--count", str(count), "--rate", str(rate), "--keys", keys])

    def restart_taskmanager(self, java_options: str) -> None:
        """Start another TaskManager in place of the one that runs; for measurements that one before would spoil."""
        self.cluster.kill_taskmanager()
        with environment(JAVA_TOOL_OPTIONS=java_options):
            self.cluster.start_taskmanager()

    def taskmanager_rss_bytes(self) -> int:
        """The resident memory of the TaskManager and of every process below it."""
        top = psutil.Process(self.cluster.taskmanager_pid)
        return sum(one.memory_info().rss for one in [top, *top.children(recursive=True)])


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True, slots=True)
class Deployment:
    """One running job: its id and its topics by their full names."""

    job: str
    task_topics: list[str]
    messages: str
    decisions: str


class Feeder:
    """A process of its own that writes messages at a rate, so that it shares no interpreter with who measures."""

    def __init__(self, arguments: Sequence[str]) -> None:
        argv = [sys.executable, str(ROOT / "benchmarks" / "feeder.py"), *arguments]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def report(self) -> dict[str, float]:
        """Wait for its end; `seconds` it took and `rate` it reached."""
        said, _ = self._process.communicate()
        if self._process.returncode:
            msg = f"the feeder ended with {self._process.returncode}; what it said stands above"
            raise RuntimeError(msg)
        found: dict[str, float] = json.loads(said)
        return found


def taker(name: str, required: str, **more: Any) -> AgentDefinition:
    """An agent that takes whatever has the property `required`; `more` replaces parts of its definition."""
    schema = {"type": "object", "required": [required]}
    return AgentDefinition.model_validate(
        {
            "name": name,
            "description": f"Takes what belongs on the {name}.",
            "input": {"description": "Anything.", "schema": schema},
            "output": {
                "type": f"{name}.done",
                "description": "Nothing.",
                "schema": {"type": "object"},
            },
            "handler": {"python": "benchmarks.none:none"},
            **more,
        }
    )


@contextmanager
def stub_model(median_seconds: float, sigma: float, mode: str = "ok") -> Iterator[str]:
    """The stub model in a process of its own; gives its base URL."""
    argv = [sys.executable, str(ROOT / "benchmarks" / "stub_model.py"), "--mode", mode]
    argv += ["--median-seconds", str(median_seconds), "--sigma", str(sigma)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["openai_base_url"]
    finally:
        process.terminate()
        process.wait(10)


def model(url: str, max_in_flight: int) -> dict[str, Any]:
    """The model's part of the settings for the stub at `url`."""
    return {
        "provider": "openai",
        "base_url": url,
        "name": "stub",
        "max_in_flight": max_in_flight,
        "timeout_seconds": 600,
    }


def ask_stub(model_url: str, path: str, method: str = "GET") -> dict[str, Any]:
    """Ask the stub for its statistics, or set them back."""
    request = urllib.request.Request(model_url.removesuffix("/v1") + path, method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        found: dict[str, Any] = json.loads(response.read())
    return found


def wait_until(is_true: Callable[[], bool], what: str) -> float:
    """Return the moment (s since 1970) at which `is_true`.

    Raises:
        TimeoutError: it did not become true in five minutes.
    """
    deadline = time.time() + _PATIENCE_SECONDS
    while not is_true():
        if time.time() > deadline:
            msg = f"{what} did not come within {_PATIENCE_SECONDS:g} s; see the TaskManager's log"
            raise TimeoutError(msg)
        time.sleep(0.05)
    return time.time()
