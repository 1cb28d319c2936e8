"""How long decisions stop after `kill -9` of the TaskManager under load, and how many model calls are made again.

Beside it, at the same rate: a job that only copies, which is the engine's own recovery, and PyFlink's AsyncDataStream.
"""

from __future__ import annotations

import time
from typing import Final

from benchmarks.figures import Result
from benchmarks.lab import AGENTS, Lab, ask_stub, model, stub_model, taker
from benchmarks.latency import reference

RATE: Final = 50.0
SECONDS: Final = 60
KILLS: Final = 3
INTERVAL_MS: Final = 1000
REFERENCES: Final = ("pass_through", "async_datastream")


def measure(lab: Lab) -> Result:
    """Kill it three times; each time wait for the first decision afterwards. Then once under each reference."""
    result = Result("kill -9 of the TaskManager at 50 messages/s")
    count = int(RATE * SECONDS * KILLS)
    with (
        stub_model(0.3, 0.8) as url,
        lab.deployment(
            "recovery",
            [taker(name, "b") for name in AGENTS],
            model=model(url, 256),
            checkpoint_interval_ms=INTERVAL_MS,
        ) as job,
    ):
        feeder = lab.feed(job.messages, count, RATE, name="run")
        gaps = []
        for _ in range(KILLS):
            time.sleep(SECONDS / 3)
            gaps.append(_gap_seconds(lab, job.decisions))
        feeder.report()
        # at_least_once: a decision may be written twice, so the count alone does not say that all are there.
        lab.wait_for_records(job.decisions, count)
        time.sleep(5)
        stats = ask_stub(url, "/stats")
    result.add("until decisions flow again, worst of three", max(gaps), "s", 15.0)
    result.add("until decisions flow again, best of three", min(gaps), "s")
    result.series["until decisions flow again, s"] = gaps
    again = (stats["calls"] - count) / KILLS
    allowed = RATE * stats["latency_mean_seconds"] + RATE * (INTERVAL_MS / 1000)
    result.add("model calls made again per kill", again, "calls", round(allowed, 1))
    for name in REFERENCES:
        _reference(lab, result, name)
    return result


def _reference(lab: Lab, result: Result, name: str) -> None:
    with stub_model(0.3, 0.8) as url, reference(lab, name, url) as player:
        feeder = lab.feed(player.topic_in, int(RATE * SECONDS), RATE, name=name)
        time.sleep(SECONDS / 3)
        gap = _gap_seconds(lab, player.topics_out[0])
        feeder.report()
    result.add(f"{name}: until records flow again", gap, "s")


def _gap_seconds(lab: Lab, topic: str) -> float:
    killed_at = time.time()
    lab.cluster.kill_taskmanager()
    before = lab.records_on(topic)
    lab.cluster.start_taskmanager()
    return lab.wait_for_records(topic, before + 1) - killed_at
