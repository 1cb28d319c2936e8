"""An agent process's numbers as metrics, made when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.core import Metric as Family

from agents.runner import Runner
from connectors.prometheus import Samples, family
from signalbox.measured import Buckets
from signalbox.metric_names import AgentMetric


def families(
    runner: Runner, agent: str, process: str, missed: Callable[[], int]
) -> Iterable[Family]:
    """Return the metrics of a process as they are now.

    Args:
        runner: its work.
        agent: its name.
        process: its instance.
        missed: how many heartbeats and statuses could not be sent.
    """
    done, written = runner.counters, runner.written
    ours: Final = (agent, process)

    def one(name: AgentMetric, value: float | Buckets) -> Family:
        return family(name, {ours: value})

    yield one("signalbox_agent_attempts_total", done.attempts)
    answered = done.handled - done.failed - done.escalated
    outcomes = {"answered": answered, "escalated": done.escalated, "failed": done.failed}
    yield family(
        "signalbox_agent_tasks_total", {(*ours, word): number for word, number in outcomes.items()}
    )
    yield one("signalbox_agent_retries_total", done.retries)
    dead: Samples = {(*ours, reason): n for reason, n in list(written.dead_letters.items())}
    yield family("signalbox_agent_dead_letters_total", dead)
    yield one("signalbox_agent_handling_seconds", done.handling)
    yield one("signalbox_agent_in_flight", done.active)
    yield one("signalbox_agent_waiting", runner.waiting)
    yield one("signalbox_agent_max_concurrent", runner.serving.definition.max_concurrent)
    yield one("signalbox_agent_paused", int(runner.is_resting))
    yield one("signalbox_agent_records_written_total", written.records)
    yield one("signalbox_agent_commits_total", written.commits)
    failures: Samples = {(*ours, cause): n for cause, n in list(written.failures.items())}
    yield family("signalbox_agent_commit_failures_total", failures)
    yield one("signalbox_agent_records_missed_total", missed())
