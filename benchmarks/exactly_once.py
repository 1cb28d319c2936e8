"""What exactly-once costs a hop: the time from `send` to a task that a read_committed consumer sees, by checkpoint interval."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Result, quantile
from benchmarks.lab import AGENTS, Lab, taker
from benchmarks.latency import Player

RATE: Final = 20.0
MESSAGES: Final = 300
INTERVALS_MS: Final = (200, 500, 1000, 5000)


def measure(lab: Lab) -> Result:
    """At least once first; then exactly once at each interval. Contract decisions, no model."""
    result = Result("A contract hop, by delivery and checkpoint interval")
    base = _hop(lab, result, "at_least_once", 1000)
    for interval_ms in INTERVALS_MS:
        found = _hop(lab, result, "exactly_once", interval_ms)
        share = (found - base) / interval_ms
        result.add(f"exactly once, {interval_ms} ms: added ÷ interval", share, "")
    return result


def _hop(lab: Lab, result: Result, delivery: str, interval_ms: int) -> float:
    label = f"{delivery.replace('_', ' ')}, checkpoints every {interval_ms} ms"
    with lab.deployment(
        f"delivery-{delivery.replace('_', '-')}-{interval_ms}",
        [taker(name, name) for name in AGENTS],
        delivery=delivery,
        checkpoint_interval_ms=interval_ms,
    ) as job:
        player = Player(lab.broker.bootstrap_servers, job.messages, job.task_topics, keys="left")
        player.play("warm", 200, RATE)
        took = player.play("run", MESSAGES, RATE).end_to_end_ms()
        player.close()
    middle = quantile(took, 0.5)
    result.add(f"{label}: p50", middle, "ms")
    result.add(f"{label}: p99", quantile(took, 0.99), "ms")
    result.series[label] = [round(value, 1) for value in took]
    return middle
