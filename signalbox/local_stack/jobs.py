"""The jobs of the stack: `orchestrate` (PyFlink) and `incoming_leads` (SQL only), and how each is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flink_jobs.sql_files import render
from signalbox.local_stack.flink_cluster import ClusterPlan, run_argv, sql_client_argv
from signalbox.local_stack.job import JobPlan
from signalbox.local_stack.layout import ORCHESTRATE, Layout
from signalbox.local_stack.process import ProcessSpec

ORCHESTRATE_JOB: Final = "orchestrate"
LEADS_JOB: Final = "incoming_leads"
LEADS_FILE: Final = "20_incoming_leads_to_agent_messages"


def job_plans(layout: Layout) -> tuple[JobPlan, ...]:
    """Return every job that `up` submits."""
    cluster = layout.cluster
    return (
        JobPlan(
            ORCHESTRATE_JOB,
            lambda origin: python_submission(cluster, ORCHESTRATE_JOB, ORCHESTRATE, origin),
            cluster.checkpoints,
        ),
        JobPlan(
            LEADS_JOB,
            lambda origin: sql_submission(
                cluster, LEADS_JOB, render(layout.settings, LEADS_FILE), origin
            ),
            cluster.checkpoints,
        ),
    )


def python_submission(
    cluster: ClusterPlan, name: str, script: Path, restore_from: str | None
) -> ProcessSpec:
    """Return the client that submits a PyFlink script."""
    return _client(cluster, name, run_argv(cluster, script, restore_from=restore_from))


def sql_submission(
    cluster: ClusterPlan, name: str, text: str, restore_from: str | None
) -> ProcessSpec:
    """Return the client that runs a SQL script; its statements are written beside the cluster's configuration."""
    restore = f"SET 'execution.state-recovery.path' = '{restore_from}';\n" if restore_from else ""
    script = cluster.folder / f"{name}.sql"
    script.write_text(restore + text, encoding="utf-8")
    return _client(cluster, name, sql_client_argv(cluster, "-f", str(script)))


def _client(cluster: ClusterPlan, name: str, argv: list[str]) -> ProcessSpec:
    return ProcessSpec(
        name=f"submission of {name}",
        argv=tuple(argv),
        log_path=cluster.logs / f"submit-{name}.log",
        environ=cluster.flink_environ(),
        stop_seconds=1.0,
    )
