"""What the orchestrator adds to a model's own time at 20 messages/s, beside what an engine's own ways add on the same stub.

The model answers in lognormal time, median 0.3 s and sigma 0.8. End to end is from the producer's `send` to the consumer's
`poll`. Ours: what the decision record says the model took is subtracted, message by message. The references write no such
record, so for all of them alike the mean of the model's own clock is subtracted from the mean end to end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import kafka

from benchmarks.feeder import messages
from benchmarks.figures import Result, quantile
from benchmarks.lab import AGENTS, ROOT, Lab, ask_stub, model, stub_model, taker
from signalbox.settings import FlinkSettings

# The client has no types; naming it Any once keeps the calls readable.
_Producer: Any = kafka.KafkaProducer
_Consumer: Any = kafka.KafkaConsumer

RATE: Final = 20.0
WARM_UP: Final = 200
MESSAGES: Final = 600
REFERENCE_MESSAGES: Final = 300
MEDIAN_SECONDS: Final = 0.3
SIGMA: Final = 0.8
REFERENCES: Final = ("pass_through", "plain_loop", "async_datastream", "ml_predict")


@dataclass
class Seen:
    """What happened to each conversation, by its id. Times in seconds since 1970."""

    sent: dict[str, float] = field(default_factory=dict)
    received: dict[str, float] = field(default_factory=dict)
    model_ms: dict[str, int] = field(default_factory=dict)

    def end_to_end_ms(self) -> list[float]:
        """End to end, in the order of sending."""
        return [(self.received[name] - sent) * 1000 for name, sent in self.sent.items()]

    def added_ms(self) -> list[float]:
        """End to end minus the model's time."""
        took = zip(self.end_to_end_ms(), self.sent, strict=True)
        return [whole - self.model_ms[name] for whole, name in took]


class Player:
    """Sends to one topic and watches others for the same keys."""

    def __init__(
        self,
        servers: str,
        topic_in: str,
        topics_out: Sequence[str],
        *,
        decisions: str | None = None,
        keys: str = "b",
    ) -> None:
        self._keys = keys
        self.job = ""
        """Of a reference that is a Flink job: its id."""
        self.topic_in = topic_in
        self.topics_out = topics_out
        self._decisions = decisions
        self._producer = _Producer(bootstrap_servers=servers, linger_ms=0)
        watched = [*topics_out, *([decisions] if decisions else [])]
        self._consumer = _Consumer(
            *watched,
            bootstrap_servers=servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )

    def play(self, name: str, count: int, rate: float) -> Seen:
        """Send `count` messages at `rate` a second and wait until each came out.

        Raises:
            TimeoutError: not all came.
        """
        seen = Seen()
        made = messages(name, count, self._keys)
        reader = threading.Thread(target=self._read, args=(seen, count, count / rate + 240))
        reader.start()
        started = time.time()
        for number, (key, value) in enumerate(made):
            time.sleep(max(0.0, started + number / rate - time.time()))
            seen.sent[key.decode()] = time.time()
            self._producer.send(self.topic_in, key=key, value=value)
        reader.join()
        if len(seen.received) < count:
            msg = f"{len(seen.received)} of {count} messages came out; see the job's log"
            raise TimeoutError(msg)
        return seen

    def close(self) -> None:
        """Close both clients."""
        self._producer.close()
        self._consumer.close()

    def _read(self, seen: Seen, count: int, seconds: float) -> None:
        deadline = time.time() + seconds
        wanted = count if self._decisions else 0
        while len(seen.received) < count or len(seen.model_ms) < wanted:
            if time.time() > deadline:
                return
            for partition, records in self._consumer.poll(20).items():
                now = time.time()
                for record in records:
                    self._take(seen, partition.topic, record, now)

    def _take(self, seen: Seen, topic: str, record: Any, now: float) -> None:
        name = record.key.decode()
        if name not in seen.sent:
            return
        if topic == self._decisions:
            seen.model_ms[name] = json.loads(record.value)["latency_ms"]
        else:
            seen.received.setdefault(name, now)


