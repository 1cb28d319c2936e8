"""What runs: processes, jobs, agents, topics with lag. Read from `stack.json`, the JobManager and the broker."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import psutil

from connectors.broker import BrokerError
from connectors.heartbeats import recent_heartbeats
from connectors.kafka import KafkaBroker
from connectors.registry import read_registry
from connectors.topic_admin import answers
from connectors.topic_lag import TopicStatus, topic_statuses
from signalbox.local_stack import state_file
from signalbox.local_stack.agent_status import AgentStatus, agent_statuses
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.layout import home_of
from signalbox.local_stack.state_file import JobRecord, ProcessRecord, StackState
from signalbox.settings import Settings
from signalbox.topics import TOPICS, agent_tasks, full_name

_ANSWER_MS: Final = 2000


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process; `rss_bytes` includes what it spawned (Python workers)."""

    name: str
    kind: str
    state: str
    pid: int
    restarts: int
    rss_bytes: int
    log: str


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One Flink job; `state` is Flink's word, `STARTING` until every task runs, `STOPPED` without a job.

    `stuck_steps`: steps of workflows that were past their deadline since the job started; None where it does not say.
    """

    name: str
    id: str | None
    state: str
    resubmissions: int
    restore_from: str | None
    stuck_steps: int | None = None


@dataclass(frozen=True, slots=True)
class StackStatus:
    """Everything `signalbox status` says; `as_json` is its `--json`."""

    phase: str
    home: str
    problem: str
    bootstrap_servers: str
    rest_url: str
    definitions: str | None
    processes: tuple[ProcessStatus, ...] = ()
    jobs: tuple[JobStatus, ...] = ()
    agents: tuple[AgentStatus, ...] = ()
    topics: tuple[TopicStatus, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def is_healthy(self) -> bool:
        """Whether messages can flow: everything runs, and so does every job."""
        return (
            self.phase == "running"
            and all(process.state in {"running", "draining"} for process in self.processes)
            and all(job.state == "RUNNING" for job in self.jobs)
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        silent = [agent.name for agent in self.agents if agent.is_silent]
        return {**asdict(self), "silent_agents": silent, "healthy": self.is_healthy}


def status(settings: Settings) -> StackStatus:
    """Return what runs now; parts that do not answer are empty and named in `notes`."""
    state = state_file.read(home_of(settings))
    notes: list[str] = []
    phase = state.phase
    if phase in {"starting", "running", "stopping"} and not state.supervisor_is_alive():
        phase = "failed"
        notes.append("the supervisor died; `signalbox down` cleans up, `signalbox up` starts again")
    runs = phase in {"starting", "running"}
    seen = None
    # Asked only where there should be one: a client that finds nobody takes seconds to say so.
    if (runs or settings.kafka.bootstrap_servers) and answers(
        settings.kafka.servers, timeout_ms=_ANSWER_MS, security=settings.kafka.security
    ):
        seen = _from_broker(settings, state, notes)
    elif runs:
        notes.append(f"no broker answers at {settings.kafka.servers}")
    return StackStatus(
        phase=phase,
        home=str(home_of(settings)),
        problem=state.problem,
        bootstrap_servers=settings.kafka.servers,
        rest_url=f"http://127.0.0.1:{settings.flink.rest_port}",
        definitions=seen.definitions if seen else None,
        processes=_processes(state),
        jobs=_jobs(state, notes if runs else []),
        agents=seen.agents if seen else (),
        topics=seen.topics if seen else (),
        notes=tuple(notes),
    )


def _processes(state: StackState) -> tuple[ProcessStatus, ...]:
    records = [*([state.supervisor] if state.supervisor else []), *state.processes.values()]
    return tuple(
        ProcessStatus(
            name=record.name,
            kind=record.kind,
            state=_state_of(record),
            pid=record.pid,
            restarts=record.restarts,
            rss_bytes=_rss_bytes(record.pid) if record.is_alive() else 0,
            log=record.log,
        )
        for record in records
    )


def _state_of(record: ProcessRecord) -> str:
    if record.state in {"starting", "running", "draining"} and not record.is_alive():
        return "dead"
    return record.state


def _rss_bytes(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        # The supervisor is everybody's parent; its children have lines of their own.
        family = [leader] if leader.pid != _group(leader.pid) else _group_of(leader)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def _group(pid: int) -> int:
    return os.getpgid(pid)


def _group_of(leader: psutil.Process) -> list[psutil.Process]:
    members = [leader]
    for child in leader.children(recursive=True):
        with contextlib.suppress(ProcessLookupError):
            if _group(child.pid) == leader.pid:
                members.append(child)
    return members


def _jobs(state: StackState, notes: list[str]) -> tuple[JobStatus, ...]:
    listed: dict[str, str] = {}
    stuck: dict[str, int | None] = {}
    if any(job.id for job in state.jobs.values()):
        rest = FlinkRest(state.rest_url)
        try:
            listed = {job.id: job.state for job in rest.jobs()}
            running = [job_id for job_id, state in listed.items() if state == "RUNNING"]
            stuck = {job_id: rest.counter(job_id, "signalbox.stuck_steps") for job_id in running}
        except OSError as error:
            notes.append(f"the JobManager does not answer: {error}")
        finally:
            rest.close()
    return tuple(_job(record, listed, stuck.get(record.id or "")) for record in state.jobs.values())


def _job(record: JobRecord, listed: dict[str, str], stuck_steps: int | None) -> JobStatus:
    found = listed.get(record.id or "", "STOPPED")
    if found == "RUNNING" and not record.is_running:
        found = "STARTING"
    return JobStatus(
        record.name, record.id, found, record.resubmissions, record.restore_from, stuck_steps
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    definitions: str | None
    agents: tuple[AgentStatus, ...]
    topics: tuple[TopicStatus, ...]


def _from_broker(settings: Settings, state: StackState, notes: list[str]) -> _Seen | None:
    prefix = settings.kafka.topic_prefix
    broker = KafkaBroker.of(settings.kafka)
    try:
        view = read_registry(broker, topic_prefix=prefix)
        beats = recent_heartbeats(broker, prefix, datetime.now(UTC))
        agents = agent_statuses(view.state, beats, _agent_processes(state))
        names = [*TOPICS, *(agent_tasks(agent.name) for agent in agents)]
        topics = topic_statuses(settings.kafka, [full_name(prefix, name) for name in names])
    except BrokerError as error:
        notes.append(str(error))
        return None
    return _Seen(view.active.digest if view.active else None, agents, topics)


def _agent_processes(state: StackState) -> dict[str, str]:
    return {
        name.removeprefix("agent "): _state_of(record)
        for name, record in state.processes.items()
        if record.kind == "agent"
    }
