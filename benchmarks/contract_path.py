"""How many messages a second end in one contract decision, agents stopped; bare Kafka → Flink → Kafka beside it.

First at a steady 1,000/s for a minute, the feeder on the same two cores: what counts is whether decisions keep up. Then a
backlog, for the most the job can do. The reference copies the same records through Flink without looking at them.
"""

from __future__ import annotations

import time
from typing import Final

from benchmarks.figures import Result
from benchmarks.lab import AGENTS, Deployment, Lab, taker
from benchmarks.latency import reference

RATE: Final = 1000.0
SECONDS: Final = 60
WARM_UP: Final = 10_000
BACKLOG: Final = 60_000


def measure(lab: Lab) -> Result:
    """The steady minute, the backlog, the reference's backlog."""
    result = Result("Contract path, agents stopped")
    with lab.deployment("contracts", [taker(name, name) for name in AGENTS]) as job:
        lab.feed(job.messages, WARM_UP, 500, name="warm", keys="left").report()
        lab.wait_for_records(job.decisions, WARM_UP)
        _steady_minute(lab, job, result)
        before = lab.records_on(job.decisions)
        most = _backlog(lab, job.messages, job.decisions, before)
        tasks = sum(lab.records_on(topic) for topic in job.task_topics)
        result.add("signalbox: tasks per message", tasks / (before + BACKLOG), "", 1.0)
    with reference(lab, "pass_through", "") as player:
        player.play("warm", 200, 50)
        bare = _backlog(lab, player.topic_in, player.topics_out[0], 200)
    result.add("signalbox: a backlog", most, "/s")
    result.add("pass_through: a backlog", bare, "/s")
    result.add("signalbox ÷ pass_through", most / bare, "×")
    return result


def _steady_minute(lab: Lab, job: Deployment, result: Result) -> None:
    count = int(RATE * SECONDS)
    feeder = lab.feed(job.messages, count, RATE, name="steady", keys="left")
    behind = []
    for _ in range(SECONDS - 1):
        time.sleep(1)
        behind.append(float(lab.records_on(job.messages) - lab.records_on(job.decisions)))
    fed = feeder.report()
    seconds = lab.wait_for_records(job.decisions, WARM_UP + count) - fed["started_at"]
    result.add("signalbox: a steady minute", count / seconds, "/s", RATE * 0.98, at_least=True)
    result.add("feeder", fed["rate"], "/s")
    result.add("signalbox: behind when the feeder ended", seconds - fed["seconds"], "s")
    result.series["messages fed and not decided"] = behind


def _backlog(lab: Lab, topic_in: str, topic_out: str, before: int) -> float:
    """Messages a second while a backlog is worked off; its feeder's last part overlaps."""
    feeder = lab.feed(topic_in, BACKLOG, 50_000, name=f"backlog-{before}", keys="right")
    started_at = lab.wait_for_records(topic_out, before + 1)
    feeder.report()
    return BACKLOG / (lab.wait_for_records(topic_out, before + BACKLOG) - started_at)
