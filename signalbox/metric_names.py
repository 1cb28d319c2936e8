"""Every metric, declared once: who has it, its kind, its labels, and what makes it move. docs/metrics.md is written from this.

Code names a metric by these literals alone, so that a misspelt name is a type error; dashboards and alerts are checked by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

JobMetric = Literal[
    "signalbox.messages",
    "signalbox.duplicates",
    "signalbox.decisions",
    "signalbox.dead_letters",
    "signalbox.subscription_tasks",
    "signalbox.subscription_refusals",
    "signalbox.filter_failures",
    "signalbox.pauses",
    "signalbox.events",
    "signalbox.events_unheard",
    "signalbox.tasks_unacknowledged",
    "signalbox.tasks_taken_back",
    "signalbox.stuck_steps",
    "signalbox.model_calls",
    "signalbox.model_failures",
    "signalbox.model_in_flight",
    "signalbox.model_waiting",
    "signalbox.model_breaker_open",
]
"""Of the job `orchestrate`, in Flink's metric group of the operator `route`."""

GatewayMetric = Literal[
    "signalbox_gateway_requests_total",
    "signalbox_gateway_request_duration_seconds",
    "signalbox_gateway_published_total",
    "signalbox_gateway_publish_failures_total",
    "signalbox_gateway_waiting",
    "signalbox_gateway_broker_up",
]
AgentMetric = Literal[
    "signalbox_agent_attempts_total",
    "signalbox_agent_tasks_total",
    "signalbox_agent_retries_total",
    "signalbox_agent_dead_letters_total",
    "signalbox_agent_handling_seconds",
    "signalbox_agent_in_flight",
    "signalbox_agent_waiting",
    "signalbox_agent_max_concurrent",
    "signalbox_agent_paused",
    "signalbox_agent_records_written_total",
    "signalbox_agent_commits_total",
    "signalbox_agent_commit_failures_total",
    "signalbox_agent_records_missed_total",
]
ReadModelMetric = Literal[
    "signalbox_readmodel_records_total",
    "signalbox_readmodel_behind_records",
    "signalbox_readmodel_broker_up",
    "signalbox_readmodel_hop_seconds",
    "signalbox_readmodel_open_tasks",
    "signalbox_readmodel_heartbeat_age_seconds",
    "signalbox_readmodel_open_dead_letters",
    "signalbox_readmodel_open_conversations",
]
ProcessMetric = Literal[
    "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"
]
FlinkMetric = Literal[
    "flink_jobmanager_numRunningJobs",
    "flink_jobmanager_numRegisteredTaskManagers",
    "flink_jobmanager_job_uptime",
    "flink_jobmanager_job_numRestarts",
    "flink_jobmanager_job_numberOfCompletedCheckpoints",
    "flink_jobmanager_job_numberOfFailedCheckpoints",
    "flink_jobmanager_job_lastCheckpointDuration",
    "flink_jobmanager_job_lastCheckpointSize",
    "flink_taskmanager_job_task_busyTimeMsPerSecond",
    "flink_taskmanager_job_task_backPressuredTimeMsPerSecond",
    "flink_taskmanager_job_task_operator_pendingRecords",
    "flink_taskmanager_Status_JVM_Memory_Heap_Used",
    "flink_taskmanager_Status_JVM_Memory_Heap_Max",
    "flink_taskmanager_Status_JVM_GarbageCollector_All_TimeMsPerSecond",
]
"""Flink's own, as its Prometheus reporter calls them: those that the dashboards and alerts use."""

PrometheusMetric = GatewayMetric | AgentMetric | ReadModelMetric
MetricName = JobMetric | PrometheusMetric | ProcessMetric | FlinkMetric

Owner = Literal["job", "gateway", "agent", "read model", "process", "flink"]
Kind = Literal["counter", "gauge", "histogram"]

METRIC_GROUP: Final = "signalbox"
REPORTER_PREFIX: Final = "flink_taskmanager_job_task_operator_"
"""What Flink's Prometheus reporter puts before the name of an operator's metric."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `cause` says what makes it move, `labels` what tells its series apart."""

    owner: Owner
    kind: Kind
    cause: str
    labels: tuple[str, ...] = ()


def exposed(name: MetricName) -> str:
    """Return the name under which Prometheus has a metric."""
    if METRICS[name].owner == "job":
        return REPORTER_PREFIX + name.replace(".", "_")
    return name


def _job(kind: Kind, cause: str) -> Metric:
    return Metric("job", kind, cause)


