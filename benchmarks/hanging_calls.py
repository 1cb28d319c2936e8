"""Memory and checkpoints while a model does not answer: calls in flight, calls waiting, and what both cost.

Below the bound of waiting calls nothing is held back; above it each further element waits before it is admitted, which is
where a checkpoint could come to wait for a model. It must not: the state holds what is in flight. Beside it PyFlink's
AsyncDataStream on the same stub: how many of the calls it begins, and how many checkpoints end while they hang.
"""

from __future__ import annotations

import time
from typing import Any, Final

import httpx

from benchmarks.figures import Result, quantile
from benchmarks.lab import AGENTS, Lab, ask_stub, model, stub_model, taker
from benchmarks.latency import reference

CALLS: Final = 5000
BOUND: Final = 1000
RATE: Final = 400.0
WATCH_SECONDS: Final = 60
HANGING_SECONDS: Final = 3600.0


def measure(lab: Lab) -> Result:
    """5,000 calls in flight; then few in flight and as many waiting; then more than may wait; then the reference."""
    result = Result("A model that does not answer")
    _memory(lab, result, "in flight", slots=CALLS * 2, aim=20.0)
    _memory(lab, result, "waiting", slots=10, aim=20.0)
    _checkpoints(lab, result, "below the bound", messages=BOUND // 2, aim=0.3)
    _checkpoints(lab, result, "above the bound", messages=BOUND * 40, aim=2.0)
    _reference(lab, result)
    return result


def _memory(lab: Lab, result: Result, label: str, *, slots: int, aim: float) -> None:
    name = f"memory-{label.replace(' ', '-')}"
    # Nothing freed by an earlier job is left to be used again, and the Java heap, which is bounded, is in memory already.
    lab.restart_taskmanager("-XX:+AlwaysPreTouch -Xms384m")
    with (
        stub_model(HANGING_SECONDS, 0) as url,
        lab.deployment(
            name,
            [taker(one, "b") for one in AGENTS],
            model=model(url, slots),
            routing={"max_waiting": CALLS * 2},
        ) as job,
    ):
        lab.feed(job.messages, 200, 100, name="warm").report()
        _settle(lab)
        before = lab.taskmanager_rss_bytes()
        lab.feed(job.messages, CALLS, RATE, name="hang").report()
        _settle(lab)
        grown = lab.taskmanager_rss_bytes() - before
    result.add(f"memory per call {label}, {CALLS} of them", grown / CALLS / 1000, "kB", aim)


def _checkpoints(lab: Lab, result: Result, label: str, *, messages: int, aim: float) -> None:
    name = f"checkpoints-{label.replace(' ', '-')}"
    with (
        stub_model(HANGING_SECONDS, 0) as url,
        lab.deployment(
            name,
            [taker(one, "b") for one in AGENTS],
            model=model(url, 64),
            routing={"max_waiting": BOUND},
        ) as job,
    ):
        feeder = lab.feed(job.messages, messages, RATE, name="hang")
        durations = _watch(lab, job.job)
        feeder.report()
    result.series[f"checkpoints {label}, s"] = durations
    result.add(f"checkpoints {label}: p99", quantile(durations, 0.99), "s", aim)
    result.add(f"checkpoints {label}: median", quantile(durations, 0.5), "s")
    result.add(f"checkpoints {label}: how many", len(durations), "")


def _reference(lab: Lab, result: Result) -> None:
    capacity = ["--capacity", str(CALLS * 2)]
    with (
        stub_model(HANGING_SECONDS, 0) as url,
        reference(lab, "async_datastream", url, more=capacity) as player,
    ):
        feeder = lab.feed(player.topic_in, BOUND // 2, RATE, name="hang")
        durations = _watch(lab, player.job)
        feeder.report()
        in_flight = ask_stub(url, "/stats")["in_flight"]
    label = f"AsyncDataStream, {BOUND // 2} messages"
    result.add(f"{label}: calls in flight", in_flight, "calls")
    result.add(f"{label}: checkpoints while they hang", len(durations), "")


def _watch(lab: Lab, job: str) -> list[float]:
    """How long each checkpoint of a minute took, in seconds. Flink lists the last ten, so it is asked often."""
    found: dict[int, float] = {}
    started_ms = time.time() * 1000
    url = f"{lab.cluster.rest_url}/jobs/{job}/checkpoints"
    for _ in range(WATCH_SECONDS // 5):
        time.sleep(5)
        history: list[dict[str, Any]] = httpx.get(url, trust_env=False).json()["history"]
        for one in history:
            if one["status"] == "COMPLETED" and one["trigger_timestamp"] >= started_ms:
                found[one["id"]] = one["end_to_end_duration"] / 1000
    return [found[number] for number in sorted(found)]


def _settle(lab: Lab) -> None:
    """Wait until the memory no longer grows: what was read has become calls."""
    last, now = 0, lab.taskmanager_rss_bytes()
    while now > last * 1.002:
        time.sleep(5)
        last, now = now, lab.taskmanager_rss_bytes()
