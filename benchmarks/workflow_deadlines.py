"""How late the deadlines of 10,000 open workflows fire in the real job: tasks that nobody answers, each given out a second time.

Every run has one step whose agent is silent, with `retries: 1`. The first task says when it is over; the record of the second one
says when that was decided. Runs are begun at a steady rate, so their deadlines pass at that rate; all were open at once before.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any, Final

import kafka

from benchmarks.figures import Result, quantile
from benchmarks.lab import Deployment, Lab, taker
from signalbox.definitions.fleet import Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.definitions.workflow import WorkflowDefinition

# The client has no types; naming it Any once keeps the calls readable.
_Consumer: Any = kafka.KafkaConsumer

WORKFLOWS: Final = 10_000
RATE: Final = 200.0
STEP_SECONDS: Final = 90.0
"""Longer than it takes to begin them all, so that all are open before the first is due."""
LATE_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 300.0
_SECOND: Final = "step:wait:2"


def measure(lab: Lab) -> Result:
    """Seconds between a task's deadline and the decision to give the step out again."""
    result = Result(
        "Deadlines of open workflows",
        notes=f"The real job, {WORKFLOWS:,} runs begun at {RATE:g}/s, all open at once, each with a task that nobody answers.",
    )
    with lab.deployed("deadlines", _fleet()) as deployment:
        feeder = lab.feed(deployment.messages, WORKFLOWS, RATE, name="deadlines", keys="b")
        feeder.report()
        late = list(_late_seconds(lab.broker.bootstrap_servers, deployment).values())
    result.add("late, p50", quantile(late, 0.5), "s")
    result.add("late, p99", quantile(late, 0.99), "s")
    result.add("late, worst", max(late), "s", LATE_SECONDS)
    result.series["late, s"] = late
    return result


def _fleet() -> Fleet:
    silent = taker("silent", "b")
    waiting = WorkflowDefinition.model_validate(
        {
            "name": "waiting",
            "description": "Waits for an agent that is silent.",
            "starts_on": ["bench.message"],
            "input": {"description": "Anything.", "schema": {"type": "object"}},
            "steps": [
                {
                    "id": "wait",
                    "agent": silent.name,
                    "timeout_seconds": STEP_SECONDS,
                    "retries": 1,
                    "compensate": "none",
                }
            ],
        }
    )
    return Fleet(FleetPolicy(name="bench"), {silent.name: silent}, {waiting.name: waiting})


def _late_seconds(servers: str, deployment: Deployment) -> dict[str, float]:
    """Conversation → seconds from its first task's deadline to the decision of its second one."""
    consumer = _Consumer(
        *deployment.task_topics,
        deployment.decisions,
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    over: dict[str, float] = {}
    given: dict[str, float] = {}
    patience = time.monotonic() + STEP_SECONDS + _PATIENCE_SECONDS
    try:
        while len(given) < WORKFLOWS:
            if time.monotonic() > patience:
                msg = f"only {len(given)} of {WORKFLOWS} steps were given out a second time"
                raise TimeoutError(msg)
            for batch in consumer.poll(200).values():
                for record in batch:
                    found = json.loads(record.value)
                    if record.topic == deployment.decisions:
                        if found["slot"] == _SECOND:
                            given[found["conversation_id"]] = _seconds(found["decided_at"])
                    else:
                        over.setdefault(found["subject"], _seconds(found["deadline"]))
    finally:
        consumer.close()
    return {name: given[name] - over[name] for name in given}


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
