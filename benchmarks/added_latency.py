"""What the orchestrator adds to a model's own time, and whether it keeps the model busy; real Kafka, real Flink, a stub model.

    python benchmarks/added_latency.py [--messages 600] [--seconds 75] [--part added|busy]

1. `added`: 20 messages/s, model lognormal with median 0.3 s and sigma 0.8. End to end is from the producer's `send` to the
   consumer's `poll` of the task; what the decision record says the model took is subtracted.
2. `busy`: 50 messages/s, model with mean 1 s and sigma 1. Mean calls in flight, as the model counts them in the last part
   of the run, over rate × mean latency: 1 when no call is held back.

Prints a table and, as the last line, one JSON object. Both are ratios within one run on one machine: the model's own time is
measured in the same seconds, under the same load.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kafka

from connectors.kafka import KafkaBroker
from connectors.registry import publish
from signalbox.contracts.envelope import Envelope
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import AgentDefinition, FleetPolicy
from signalbox.local_stack.temporary import TemporaryBroker, TemporaryCluster
from signalbox.settings import Settings

# The client has no types; naming it Any once keeps the calls readable.
_Producer: Any = kafka.KafkaProducer
_Consumer: Any = kafka.KafkaConsumer

ROOT = Path(__file__).resolve().parents[1]
AGENTS = ("left", "right")
WARM_UP = 200
TARGETS = {"added_p50_ms": 50.0, "added_p99_ms": 200.0, "busy_ratio": 0.98}


@dataclass
class Seen:
    """What happened to each conversation, by its id. Times in seconds since 1970."""

    sent: dict[str, float] = field(default_factory=dict)
    received: dict[str, float] = field(default_factory=dict)
    model_ms: dict[str, int] = field(default_factory=dict)

    def is_complete(self) -> bool:
        """Whether every message sent has its task and its decision."""
        return len(self.received) == len(self.model_ms) == len(self.sent)

    def added_ms(self) -> list[float]:
        """End to end minus the model's time, sorted."""
        return sorted(
            (self.received[name] - sent) * 1000 - self.model_ms[name]
            for name, sent in self.sent.items()
        )

    def end_to_end_ms(self) -> list[float]:
        """End to end, sorted."""
        return sorted((self.received[name] - sent) * 1000 for name, sent in self.sent.items())


