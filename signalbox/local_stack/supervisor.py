"""The supervisor: starts the stack, keeps every process and job of it running, and takes it down with savepoints.

One loop, no threads while running: each turn looks once after every process, the registry and the jobs, and writes
`stack.json`. Nothing else starts, restarts or stops a process of the stack.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, Literal

from connectors.kafka import KafkaBroker
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import StackError
from signalbox.local_stack import sql_gateway, state_file
from signalbox.local_stack.agent_group import AgentGroup, AgentMeans
from signalbox.local_stack.checkpoints import holds_state, remove_outdated
from signalbox.local_stack.child import Child
from signalbox.local_stack.core_group import CoreGroup
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.gateway import gateway_children
from signalbox.local_stack.job import Job
from signalbox.local_stack.job_stop import stop_job
from signalbox.local_stack.jobs import job_plans
from signalbox.local_stack.layout import Layout
from signalbox.local_stack.provisioning import make_deleted_topics_again, provision
from signalbox.local_stack.registered_agents import RegisteredAgents
from signalbox.local_stack.sources import source_children
from signalbox.local_stack.state_file import JobRecord, ProcessRecord, StackState
from signalbox.local_stack.traces import trace_children

TURN_SECONDS: Final = 0.1
JOBS_EVERY_SECONDS: Final = 0.5
AGENTS_EVERY_SECONDS: Final = 0.5
TOPICS_EVERY_SECONDS: Final = 10.0

Report = Callable[[str], None]
Part = Literal["cluster", "jobs", "agents", "sources", "gateway"]
ALL_PARTS: Final[frozenset[Part]] = frozenset({"cluster", "jobs", "agents", "sources", "gateway"})
"""Broker and Flink; topics, definitions and jobs; agents; ways in and out; HTTP. Containers run one part each, `up` all."""


class Supervisor:
    """One running stack.

    Args:
        layout: what to start and where.
        definitions: what `up` puts onto the registry.
        report: told every event as a sentence, besides the state file.
        parts: what this supervisor is for.
    """

    def __init__(
        self,
        layout: Layout,
        definitions: ActiveSet,
        report: Report,
        parts: frozenset[Part] = ALL_PARTS,
    ) -> None:
        self._parts = parts
        self._layout = layout
        self._definitions = definitions
        self._report = report
        self._stopping = threading.Event()
        self._rest = FlinkRest(layout.cluster.rest_url)
        self._broker_client = KafkaBroker.of(layout.settings.kafka)
        registered = RegisteredAgents(self._broker_client, layout.settings)
        self._agents = AgentGroup(registered, AgentMeans.of(layout), self._say)
        self._core = CoreGroup(layout, is_ours="cluster" in parts)
        self._sources = source_children(layout) if "sources" in parts else []
        gateway = [*gateway_children(layout), *trace_children(layout)]
        self._gateway = gateway if "gateway" in parts else []
        # Topics and definitions belong to the jobs; agents alone wait for the registry.
        self._is_provisioned = "jobs" not in parts
        self._due: dict[str, float] = {}
        self._state = self._first_state()
        self._jobs = [
            Job(plan, self._state.jobs.setdefault(plan.name, JobRecord(name=plan.name)))
            for plan in (job_plans(layout) if "jobs" in parts else ())
        ]

    def request_stop(self) -> None:
        """Make `run` take the stack down and return. Safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Start everything and keep it running until `request_stop`; whatever happens, nothing is left behind.

        Raises:
            StackError: a part of the stack could not be started at all.
        """
        problem = ""
        try:
            self._start()
            while not self._stopping.is_set():
                self._turn()
                self._stopping.wait(TURN_SECONDS)
        except BaseException as error:
            problem = str(error) or type(error).__name__
            raise
        finally:
            self._shut_down(problem)

    # ── starting ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _first_state(self) -> StackState:
        former = state_file.read(self._layout.home)
        if "jobs" in self._parts and not former.jobs:
            self._refuse_orphaned_state()
        return StackState(
            phase="starting",
            supervisor=ProcessRecord(
                name="supervisor",
                kind="supervisor",
                pid=os.getpid(),
                created_at=state_file.record_process(os.getpid()),
                state="running",
            ),
            bootstrap_servers=self._layout.settings.kafka.servers,
            rest_url=self._layout.cluster.rest_url,
            jobs={
                name: job.model_copy(update={"resubmissions": 0})
                for name, job in former.jobs.items()
            },
        )

    def _refuse_orphaned_state(self) -> None:
        # stack.json says which state belongs to which job: without it a start would silently be an empty one.
        cluster = self._layout.cluster
        if holds_state(cluster.checkpoints, cluster.savepoints):
            msg = (
                f"{cluster.state_folder} holds the state of former jobs, and {self._layout.home / state_file.FILE_NAME}, "
                "which says whose it is, is gone. Put the file back, or start with nothing: `signalbox up --fresh`"
            )
            raise StackError(msg)

    def _start(self) -> None:
        sql_gateway.forget(self._layout.home)
        self._save()
        self._core.start()
        self._save()

    # ── keeping it running ──────────────────────────────────────────────────────────────────────────────────────────

    def _turn(self) -> None:
        for child in self._own_children():
            self._say(child.step())
        self._agents.step()
        if self._state.phase == "starting":
            self._core.refuse_broken()
        if not self._is_provisioned and self._core.is_up("broker"):
            provision(self._broker_client, self._layout.settings, self._definitions, self._say)
            self._is_provisioned = True
        if self._is_provisioned:
            self._look_after_the_rest()
        self._tell_when_ready()
        if self._state.phase == "running" and (url := self._core.start_gateway_if_wanted()):
            self._state.sql_gateway_url = url
        self._save()

    def _look_after_the_rest(self) -> None:
        for child in (*self._sources, *self._gateway):
            # After the topics; once: what ends later is started again, or for good, by its own step.
            if child.process is None and child.state == "stopped":
                child.start()
        if "agents" in self._parts and self._is_due("agents", AGENTS_EVERY_SECONDS):
            self._agents.follow_registry()
        if self._jobs and self._is_due("topics", TOPICS_EVERY_SECONDS):
            agents = self._agents.names if "agents" in self._parts else self._definitions.agents
            make_deleted_topics_again(self._layout.settings, agents, self._say)
        if self._core.is_up("jobmanager") and self._is_due("jobs", JOBS_EVERY_SECONDS):
            self._look_after_jobs()

    def _tell_when_ready(self) -> None:
        if self._state.phase != "starting" or not self._is_provisioned:
            return
        if "agents" in self._parts and not self._agents.are_up:
            return
        # Who waits for the stack may want to post at once.
        if any(child.state in {"starting", "restarting"} for child in self._gateway):
            return
        # Messages flow without sources.
        if self._core.are_up and all(job.state == "running" for job in self._jobs):
            self._state.phase = "running"
            self._say("messages can flow")

    def _look_after_jobs(self) -> None:
        for job in self._jobs:
            try:
                self._say(job.step(self._rest))
            except OSError:
                # The JobManager is going away; its own child will say so.
                return

    def _is_due(self, what: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_seconds
        return True

    # ── stopping ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _shut_down(self, problem: str) -> None:
        self._state.phase = "stopping"
        self._say("stopping")
        self._save()
        agents = [*self._sources, *self._gateway, *self._agents.everyone()]
        for child in (*self._sources, *self._gateway):
            child.ask_to_stop()
        self._agents.ask_to_stop()
        with ThreadPoolExecutor(max_workers=16) as pool:
            savepoints = self._layout.cluster.savepoints
            for sentence in pool.map(lambda job: stop_job(job, self._rest, savepoints), self._jobs):
                self._say(sentence)
            list(pool.map(Child.stop, agents))
            list(pool.map(Child.stop, [c for c in self._core.children if c.kind != "broker"]))
            # Last: until here somebody may still want to commit something.
            list(pool.map(Child.stop, [c for c in self._core.children if c.kind == "broker"]))
        self._rest.close()
        if all(job.record.id is None for job in self._jobs):
            cluster = self._layout.cluster
            remove_outdated(
                cluster.checkpoints, cluster.savepoints, [job.record for job in self._jobs]
            )
        self._state.phase = "failed" if problem else "stopped"
        self._state.problem = problem
        sql_gateway.forget(self._layout.home)
        self._state.sql_gateway_url = ""
        self._say("stopped")
        self._state.supervisor = None
        self._save()

    # ── telling ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _say(self, sentence: str | None) -> None:
        if sentence:
            self._state.say(f"{datetime.now(UTC):%H:%M:%S} {sentence}")
            self._report(sentence)

    def _own_children(self) -> tuple[Child, ...]:
        return (*self._core.children, *self._sources, *self._gateway)

    def _save(self) -> None:
        ours = (child.record() for child in self._own_children())
        self._state.processes = {record.name: record for record in (*ours, *self._agents.records())}
        for job in self._jobs:
            job.record.is_running = job.state == "running"
        self._state.jobs = {job.name: job.record for job in self._jobs}
        state_file.write(self._layout.home, self._state)
