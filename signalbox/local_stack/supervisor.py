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
from connectors.topic_admin import ensure_topics_of
from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import StackError
from signalbox.local_stack import broker, flink_cluster, ports, sql_gateway, state_file
from signalbox.local_stack.agent_group import AgentGroup
from signalbox.local_stack.checkpoints import holds_state, remember, remove_outdated
from signalbox.local_stack.child import Child
from signalbox.local_stack.fleets import apply_fleets
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.job import Job
from signalbox.local_stack.jobs import job_plans
from signalbox.local_stack.layout import Layout
from signalbox.local_stack.sources import source_children
from signalbox.local_stack.state_file import JobRecord, ProcessRecord, StackState

TURN_SECONDS: Final = 0.1
JOBS_EVERY_SECONDS: Final = 0.5
AGENTS_EVERY_SECONDS: Final = 0.5
TOPICS_EVERY_SECONDS: Final = 10.0
SAVEPOINT_SECONDS: Final = 8.0
SAVEPOINT_RETRY_SECONDS: Final = 0.3

Report = Callable[[str], None]
Part = Literal["cluster", "jobs", "agents", "sources"]
ALL_PARTS: Final[frozenset[Part]] = frozenset({"cluster", "jobs", "agents", "sources"})
"""Broker and Flink; topics, definitions and jobs; agents; ways in and out. Containers run one part each, `up` all."""


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
        self._agents = AgentGroup(layout, self._broker_client, self._say)
        self._core = self._core_children() if "cluster" in parts else []
        self._sources = source_children(layout) if "sources" in parts else []
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

    def _core_children(self) -> list[Child]:
        cluster = self._layout.cluster
        children = [
            Child("jobmanager", "jobmanager", lambda: flink_cluster.jobmanager_spec(cluster)),
            Child("taskmanager", "taskmanager", lambda: flink_cluster.taskmanager_spec(cluster)),
        ]
        if (plan := self._layout.broker) is not None:
            children.insert(0, Child("broker", "broker", lambda: broker.spec(plan)))
        return children

    def _start(self) -> None:
        sql_gateway.forget(self._layout.home)
        self._save()
        flink_cluster.prepare(self._layout.cluster)
        # The cluster first: formatting the broker's folder for the first time takes about as long as they do to load.
        for child in self._core[::-1]:
            if child.kind == "broker" and self._layout.broker is not None:
                broker.prepare(self._layout.broker)
            child.start()
        self._save()

    def _turn(self) -> None:
        if self._agents.has_ended():
            # An agent that was removed ends by itself: no crash, and nothing to start again.
            self._follow_registry()
        for child in self._children():
            self._say(child.step())
        if self._state.phase == "starting":
            self._refuse_broken_core()
        self._agents.finish_draining()
        if not self._is_provisioned and self._is_up("broker"):
            self._provision()
        if self._is_provisioned:
            self._start_sources()
            if "agents" in self._parts and self._is_due("agents", AGENTS_EVERY_SECONDS):
                self._follow_registry()
            if self._jobs and self._is_due("topics", TOPICS_EVERY_SECONDS):
                self._look_after_topics()
            if self._is_up("jobmanager") and self._is_due("jobs", JOBS_EVERY_SECONDS):
                self._look_after_jobs()
        self._tell_when_ready()
        self._follow_questions()
        self._save()

    def _follow_questions(self) -> None:
        """Start a SQL Gateway once somebody asked for one: most runs need none, and it costs 0.3 GB."""
        is_up = any(child.kind == "sql_gateway" for child in self._core)
        if is_up or self._state.phase != "running" or not sql_gateway.is_wanted(self._layout.home):
            return
        cluster, port = self._layout.cluster, ports.free_port()
        self._state.sql_gateway_url = sql_gateway.url_of(port)
        child = Child(
            sql_gateway.NAME, "sql_gateway", lambda: sql_gateway.gateway_spec(cluster, port)
        )
        child.start()
        self._core.append(child)

    def _refuse_broken_core(self) -> None:
        # Once the stack ran, a crash is worth a restart; a part that never ran has a cause that a restart keeps.
        for child in self._core:
            if child.restarts and child.process is not None:
                raise StackError(child.process.trouble("could not be started"))

    def _provision(self) -> None:
        settings = self._layout.settings
        made = ensure_topics_of(settings.kafka, self._definitions.agents)
        for warning in made.warnings:
            self._say(f"warning: {warning}")
        active = apply_fleets(self._broker_client, settings, self._definitions)
        self._say(
            f"{len(made.created)} topics created, {len(made.existing)} there already; "
            f"{len(active.agents)} agents active (definitions {active.digest})"
        )
        self._is_provisioned = True

    def _start_sources(self) -> None:
        # After the topics; once: what ends later is started again, or for good, by its own step.
        for child in self._sources:
            if child.process is None and child.state == "stopped":
                child.start()

    def _children(self) -> list[Child]:
        return [*self._core, *self._sources, *self._agents.children.values()]

    def _tell_when_ready(self) -> None:
        if self._state.phase != "starting" or not self._is_provisioned:
            return
        children = [*self._core, *self._agents.children.values()]  # messages flow without sources
        if "agents" in self._parts and not self._agents.children:
            return
        if any(child.state != "running" for child in children):
            return
        if all(job.state == "running" for job in self._jobs):
            self._state.phase = "running"
            self._say("messages can flow")

    # ── keeping it running ──────────────────────────────────────────────────────────────────────────────────────────

    def _follow_registry(self) -> None:
        try:
            self._agents.follow_registry()
        except StackError as error:
            # The broker went away in between; the next turn asks again.
            self._say(str(error))

    def _look_after_topics(self) -> None:
        """Make a topic again that somebody deleted: a sink without its topic stops the whole job, again and again."""
        agents = self._agents.children if "agents" in self._parts else self._definitions.agents
        try:
            made = ensure_topics_of(self._layout.settings.kafka, agents)
        except StackError:
            return  # the broker is away; its own child says so
        for topic in made.created:
            self._say(f"warning: topic {topic} was gone and is made again; what was on it is lost")

    def _look_after_jobs(self) -> None:
        for job in self._jobs:
            try:
                self._say(job.step(self._rest))
            except OSError:
                # The JobManager is going away; its own child will say so.
                return

    def _is_up(self, name: str) -> bool:
        found = [child for child in self._core if child.name == name]
        # A broker that is not ours is up until it is asked.
        return all(child.state == "running" for child in found)

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
        agents = [*self._sources, *self._agents.everyone()]
        for child in self._sources:
            child.ask_to_stop()
        self._agents.ask_to_stop()
        with ThreadPoolExecutor(max_workers=16) as pool:
            for sentence in pool.map(self._stop_job, self._jobs):
                self._say(sentence)
            list(pool.map(Child.stop, agents))
            list(pool.map(Child.stop, [c for c in self._core if c.kind != "broker"]))
            # Last: until here somebody may still want to commit something.
            list(pool.map(Child.stop, [c for c in self._core if c.kind == "broker"]))
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

    def _stop_job(self, job: Job) -> str | None:
        job.abandon_client()
        if job.record.id is None:
            return None
        try:
            savepoint = self._savepoint(job.record.id)
        except (OSError, StackError) as error:
            return (
                f"job {job.name} has no savepoint ({error}); "
                "the next `up` goes on from its newest checkpoint"
            )
        job.record.restore_from = savepoint
        remember(job.record, savepoint)
        job.record.id = None
        return f"job {job.name} stopped, its state is in {savepoint}"

    def _savepoint(self, job_id: str) -> str:
        deadline = time.monotonic() + SAVEPOINT_SECONDS
        while True:
            try:
                return self._rest.stop_with_savepoint(
                    job_id,
                    str(self._layout.cluster.savepoints),
                    timeout_seconds=max(1.0, deadline - time.monotonic()),
                )
            except StackError:
                # Tasks that are just starting refuse; they may be there in a moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(SAVEPOINT_RETRY_SECONDS)

    # ── telling ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _say(self, sentence: str | None) -> None:
        if sentence:
            self._state.say(f"{datetime.now(UTC):%H:%M:%S} {sentence}")
            self._report(sentence)

    def _save(self) -> None:
        everyone = [*self._core, *self._sources, *self._agents.everyone()]
        self._state.processes = {child.name: child.record() for child in everyone}
        for job in self._jobs:
            job.record.is_running = job.state == "running"
        self._state.jobs = {job.name: job.record for job in self._jobs}
        state_file.write(self._layout.home, self._state)
