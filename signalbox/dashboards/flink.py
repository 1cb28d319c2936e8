"""The dashboard of Flink: jobs, checkpoints, backpressure, lag, memory."""

from __future__ import annotations

from signalbox.dashboards.panels import Panel, Query
from signalbox.dashboards.queries import level


def panels() -> tuple[Panel, ...]:
    """Return the panels, in their order."""
    task = ("job_name", "task_name")
    return (
        Panel(
            "Running jobs",
            (Query(level("sum", "flink_jobmanager_numRunningJobs")),),
            "Two in the local stack: orchestrate and incoming_leads.",
            look="stat",
            width=6,
        ),
        Panel(
            "TaskManagers",
            (Query(level("sum", "flink_jobmanager_numRegisteredTaskManagers")),),
            "Registered at the JobManagers.",
            look="stat",
            width=6,
        ),
        Panel(
            "Restarts",
            (Query(level("max", "flink_jobmanager_job_numRestarts", "job_name"), "{{job_name}}"),),
            "Since each job was submitted.",
            look="stat",
            width=6,
        ),
        Panel(
            "Running without a break",
            (Query(level("max", "flink_jobmanager_job_uptime", "job_name"), "{{job_name}}"),),
            "Since the last start or restart.",
            unit="ms",
            look="stat",
            width=6,
        ),
        Panel(
            "Checkpoints",
            (
                Query(
                    level("max", "flink_jobmanager_job_numberOfCompletedCheckpoints", "job_name"),
                    "{{job_name}} completed",
                ),
                Query(
                    level("max", "flink_jobmanager_job_numberOfFailedCheckpoints", "job_name"),
                    "{{job_name}} failed",
                ),
            ),
            "Since each job was submitted. Failed ones: storage, or a timeout under backpressure.",
        ),
        Panel(
            "Duration of the last checkpoint",
            (
                Query(
                    level("max", "flink_jobmanager_job_lastCheckpointDuration", "job_name"),
                    "{{job_name}}",
                ),
            ),
            "With exactly_once what is written is seen only after it.",
            unit="ms",
        ),
        Panel(
            "Size of the last checkpoint",
            (
                Query(
                    level("max", "flink_jobmanager_job_lastCheckpointSize", "job_name"),
                    "{{job_name}}",
                ),
            ),
            "Open conversations and the ids seen in the last days.",
            unit="bytes",
        ),
        Panel(
            "Backpressure",
            (
                Query(
                    f"{level('max', 'flink_taskmanager_job_task_backPressuredTimeMsPerSecond', *task)} / 1000",
                    "{{task_name}}",
                ),
            ),
            "Part of the time that a task waits for the one behind it.",
            unit="percentunit",
        ),
        Panel(
            "Busy",
            (
                Query(
                    f"{level('max', 'flink_taskmanager_job_task_busyTimeMsPerSecond', *task)} / 1000",
                    "{{task_name}}",
                ),
            ),
            "Near 1: this task is the bottleneck.",
            unit="percentunit",
        ),
        Panel(
            "Lag of the sources",
            (
                Query(
                    level(
                        "sum",
                        "flink_taskmanager_job_task_operator_pendingRecords",
                        "job_name",
                        "operator_name",
                    ),
                    "{{operator_name}}",
                ),
            ),
            "Records not read yet.",
        ),
        Panel(
            "Heap of the TaskManagers",
            (
                Query(
                    level("max", "flink_taskmanager_Status_JVM_Memory_Heap_Used", "tm_id"),
                    "{{tm_id}}",
                ),
                Query(
                    level("max", "flink_taskmanager_Status_JVM_Memory_Heap_Max", "tm_id"),
                    "{{tm_id}} at most",
                ),
            ),
            "With the state backend `hashmap` all state is in it.",
            unit="bytes",
        ),
        Panel(
            "Collecting garbage",
            (
                Query(
                    f"{level('max', 'flink_taskmanager_Status_JVM_GarbageCollector_All_TimeMsPerSecond', 'tm_id')} / 1000",
                    "{{tm_id}}",
                ),
            ),
            "Part of the time.",
            unit="percentunit",
        ),
    )