def measure(lab: Lab) -> Result:
    """Ours first, then each reference, one after the other on the same machine."""
    result = Result("Latency added to the model's own time, 20 messages/s")
    _ours(lab, result, "thread")
    _ours(lab, result, "process")
    for name in REFERENCES:
        _reference(lab, result, name)
    ours = next(f.value for f in result.figures if f.name == "signalbox: mean over the model's")
    for figure in list(result.figures):
        if figure.name.endswith("mean over the model's") and "signalbox" not in figure.name:
            name = figure.name.split(":")[0]
            result.add(f"{name} ÷ signalbox", figure.value / ours, "×")
    return result


def _ours(lab: Lab, result: Result, mode: str) -> None:
    label = "signalbox" if mode == "thread" else "signalbox (process mode)"
    flink = FlinkSettings.model_validate({"python_execution_mode": mode})
    agents = [taker(name, "b") for name in AGENTS]
    with (
        stub_model(MEDIAN_SECONDS, SIGMA) as url,
        lab.deployment(f"latency-{mode}", agents, model=model(url, 256), flink=flink) as job,
    ):
        servers = lab.broker.bootstrap_servers
        player = Player(servers, job.messages, job.task_topics, decisions=job.decisions)
        player.play("warm", WARM_UP, RATE)
        ask_stub(url, "/stats/reset", "POST")
        seen = player.play("run", MESSAGES, RATE)
        stats = ask_stub(url, "/stats")
        player.close()
    extra, whole = seen.added_ms(), seen.end_to_end_ms()
    aims = {0.5: 50.0, 0.99: 200.0} if mode == "thread" else {}
    for share in (0.5, 0.9, 0.99):
        name = f"{label}: added, p{share * 100:g}"
        result.add(name, quantile(extra, share), "ms", aims.get(share))
    _whole(result, label, whole, stats)


def _reference(lab: Lab, result: Result, name: str) -> None:
    with stub_model(MEDIAN_SECONDS, SIGMA) as url, reference(lab, name, url) as player:
        player.play(f"{name}-warm", 100, RATE)
        ask_stub(url, "/stats/reset", "POST")
        seen = player.play(f"{name}-run", REFERENCE_MESSAGES, RATE)
        stats = ask_stub(url, "/stats")
    _whole(result, name, seen.end_to_end_ms(), stats)


def _whole(result: Result, label: str, whole: list[float], stats: dict[str, Any]) -> None:
    mean_ms = sum(whole) / len(whole)
    result.add(f"{label}: end to end, p50", quantile(whole, 0.5), "ms")
    result.add(f"{label}: end to end, p99", quantile(whole, 0.99), "ms")
    over_ms = mean_ms - stats["latency_mean_seconds"] * 1000
    result.add(f"{label}: mean over the model's", over_ms, "ms")
    result.series[label] = [round(value, 1) for value in whole]


@contextmanager
def reference(
    lab: Lab, name: str, model_url: str, *, run: str = "", more: Sequence[str] = (), **settings: Any
) -> Iterator[Player]:
    """Run one reference between two topics of its own; gives what plays on them.

    Args:
        lab: where.
        name: which, of `benchmarks/references`.
        model_url: the stub's.
        run: tells several runs of one reference in one lab apart.
        more: further arguments of the reference.
        settings: delivery and checkpoints of a job, where they are not the defaults.
    """
    prefix = f"reference-{name.replace('_', '-')}{run}."
    lab.broker.create_topics(prefix=prefix)
    topic_in, topic_out = f"{prefix}incoming_leads", f"{prefix}agent_messages"
    servers = lab.broker.bootstrap_servers
    arguments = ["--bootstrap-servers", servers, "--topic-in", topic_in, "--topic-out", topic_out]
    arguments += ["--model-url", model_url, *more]
    script = ROOT / "benchmarks" / "references" / f"{name}.py"
    player = Player(servers, topic_in, [topic_out])
    if name == "plain_loop":
        with _process([sys.executable, str(script), *arguments, "--threads", "64"]):
            yield player
    else:
        own = lab.broker.settings(**settings) if settings else None
        player.job = lab.cluster.run(script, own, arguments=arguments)
        try:
            yield player
        finally:
            lab.cluster.rest.cancel(player.job)
    player.close()


@contextmanager
def _process(argv: Sequence[str]) -> Iterator[None]:
    process = subprocess.Popen(argv)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            # It ends between two polls, and one call of the last may still be out.
            process.kill()
            process.wait()