def _gateway(kind: Kind, cause: str, *labels: str) -> Metric:
    return Metric("gateway", kind, cause, labels)


def _agent(kind: Kind, cause: str, *labels: str) -> Metric:
    return Metric("agent", kind, cause, ("agent", "process", *labels))


def _read_model(kind: Kind, cause: str, *labels: str) -> Metric:
    return Metric("read model", kind, cause, labels)


def _process(kind: Kind, cause: str) -> Metric:
    return Metric("process", kind, cause)


def _flink(cause: str) -> Metric:
    # Its reporter knows no counters: what only grows is a gauge there too.
    return Metric("flink", "gauge", cause)


METRICS: Final[dict[MetricName, Metric]] = {
    "signalbox.messages": _job(
        "counter", "messages the operator took from `agent_messages`, admitted or not"
    ),
    "signalbox.duplicates": _job(
        "counter", "messages dropped because their id was seen before in the conversation"
    ),
    "signalbox.decisions": _job("counter", "decisions written, one per message and slot"),
    "signalbox.dead_letters": _job("counter", "dead letters written by the orchestrator"),
    "signalbox.subscription_tasks": _job(
        "counter", "tasks that agents got because they subscribe to a message"
    ),
    "signalbox.subscription_refusals": _job(
        "counter",
        "subscribers whose filters fit and that got no task: their contract refuses the data, or a budget is spent",
    ),
    "signalbox.filter_failures": _job(
        "counter",
        "filters that could not be answered, which is no match; the message's record in slot `subscription` says why",
    ),
    "signalbox.pauses": _job("counter", "events that paused or resumed an agent"),
    "signalbox.events": _job(
        "counter", "events the orchestrator published about runs of workflows and about agents"
    ),
    "signalbox.events_unheard": _job(
        "counter", "events that nobody subscribes to, and that left nothing behind"
    ),
    "signalbox.tasks_unacknowledged": _job(
        "counter", "tasks that nobody acknowledged in time, of agents that promise to"
    ),
    "signalbox.tasks_taken_back": _job(
        "counter",
        "tasks taken back from an agent that could not be reached, and decided again or failed",
    ),
    "signalbox.stuck_steps": _job(
        "counter",
        "steps of workflows past their deadline, or whose agent could not be reached: each a failed attempt",
    ),
    "signalbox.model_calls": _job(
        "counter", "model calls started; more than decisions by model means retries or repairs"
    ),
    "signalbox.model_failures": _job(
        "counter",
        "model calls that failed; together with an open breaker it says the model is down",
    ),
    "signalbox.model_in_flight": _job(
        "gauge", "model calls in flight; at the limit for long means the model is the bottleneck"
    ),
    "signalbox.model_waiting": _job(
        "gauge",
        "calls waiting for a slot, their time or the breaker; above the bound the operator slows its input",
    ),
    "signalbox.model_breaker_open": _job(
        "gauge",
        "0, or 1 a subtask: the model failed five times in a row; calls wait, one now and then tries whether it is back",
    ),
    "signalbox_gateway_requests_total": _gateway(
        "counter",
        "requests answered; `route` is the path's template, or `none` where it was refused at the door or no such path is there",
        "method",
        "route",
        "status",
    ),
    "signalbox_gateway_request_duration_seconds": _gateway(
        "histogram",
        "time from a request's head to the end of its answer, which for `/ask` is the conversation's",
        "route",
    ),
    "signalbox_gateway_published_total": _gateway(
        "counter", "records that the broker acknowledged"
    ),
    "signalbox_gateway_publish_failures_total": _gateway(
        "counter",
        "records without acknowledgement: the broker is away, answered late, or too many waited already",
    ),
    "signalbox_gateway_waiting": _gateway(
        "gauge", "records that wait for the broker's acknowledgement"
    ),
    "signalbox_gateway_broker_up": _gateway(
        "gauge", "1 while messages are taken, 0 while the broker is away"
    ),
    "signalbox_agent_attempts_total": _agent(
        "counter", "starts of the handler, first ones and further ones"
    ),
    "signalbox_agent_tasks_total": _agent(
        "counter",
        "tasks taken to an end: `answered`, `escalated` to a person, or `failed`, which is a dead letter",
        "outcome",
    ),
    "signalbox_agent_retries_total": _agent(
        "counter", "attempts that failed and are tried again after a while"
    ),
    "signalbox_agent_dead_letters_total": _agent(
        "counter",
        "dead letters written by the agent, of tasks and of records that are no tasks",
        "reason",
    ),
    "signalbox_agent_handling_seconds": _agent(
        "histogram",
        "time from the handler's start to its end, of each attempt",
    ),
    "signalbox_agent_in_flight": _agent("gauge", "handlers that run now"),
    "signalbox_agent_waiting": _agent(
        "gauge", "tasks taken from the topic that wait for a free hand or their next attempt"
    ),
    "signalbox_agent_max_concurrent": _agent(
        "gauge", "how many handlers may run at once, by the definition"
    ),
    "signalbox_agent_paused": _agent("gauge", "1 while an event makes the agent rest"),
    "signalbox_agent_records_written_total": _agent(
        "counter",
        "records the broker acknowledged, with the commit they belong to: answers, dead letters, acknowledgements",
    ),
    "signalbox_agent_commits_total": _agent("counter", "transactions committed"),
    "signalbox_agent_commit_failures_total": _agent(
        "counter",
        "transactions refused (`rebalanced`: another process has the partitions) or of unknown end (`broker`)",
        "cause",
    ),
    "signalbox_agent_records_missed_total": _agent(
        "counter", "heartbeats and statuses that could not be sent; they are not sent again"
    ),
    "signalbox_readmodel_records_total": _read_model(
        "counter", "records read from the topics since the process began"
    ),
    "signalbox_readmodel_behind_records": _read_model(
        "gauge", "offsets between where the read model is and the topics' ends; looked at every 5 s"
    ),
    "signalbox_readmodel_broker_up": _read_model(
        "gauge",
        "1 while the topics are followed, 0 while the broker is away or the tables cannot be written",
    ),
    "signalbox_readmodel_hop_seconds": _read_model(
        "histogram",
        "from a message's record to that of a task it led to, by the broker's clock: the hop that `signalbox trace` shows",
    ),
    "signalbox_readmodel_open_tasks": _read_model(
        "gauge", "tasks given to an agent and not answered", "agent"
    ),
    "signalbox_readmodel_heartbeat_age_seconds": _read_model(
        "gauge",
        "since the last heartbeat of any process of an active agent, or since the read model's process began where there was none",
        "agent",
    ),
    "signalbox_readmodel_open_dead_letters": _read_model(
        "gauge",
        "dead letters that nobody replayed or discarded, as far as the topic keeps them",
        "reason",
    ),
    "signalbox_readmodel_open_conversations": _read_model(
        "gauge", "conversations with a decision and without an outcome"
    ),
    "process_cpu_seconds_total": _process("counter", "CPU used by the process"),
    "process_resident_memory_bytes": _process("gauge", "memory of the process"),
    "process_start_time_seconds": _process("gauge", "when the process began; a jump is a restart"),
    "flink_jobmanager_numRunningJobs": _flink("jobs that run; two in the local stack"),
    "flink_jobmanager_numRegisteredTaskManagers": _flink("TaskManagers that are there"),
    "flink_jobmanager_job_uptime": _flink("ms since the job last began to run"),
    "flink_jobmanager_job_numRestarts": _flink(
        "restarts since the job was submitted: an exception, or a lost TaskManager"
    ),
    "flink_jobmanager_job_numberOfCompletedCheckpoints": _flink(
        "checkpoints that were taken to an end"
    ),
    "flink_jobmanager_job_numberOfFailedCheckpoints": _flink(
        "checkpoints that failed: storage, a timeout, a lost TaskManager"
    ),
    "flink_jobmanager_job_lastCheckpointDuration": _flink(
        "ms that the last checkpoint took; grows under backpressure"
    ),
    "flink_jobmanager_job_lastCheckpointSize": _flink(
        "bytes of the last checkpoint: open conversations, and ids seen"
    ),
    "flink_taskmanager_job_task_busyTimeMsPerSecond": _flink(
        "ms of each second that a task works; near 1000 it is the bottleneck"
    ),
    "flink_taskmanager_job_task_backPressuredTimeMsPerSecond": _flink(
        "ms of each second that a task waits for the one behind it"
    ),
    "flink_taskmanager_job_task_operator_pendingRecords": _flink(
        "records on the source's topic that are not read yet: its lag"
    ),
    "flink_taskmanager_Status_JVM_Memory_Heap_Used": _flink(
        "bytes of heap in use, garbage included"
    ),
    "flink_taskmanager_Status_JVM_Memory_Heap_Max": _flink("bytes of heap at most"),
    "flink_taskmanager_Status_JVM_GarbageCollector_All_TimeMsPerSecond": _flink(
        "ms of each second spent collecting garbage"
    ),
}
