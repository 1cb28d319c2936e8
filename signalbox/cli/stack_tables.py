"""`signalbox status` for a person: tables of processes, jobs, agents and topics."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from signalbox.local_stack.status import StackStatus

_COLOURS = {
    "running": "green",
    "RUNNING": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "draining": "yellow",
}


def print_status(status: StackStatus, console: Console | None = None) -> None:
    """Print everything; long where there is much."""
    out = console or Console()
    out.print(f"stack {_coloured(status.phase)} in {status.home}")
    out.print(f"Kafka {status.bootstrap_servers} · Flink {status.rest_url}")
    for line in (*([status.problem] if status.problem else []), *status.notes):
        out.print(f"! {line}", style="yellow")
    if status.processes:
        out.print(_processes(status))
    if status.jobs:
        out.print(_jobs(status))
    if status.agents:
        out.print(_agents(status))
    if status.topics:
        out.print(_topics(status))


def _processes(status: StackStatus) -> Table:
    table = _table("process", "state", "pid", "restarts", "MiB")
    for process in status.processes:
        table.add_row(
            process.name,
            _coloured(process.state),
            str(process.pid or ""),
            str(process.restarts or ""),
            str(process.rss_bytes // 1024**2 or ""),
        )
    total = sum(process.rss_bytes for process in status.processes)
    table.add_row("all", "", "", "", str(total // 1024**2), style="bold")
    return table


def _jobs(status: StackStatus) -> Table:
    table = _table("job", "state", "id", "resubmitted", "stuck steps")
    for job in status.jobs:
        table.add_row(
            job.name,
            _coloured(job.state),
            job.id or "",
            str(job.resubmissions or ""),
            str(job.stuck_steps or ""),
        )
    return table


def _agents(status: StackStatus) -> Table:
    table = _table("agent", "state", "fleet", "definition", "running")
    for agent in status.agents:
        running = ", ".join(agent.running) or ("[red]no heartbeat[/]" if agent.is_silent else "-")
        table.add_row(
            agent.name,
            _coloured(agent.state),
            agent.fleet,
            agent.digest if agent.is_active else f"removed ({agent.backlog})",
            running if agent.is_current else f"[yellow]{running}[/]",
        )
    return table


def _topics(status: StackStatus) -> Table:
    table = _table("topic", "partitions", "offsets", "behind")
    for topic in status.topics:
        behind = ", ".join(f"{group} {lag}" for group, lag in sorted(topic.lag.items()))
        table.add_row(topic.name, str(topic.partitions), str(topic.offsets), behind)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _coloured(state: str) -> str:
    return f"[{_COLOURS.get(state, 'red')}]{state}[/]"