class Bench:
    """One deployment of the job, under one prefix, with one stub model."""

    def __init__(
        self, broker: TemporaryBroker, cluster: TemporaryCluster, prefix: str, model_url: str
    ) -> None:
        self._prefix = prefix
        self._servers = broker.bootstrap_servers
        broker.create_topics(*AGENTS, prefix=prefix)
        publish(
            KafkaBroker(self._servers),
            ActiveSet.of([_fleet()]),
            topic_prefix=prefix,
            applied_at=datetime.now(UTC),
        )
        self._producer = _Producer(bootstrap_servers=self._servers, linger_ms=0)
        self._consumer = _Consumer(
            *(f"{prefix}agent_tasks_{name}" for name in AGENTS),
            f"{prefix}agent_decisions",
            bootstrap_servers=self._servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        settings: Settings = broker.settings(
            kafka={"topic_prefix": prefix, "group_prefix": prefix},
            model={
                "provider": "openai",
                "base_url": model_url,
                "name": "stub",
                "max_in_flight": 256,
            },
        )
        self._job = cluster.run(ROOT / "flink_jobs" / "orchestrate.py", settings)
        self._cluster = cluster

    def play(self, name: str, count: int, rate: float) -> Seen:
        """Send `count` messages at `rate` a second and wait for all tasks."""
        seen = Seen()
        reader = threading.Thread(target=self._read, args=(seen, count, count / rate + 60))
        reader.start()
        started = time.time()
        for number in range(count):
            time.sleep(max(0.0, started + number / rate - time.time()))
            conversation = f"{name}-{number}"
            seen.sent[conversation] = time.time()
            self._producer.send(
                f"{self._prefix}agent_messages",
                key=conversation.encode(),
                value=_message(conversation, number),
            )
        reader.join()
        if not seen.is_complete():
            msg = f"{len(seen.received)} of {count} tasks came; see the job's log"
            raise SystemExit(msg)
        return seen

    def stop(self) -> None:
        """Cancel the job."""
        self._producer.close()
        self._consumer.close()
        self._cluster.rest.cancel(self._job)

    def _read(self, seen: Seen, count: int, seconds: float) -> None:
        deadline = time.time() + seconds
        while len(seen.received) < count or len(seen.model_ms) < count:
            if time.time() > deadline:
                return
            for partition, records in self._consumer.poll(20).items():
                now = time.time()
                for record in records:
                    conversation = record.key.decode()
                    if conversation not in seen.sent:
                        continue
                    if partition.topic.endswith("agent_decisions"):
                        seen.model_ms[conversation] = json.loads(record.value)["latency_ms"]
                    else:
                        seen.received[conversation] = now


def _fleet() -> Fleet:
    # Both accept everything, so every message needs the model.
    definitions = (
        AgentDefinition.model_validate(
            {
                "name": name,
                "description": f"Takes what belongs on the {name}.",
                "input": {"description": "Anything.", "schema": {"type": "object"}},
                "output": {
                    "type": f"{name}.done",
                    "description": "Nothing.",
                    "schema": {"type": "object"},
                },
                "handler": {"python": "benchmarks.none:none"},
            }
        )
        for name in AGENTS
    )
    return Fleet(FleetPolicy(name="bench"), {one.name: one for one in definitions})


def _message(conversation: str, number: int) -> bytes:
    return Envelope(
        id=f"m-{conversation}",
        source="cli",
        type="bench.message",
        time=datetime.now(UTC),
        subject=conversation,
        data={"number": number, "run": conversation},
    ).to_json()


@contextmanager
def stub_model(median_seconds: float, sigma: float) -> Iterator[str]:
    """The stub model in a process of its own; gives its base URL."""
    argv = [sys.executable, str(ROOT / "benchmarks" / "stub_model.py")]
    argv += ["--median-seconds", str(median_seconds), "--sigma", str(sigma)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["openai_base_url"]
    finally:
        process.terminate()
        process.wait(10)


def _ask(model_url: str, path: str, method: str = "GET") -> dict[str, Any]:
    request = urllib.request.Request(model_url.removesuffix("/v1") + path, method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        found: dict[str, Any] = json.loads(response.read())
    return found


def _quantile(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)


def added(broker: TemporaryBroker, cluster: TemporaryCluster, messages: int) -> dict[str, float]:
    """Part 1: what is added at 20/s."""
    with stub_model(0.3, 0.8) as url:
        bench = Bench(broker, cluster, "added.", url)
        bench.play("warm", WARM_UP, 20)
        _ask(url, "/stats/reset", "POST")
        seen = bench.play("added", messages, 20)
        stats = _ask(url, "/stats")
        bench.stop()
    extra, whole = seen.added_ms(), seen.end_to_end_ms()
    return {
        "added_p50_ms": _quantile(extra, 0.5),
        "added_p90_ms": _quantile(extra, 0.9),
        "added_p99_ms": _quantile(extra, 0.99),
        # The decision's own figure includes the HTTP client; against the model's own clock only the mean can be compared.
        "added_mean_by_the_models_clock_ms": round(
            sum(whole) / len(whole) - stats["latency_mean_seconds"] * 1000, 1
        ),
        "end_to_end_p50_ms": _quantile(whole, 0.5),
        "end_to_end_p99_ms": _quantile(whole, 0.99),
    }


def busy(broker: TemporaryBroker, cluster: TemporaryCluster, seconds: int) -> dict[str, float]:
    """Part 2: how busy the model is kept at 50/s."""
    rate, sigma = 50.0, 1.0
    with stub_model(math.exp(-sigma * sigma / 2), sigma) as url:
        bench = Bench(broker, cluster, "busy.", url)
        bench.play("warm", WARM_UP, 20)
        window: dict[str, Any] = {}
        player = threading.Thread(target=bench.play, args=("busy", int(rate * seconds), rate))
        player.start()
        time.sleep(15)  # the longest calls of the start are then in flight, too
        _ask(url, "/stats/reset", "POST")
        time.sleep(seconds - 16)
        window = _ask(url, "/stats")
        player.join()
        bench.stop()
    mean_in_flight = window["in_flight_seconds"] / window["elapsed_seconds"]
    expected = rate * window["latency_mean_seconds"]
    return {
        "busy_ratio": round(mean_in_flight / expected, 3),
        "mean_calls_in_flight": round(mean_in_flight, 1),
        "rate_times_mean_latency": round(expected, 1),
        "calls_per_second": round(window["calls"] / window["elapsed_seconds"], 2),
    }


def main() -> None:
    """Run both parts and print them."""
    parser = argparse.ArgumentParser(description="What the orchestrator adds to a model's time.")
    parser.add_argument("--messages", type=int, default=600, help="of part 1")
    parser.add_argument("--seconds", type=int, default=75, help="of part 2, at least 30")
    parser.add_argument("--part", choices=("added", "busy", "both"), default="both")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="signalbox-bench-")))
        broker = stack.enter_context(TemporaryBroker(folder / "broker"))
        cluster = stack.enter_context(TemporaryCluster(folder / "cluster"))
        found: dict[str, float] = {}
        if arguments.part != "busy":
            found |= added(broker, cluster, arguments.messages)
        if arguments.part != "added":
            found |= busy(broker, cluster, arguments.seconds)
    for name, value in found.items():
        target = TARGETS.get(name)
        wanted = f"   target {'≥' if name == 'busy_ratio' else '≤'} {target:g}" if target else ""
        sys.stdout.write(f"{name:36}{value:>10}{wanted}\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
