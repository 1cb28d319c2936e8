"""Prometheus' alerts as data: when, for how long, how bad, and what to do first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from signalbox.dashboards.queries import gone, increase, level, quantile
from signalbox.metric_names import exposed

_PENDING: Final = exposed("flink_taskmanager_job_task_operator_pendingRecords")
_OPEN_TASKS: Final = exposed("signalbox_readmodel_open_tasks")
_BEHIND: Final = exposed("signalbox_readmodel_behind_records")
_FIVE_MINUTES: Final = increase("signalbox.messages", "[5m]")
_HOUR_BEFORE: Final = f"({_FIVE_MINUTES}[1h:1m] offset 5m)"
_USUAL: Final = f"avg_over_time{_HOUR_BEFORE}"
# As in sql/questions/unusual_minutes.sql: what comes independently varies by the root of its mean, and counts are whole.
_DEVIATION: Final = (
    f"clamp_min(clamp_min(stddev_over_time{_HOUR_BEFORE}, scalar(sqrt({_USUAL}))), 1)"
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `summary` says what is, `runbook` what to do first."""

    name: str
    expression: str
    lasting: str
    severity: Literal["page", "ticket"]
    summary: str
    runbook: str


ALERTS: Final = (
    Alert(
        "SourceLagGrows",
        f"sum by (job_name) ({_PENDING}) > 500 and sum by (job_name) (delta({_PENDING}[10m])) > 0",
        "5m",
        "page",
        "{{ $labels.job_name }} reads slower than is written: {{ $value }} records behind",
        "Look at Flink's dashboard: a busy task wants parallelism (SIGNALBOX_FLINK__PARALLELISM, by savepoint), a "
        "waiting model "
        "more room (ModelCallsWait); a job that does not run at all has JobRestarts or JobGone beside this.",
    ),
    Alert(
        "TasksPileUp",
        f"max by (agent) ({_OPEN_TASKS}) > 100 and max by (agent) (delta({_OPEN_TASKS}[10m])) > 0",
        "5m",
        "ticket",
        "{{ $labels.agent }} has {{ $value }} open tasks and gets more than it answers",
        "`signalbox agents`: raise max_concurrent where its hands are all in use, run another process where they "
        "are, else see "
        "what its handler waits for.",
    ),
    Alert(
        "DeadLetters",
        f"{increase('signalbox.dead_letters', '[5m]')} > 0 or "
        + f"{increase('signalbox_agent_tasks_total', '[5m]', where='outcome=' + chr(34) + 'failed' + chr(34))} > 0",
        "0m",
        "ticket",
        "{{ $value }} dead letters in five minutes",
        "`signalbox dlq list`; mend what they have in common, then `signalbox dlq replay --reason …`, or `dlq "
        "discard` what nobody will "
        "send again.",
    ),
    Alert(
        "DeadLettersLeftOpen",
        f"sum({level('max', 'signalbox_readmodel_open_dead_letters', 'reason')}) > 0",
        "24h",
        "ticket",
        "{{ $value }} dead letters were looked at by nobody for a day",
        "`signalbox dlq list`, then replay or discard each: an alert on new ones is worth nothing beside old ones.",
    ),
    Alert(
        "ModelBreakerOpen",
        f"{level('max', 'signalbox.model_breaker_open')} > 0",
        "1m",
        "page",
        "the model failed five times in a row; decisions by model wait",
        "`signalbox doctor` asks the model once; mend its server, key or address. Nothing is lost: calls go on "
        "when it answers.",
    ),
    Alert(
        "ModelCallsWait",
        f"{level('sum', 'signalbox.model_waiting')} > 100",
        "5m",
        "ticket",
        "{{ $value }} model calls wait for a free slot",
        "Raise SIGNALBOX_MODEL__MAX_IN_FLIGHT if the model's server bears more, else give it more room; contracts "
        "decide without a model.",
    ),
    Alert(
        "HopsSlow",
        f"{quantile(0.95, 'signalbox_readmodel_hop_seconds', window='[5m]')} > 5",
        "10m",
        "ticket",
        "of twenty messages one waits longer than {{ $value }} s for its task",
        "`signalbox trace` of a recent conversation says where: a long decision is the model, a long way before "
        "it the lag of the job.",
    ),
    Alert(
        "UnusualTraffic",
        f"abs({_FIVE_MINUTES} - {_USUAL}) / {_DEVIATION} > 3 and count_over_time{_HOUR_BEFORE} >= 10",
        "5m",
        "ticket",
        "messages in five minutes are {{ $value }} deviations away from their last hour: far more, far fewer or none",
        "`signalbox sql ask unusual_minutes` says which type, path, reason or status, with a conversation each; far fewer "
        "or none mostly means that a source or sender is away.",
    ),
    Alert(
        "CheckpointsFail",
        f"sum by (job_name) (increase({exposed('flink_jobmanager_job_numberOfFailedCheckpoints')}[10m])) > 2",
        "0m",
        "page",
        "checkpoints of {{ $labels.job_name }} fail: {{ $value }} in ten minutes",
        "Flink's page, Checkpoints, History names the cause: storage that is full or away, or a timeout under "
        "backpressure.",
    ),
    Alert(
        "CheckpointsStand",
        f"sum by (job_name) (increase({exposed('flink_jobmanager_job_numberOfCompletedCheckpoints')}[10m])) == 0",
        "5m",
        "page",
        "{{ $labels.job_name }} has taken no checkpoint for ten minutes; a crash now goes back that far",
        "Flink's page: is the job running, and which task does not acknowledge? With exactly_once nothing it "
        "writes is seen meanwhile.",
    ),
    Alert(
        "JobRestarts",
        f"sum by (job_name) (increase({exposed('flink_jobmanager_job_numRestarts')}[15m])) > 2",
        "0m",
        "page",
        "{{ $labels.job_name }} restarted {{ $value }} times in a quarter of an hour",
        "Flink's page, Exceptions, or logs/taskmanager.log: an exception that comes again is a defect, a lost "
        "TaskManager mostly memory.",
    ),
    Alert(
        "JobGone",
        # Of the operator that decides: another job may run on, and a JobManager that is gone tells of none.
        f"{level('min', 'flink_jobmanager_numRunningJobs', 'instance')} == 0 or {gone('signalbox.messages')}",
        "2m",
        "page",
        "the job `orchestrate` does not run: nothing is decided",
        "`signalbox status`, then `signalbox up`, which restores the newest state; in Kubernetes `kubectl "
        "describe flinkdeployment`.",
    ),
    Alert(
        "AgentSilent",
        # Without a broker nobody is heard: one alert on the broker, none on each agent.
        f"{level('min', 'signalbox_readmodel_heartbeat_age_seconds', 'agent')} > 15 "
        f"unless on () ({level('max', 'signalbox_readmodel_broker_up')} == 0)",
        "30s",
        "page",
        "{{ $labels.agent }} has sent no heartbeat for {{ $value }} s",
        "`signalbox status` and its log (logs/agent-….log): the process is gone, stuck, or cannot reach the "
        "broker. docs/task-life.md says "
        "what becomes of its tasks.",
    ),
    Alert(
        "ReadModelBehind",
        f"min({_BEHIND}) > 10000 or {level('max', 'signalbox_readmodel_broker_up')} == 0 or "
        + gone("signalbox_readmodel_broker_up"),
        "2m",
        "ticket",
        "the gateway shows the past: its read model is behind, or does not follow",
        "logs/readmodel.log says what it lacks, a broker or room on the disk; it catches up by itself, at some thousand records "
        "a second. `signalbox readmodel status` says how far it is.",
    ),
    Alert(
        "GatewayWithoutBroker",
        f"{level('max', 'signalbox_gateway_broker_up')} == 0 or {gone('signalbox_gateway_broker_up')}",
        "1m",
        "page",
        "the gateway refuses every message: the broker is away, or it is itself",
        "`signalbox status` says which, `signalbox doctor` what the broker lacks; senders get 503 and send again, "
        "nothing is kept for later.",
    ),
    Alert(
        "TargetDown",
        "up == 0",
        "2m",
        "ticket",
        "{{ $labels.job }} at {{ $labels.instance }} tells nothing",
        "`signalbox status`: the process ended, or its port is not the one that Prometheus knows.",
    ),
)


def rules() -> dict[str, Any]:
    """Return the rule file as data."""
    return {
        "groups": [
            {
                "name": "signalbox",
                "rules": [
                    {
                        "alert": one.name,
                        "expr": one.expression,
                        "for": one.lasting,
                        "labels": {"severity": one.severity},
                        "annotations": {"summary": one.summary, "runbook": one.runbook},
                    }
                    for one in ALERTS
                ],
            }
        ]
    }
