"""The dashboard of the agents: what they do, how long it takes, what waits for them, who is silent."""

from __future__ import annotations

from signalbox.dashboards.panels import Panel, Query
from signalbox.dashboards.queries import level, quantile, rate


def panels() -> tuple[Panel, ...]:
    """Return the panels, in their order."""
    return (
        Panel(
            "Tasks taken to an end",
            (
                Query(
                    rate("signalbox_agent_tasks_total", "agent", "outcome"),
                    "{{agent}} {{outcome}}",
                ),
            ),
            "Answered, escalated to a person, failed (a dead letter).",
            unit="ops",
            width=12,
        ),
        Panel(
            "Handling (p95)",
            (Query(quantile(0.95, "signalbox_agent_handling_seconds", "agent"), "{{agent}}"),),
            "From the handler's start to its end, of each attempt.",
            unit="s",
            width=12,
        ),
        Panel(
            "Hands in use",
            (
                Query(
                    f"{level('sum', 'signalbox_agent_in_flight', 'agent')} / "
                    f"{level('sum', 'signalbox_agent_max_concurrent', 'agent')}",
                    "{{agent}}",
                ),
            ),
            "Near 1 for long: raise max_concurrent or run another process.",
            unit="percentunit",
        ),
        Panel(
            "Open tasks",
            (Query(level("max", "signalbox_readmodel_open_tasks", "agent"), "{{agent}}"),),
            "Given and not answered, wherever they wait.",
        ),
        Panel(
            "Waiting in the process",
            (Query(level("sum", "signalbox_agent_waiting", "agent"), "{{agent}}"),),
            "Taken from the topic; they wait for a hand or for their next attempt.",
        ),
        Panel(
            "Retries",
            (Query(rate("signalbox_agent_retries_total", "agent"), "{{agent}}"),),
            "Attempts that failed and come again.",
            unit="ops",
        ),
        Panel(
            "Since the last heartbeat",
            (
                Query(
                    level("min", "signalbox_readmodel_heartbeat_age_seconds", "agent"),
                    "{{agent}}",
                ),
            ),
            "One is sent every 2 s; past SIGNALBOX_ROUTING__SILENT_AFTER_SECONDS the agent has failed.",
            unit="s",
        ),
        Panel(
            "Paused",
            (Query(level("max", "signalbox_agent_paused", "agent"), "{{agent}}"),),
            "1: an event makes it rest (pause_on).",
        ),
        Panel(
            "Records written",
            (
                Query(rate("signalbox_agent_records_written_total", "agent"), "{{agent}}"),
                Query(rate("signalbox_agent_records_missed_total", "agent"), "{{agent}} missed"),
            ),
            "Acknowledged by the broker; missed ones are heartbeats and statuses.",
            unit="ops",
        ),
        Panel(
            "Commits",
            (
                Query(rate("signalbox_agent_commits_total", "agent"), "{{agent}}"),
                Query(
                    rate("signalbox_agent_commit_failures_total", "agent", "cause"),
                    "{{agent}} {{cause}}",
                ),
            ),
            "Transactions; `rebalanced` around a start or an end of a process is normal.",
            unit="ops",
        ),
        Panel(
            "Memory",
            (
                Query(
                    level("max", "process_resident_memory_bytes", "job", "agent"),
                    "{{job}} {{agent}}",
                ),
            ),
            "Of each Python process.",
            unit="bytes",
        ),
    )
