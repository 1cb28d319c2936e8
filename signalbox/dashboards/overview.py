"""The dashboard to begin with: messages, decisions, the model, dead letters, how long a hop takes, the gateway."""

from __future__ import annotations

from signalbox.dashboards.panels import Panel, Query
from signalbox.dashboards.queries import level, quantile, rate


def panels() -> tuple[Panel, ...]:
    """Return the panels, in their order."""
    return (
        Panel(
            "Messages and decisions",
            (
                Query(rate("signalbox.messages"), "messages"),
                Query(rate("signalbox.decisions"), "decisions"),
                Query(rate("signalbox.subscription_tasks"), "tasks of subscribers"),
                Query(rate("signalbox.duplicates"), "duplicates dropped"),
            ),
            "What the job took and what it decided, a second. Duplicates are dropped: a rise is a producer that sends again.",
            unit="ops",
            width=12,
        ),
        Panel(
            "Hop latency",
            (
                Query(quantile(0.5, "signalbox_readmodel_hop_seconds"), "p50"),
                Query(quantile(0.95, "signalbox_readmodel_hop_seconds"), "p95"),
            ),
            "From a message's record to its task's, as `signalbox trace` shows it: the queue, the decision, the model.",
            unit="s",
            width=12,
        ),
        Panel(
            "Open conversations",
            (Query(level("max", "signalbox_readmodel_open_conversations")),),
            "Decided at least once and without an outcome.",
            look="stat",
            width=4,
        ),
        Panel(
            "Open dead letters",
            (Query(f"sum({level('max', 'signalbox_readmodel_open_dead_letters', 'reason')})"),),
            "Nobody replayed or discarded them: `signalbox dlq list`.",
            look="stat",
            width=4,
        ),
        Panel(
            "Lag of the source",
            (
                Query(
                    level("sum", "flink_taskmanager_job_task_operator_pendingRecords", "job_name"),
                    "{{job_name}}",
                ),
            ),
            "Records on the topic that the job has not read.",
            width=8,
        ),
        Panel(
            "Dead letters",
            (
                Query(rate("signalbox.dead_letters"), "orchestrator"),
                Query(rate("signalbox_agent_dead_letters_total", "reason"), "agents: {{reason}}"),
            ),
            "Written a second; the reasons are in docs/errors.md.",
            unit="ops",
        ),
        Panel(
            "Model: in flight and waiting",
            (
                Query(level("sum", "signalbox.model_in_flight"), "in flight"),
                Query(level("sum", "signalbox.model_waiting"), "waiting"),
                Query(level("max", "signalbox.model_breaker_open"), "breaker open"),
            ),
            "In flight at SIGNALBOX_MODEL__MAX_IN_FLIGHT and some waiting: the model is the bottleneck.",
        ),
        Panel(
            "Model calls",
            (
                Query(rate("signalbox.model_calls"), "calls"),
                Query(rate("signalbox.model_failures"), "failures"),
            ),
            "More calls than decisions by model: retries and repairs.",
            unit="ops",
        ),
        Panel(
            "Workflows and silence",
            (
                Query(rate("signalbox.stuck_steps"), "stuck steps"),
                Query(rate("signalbox.tasks_taken_back"), "tasks taken back"),
                Query(rate("signalbox.tasks_unacknowledged"), "tasks not acknowledged"),
            ),
            "Each is an agent that did not do what was expected in time.",
            unit="ops",
        ),
        Panel(
            "Requests",
            (
                Query(
                    rate("signalbox_gateway_requests_total", "route", "status"),
                    "{{route}} {{status}}",
                ),
            ),
            "Of the gateway, by route and status.",
            unit="reqps",
        ),
        Panel(
            "Duration of requests (p95)",
            (
                Query(
                    quantile(0.95, "signalbox_gateway_request_duration_seconds", "route"),
                    "{{route}}",
                ),
            ),
            "Of /events and /leads it is mostly the broker's acknowledgement; of /ask the conversation.",
            unit="s",
        ),
        Panel(
            "Published by the gateway",
            (
                Query(rate("signalbox_gateway_published_total"), "published"),
                Query(rate("signalbox_gateway_publish_failures_total"), "failed"),
                Query(level("sum", "signalbox_gateway_waiting"), "waiting now"),
            ),
            "Failures: the broker is away or late.",
            unit="ops",
        ),
        Panel(
            "Read model behind",
            (
                Query(
                    level("max", "signalbox_readmodel_behind_records", "instance"), "{{instance}}"
                ),
            ),
            "Offsets; what the gateway shows is as old as that.",
        ),
    )
