"""Messages a second through one agent process whose handler does nothing, in transactions; a bare loop beside it.

The runner validates both contracts, keeps the order of each key and commits answers and offsets in one transaction. The
reference consumes, copies and commits in transactions of the same client and does nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import kafka

from benchmarks.figures import Result
from benchmarks.lab import ROOT, Lab, taker, wait_until
from connectors.kafka import KafkaBroker
from connectors.registry import publish
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.specs import FleetPolicy
from signalbox.local_stack.environment import environment_of, inherited
from signalbox.topics import agent_tasks, full_name

# The client has no types; naming it Any once keeps the calls readable.
_Consumer: Any = kafka.KafkaConsumer

COUNT: Final = 40_000
PREFIX: Final = "runner."
AGENT: Final = "noop"


def measure(lab: Lab) -> Result:
    """The runner, then the bare loop, each over a backlog of its own."""
    result = Result("One agent process, a handler that does nothing")
    settings = lab.broker.settings(kafka={"topic_prefix": PREFIX, "group_prefix": PREFIX})
    handler = {"python": "examples.noop:noop"}
    agent = taker(AGENT, "b", handler=handler, limits={"max_concurrent": 100})
    lab.broker.create_topics(AGENT, prefix=PREFIX)
    publish(
        KafkaBroker(lab.broker.bootstrap_servers),
        ActiveSet.of([Fleet(FleetPolicy(name="bench"), {AGENT: agent})]),
        topic_prefix=PREFIX,
        applied_at=datetime.now(UTC),
    )
    tasks = full_name(PREFIX, agent_tasks(AGENT))
    lab.feed(tasks, COUNT, 50_000, name="runner").report()
    environ = {**inherited(), **environment_of(settings), "PYTHONPATH": _python_path()}
    with _process(["-m", "agents", AGENT], environ):
        ours = _rate(lab, tasks, f"{PREFIX}agent_{AGENT}")
    bare_in, bare_out = full_name(PREFIX, "incoming_leads"), full_name(PREFIX, "agent_review")
    lab.feed(bare_in, COUNT, 50_000, name="bare").report()
    script = str(ROOT / "benchmarks" / "references" / "bare_transactions.py")
    servers = lab.broker.bootstrap_servers
    arguments = ["--bootstrap-servers", servers, "--topic-in", bare_in, "--topic-out", bare_out]
    with _process([script, *arguments], {**inherited(), "PYTHONPATH": _python_path()}):
        bare = _rate(lab, bare_in, "reference_bare_transactions")
    result.add("signalbox: runner", ours, "/s", 2000.0, at_least=True)
    result.add("bare transactions", bare, "/s")
    result.add("signalbox ÷ bare transactions", ours / bare, "×")
    return result


def _rate(lab: Lab, topic: str, group: str) -> float:
    """Records a second from the first tenth to the end, by what the group has committed."""
    consumer = _Consumer(bootstrap_servers=lab.broker.bootstrap_servers, group_id=group)
    partitions = [kafka.TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]

    def committed() -> int:
        return sum(consumer.committed(partition) or 0 for partition in partitions)

    started_at = wait_until(lambda: committed() >= COUNT // 10, f"a tenth of {topic}")
    already = committed()
    ended_at = wait_until(lambda: committed() >= COUNT, f"the end of {topic}")
    consumer.close()
    return (COUNT - already) / (ended_at - started_at)


@contextmanager
def _process(arguments: Sequence[str], environ: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, *arguments], env=environ, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _python_path() -> str:
    return os.pathsep.join([str(ROOT), str(ROOT / "benchmarks" / "handlers")])
