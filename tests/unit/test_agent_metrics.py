"""An agent process's metrics: what its runner did, as Prometheus gets it."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

from agents.metrics import families
from agents.result import Escalate, HandlerResult, Reply, Retry, Terminal
from agents.runner import Runner
from agents.task import Context, Task
from connectors.prometheus import Exposition
from signalbox.metric_names import AgentMetric
from tests.support.agent_lab import AgentLab, until
from tests.unit.test_prometheus import samples

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def told(runner: Runner, missed: int = 0) -> dict[str, float]:
    """Every sample, without the two labels that all have."""
    text = Exposition(lambda: families(runner, "worker", "0", lambda: missed)).text().decode()
    return samples(text, without=("agent", "process"))


async def test_every_metric_of_the_list_is_told() -> None:
    """Also before anything happened, so that a rate begins at zero; reasons of dead letters come with the first of each."""
    lab = AgentLab()
    runner = lab.runner(reply)
    found = {one.name for one in families(runner, "worker", "0", lambda: 0)}

    listed = {name.removesuffix("_total") for name in get_args(AgentMetric)}
    assert found == listed


async def reply(task: Task, context: Context) -> HandlerResult:
    return Reply({"ok": True})


async def test_each_end_of_a_task_is_counted_as_what_it_was() -> None:
    """Answered, escalated, failed with its reason, tried again; a record that is no task is a dead letter and no task."""
    lab = AgentLab(max_attempts=2)
    ends: dict[int, HandlerResult] = {
        1: Reply({"ok": True}),
        2: Escalate("ask somebody"),
        3: Terminal("handler_failed", "broken"),
        4: Retry(None, "not yet"),
    }

    async def handler(task: Task, context: Context) -> HandlerResult:
        return ends[task.envelope.data["lead"]["number"]]

    for number in ends:
        lab.task(number)
    lab.raw(b"{oops")
    async with lab.running(handler) as runner:
        await until(lambda: len(lab.dead_letters()) == 2 and runner.counters.retries == 1)
        assert told(runner)["signalbox_agent_waiting{}"] == 1
        lab.clock.advance(2_000)
        await until(lambda: len(lab.dead_letters()) == 3)
        await until(lambda: runner.written.dead_letters.total() == 3)
        found = told(runner, missed=5)

    assert found["signalbox_agent_attempts_total{}"] == 5
    assert found["signalbox_agent_tasks_total{outcome=answered}"] == 1
    assert found["signalbox_agent_tasks_total{outcome=escalated}"] == 1
    assert found["signalbox_agent_tasks_total{outcome=failed}"] == 2
    assert found["signalbox_agent_retries_total{}"] == 1
    assert found["signalbox_agent_dead_letters_total{reason=handler_failed}"] == 2
    assert found["signalbox_agent_dead_letters_total{reason=malformed_json}"] == 1
    assert found["signalbox_agent_handling_seconds_count{}"] == 5
    assert found["signalbox_agent_in_flight{}"] == 0
    assert found["signalbox_agent_waiting{}"] == 0
    assert found["signalbox_agent_records_missed_total{}"] == 5
    # An answer, an escalation, and a failure with its dead letter twice; the dead letter of what was no task.
    assert found["signalbox_agent_records_written_total{}"] == 7
    assert found["signalbox_agent_commit_failures_total{cause=broker}"] == 0


async def test_a_handler_that_runs_is_in_flight_and_its_time_is_measured() -> None:
    """By the process's clock, into the bucket it belongs to."""
    lab = AgentLab()
    go_on = asyncio.Event()

    async def slow(task: Task, context: Context) -> HandlerResult:
        await go_on.wait()
        return Reply({"ok": True})

    lab.task(1)
    async with lab.running(slow) as runner:
        await until(lambda: runner.counters.active == 1)
        assert told(runner)["signalbox_agent_in_flight{}"] == 1
        lab.clock.advance(300)
        go_on.set()
        await until(lambda: runner.counters.handled == 1)
        found = told(runner)

    assert found["signalbox_agent_handling_seconds_bucket{le=0.25}"] == 0
    assert found["signalbox_agent_handling_seconds_bucket{le=0.5}"] == 1
    assert found["signalbox_agent_handling_seconds_sum{}"] == pytest.approx(0.3)
