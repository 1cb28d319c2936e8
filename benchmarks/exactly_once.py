"""What exactly-once costs a hop: the time from `send` to a task that a read_committed consumer sees, by checkpoint interval.

Beside it bare Kafka → Flink → Kafka with the same delivery and interval: what the engine itself makes a reader wait.
"""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Result, quantile
from benchmarks.lab import AGENTS, Lab, taker
from benchmarks.latency import Player, reference

RATE: Final = 20.0
MESSAGES: Final = 300
INTERVALS_MS: Final = (200, 500, 1000, 5000)


def measure(lab: Lab) -> Result:
    """At least once first; then exactly once at each interval. Contract decisions, no model; each time the reference, too."""
    result = Result("A contract hop, by delivery and checkpoint interval")
    base = _hop(lab, result, "at_least_once", 1000)
    bare_base = _bare(lab, result, "at_least_once", 1000)
    for interval_ms in INTERVALS_MS:
        added = _hop(lab, result, "exactly_once", interval_ms) - base
        bare_added = _bare(lab, result, "exactly_once", interval_ms) - bare_base
        label = f"exactly once, {interval_ms} ms: added"
        result.add(f"{label} ÷ interval", added / interval_ms, "")
        result.add(f"{label} ÷ what pass_through adds", added / bare_added, "×")
    return result


def _hop(lab: Lab, result: Result, delivery: str, interval_ms: int) -> float:
    label = _label(delivery, interval_ms)
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
    return _keep(result, label, took)


def _bare(lab: Lab, result: Result, delivery: str, interval_ms: int) -> float:
    run = f"-{delivery.replace('_', '-')}-{interval_ms}"
    with reference(
        lab,
        "pass_through",
        "",
        run=run,
        delivery=delivery,
        checkpoint_interval_ms=interval_ms,
    ) as player:
        player.play("warm", 200, RATE)
        took = player.play("run", MESSAGES, RATE).end_to_end_ms()
    return _keep(result, f"pass_through, {_label(delivery, interval_ms)}", took)


def _label(delivery: str, interval_ms: int) -> str:
    return f"{delivery.replace('_', ' ')}, checkpoints every {interval_ms} ms"


def _keep(result: Result, label: str, took: list[float]) -> float:
    middle = quantile(took, 0.5)
    result.add(f"{label}: p50", middle, "ms")
    result.add(f"{label}: p99", quantile(took, 0.99), "ms")
    result.series[label] = [round(value, 1) for value in took]
    return middle
