"""A broker and a cluster for the length of a test or a benchmark: free ports, a folder of their own, nothing shared.

The same process code as the supervised stack, without supervision: whoever kills a process here means it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from connectors import jars
from connectors.topic_admin import TopicReport, ensure_topics
from signalbox.errors import StackError
from signalbox.local_stack import broker as broker_process
from signalbox.local_stack import flink_cluster, ports
from signalbox.local_stack.broker import BrokerPlan
from signalbox.local_stack.environment import environment_of, inherited
from signalbox.local_stack.flink_cluster import ClusterPlan
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.java import find_java
from signalbox.local_stack.layout import broker_class_path
from signalbox.local_stack.process import ManagedProcess
from signalbox.settings import Settings

_RUNNING_SECONDS: Final = 180.0
_CLIENT_SECONDS: Final = 240.0


class TemporaryBroker:
    """A real Kafka broker with every fixed topic, as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = BrokerPlan(
            folder=folder / "kafka",
            port=ports.free_port(),
            controller_port=ports.free_port(),
            java=find_java(),
            class_path=broker_class_path(),
            log_path=folder / "broker.log",
        )
        self._process: ManagedProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`."""
        return self.plan.bootstrap_servers

    @property
    def pid(self) -> int:
        """The broker's process.

        Raises:
            StackError: it does not run.
        """
        if self._process is None:
            msg = "the broker does not run"
            raise StackError(msg)
        return self._process.pid

    def settings(self, **overrides: Any) -> Settings:
        """Return settings that use this broker, with a home in its folder. `kafka={…}` is merged, not replaced."""
        kafka = {"bootstrap_servers": self.bootstrap_servers, **overrides.pop("kafka", {})}
        return Settings(**{"home": self.folder / "home", "kafka": kafka, **overrides})

    def create_topics(self, *agents: str, prefix: str = "") -> TopicReport:
        """Create the fixed topics with this prefix, and the task topics of `agents`."""
        return ensure_topics(self.bootstrap_servers, prefix=prefix, agents=agents)

    def kill(self) -> None:
        """Kill the broker with SIGKILL; `start` brings it back with its data."""
        if self._process is not None:
            os.kill(self._process.pid, 9)
            self._process.stop()
            self._process = None

    def start(self) -> None:
        """Start the broker and wait until it answers."""
        broker_process.prepare(self.plan)
        self._process = ManagedProcess.start(broker_process.spec(self.plan))
        self._process.wait_ready()

    def __enter__(self) -> Self:
        self.start()
        self.create_topics()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.stop()


class TemporaryCluster:
    """A real JobManager and TaskManager, as a context manager. Jobs are submitted by `run`."""

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.settings = settings or Settings(home=folder / "home")
        self.plan = ClusterPlan(
            folder=folder / "flink",
            logs=folder / "logs",
            settings=self.settings,
            rest_port=ports.free_port(),
            rpc_port=ports.free_port(),
            java=find_java(),
            extra_jars=jars.ensure("flink"),
            environ=environment_of(self.settings),
        )
        self.rest = FlinkRest(self.plan.rest_url)
        self._jobmanager: ManagedProcess | None = None
        self._taskmanager: ManagedProcess | None = None

    @property
    def rest_url(self) -> str:
        """The JobManager's REST address."""
        return self.plan.rest_url

    def environ(self, settings: Settings | None = None) -> dict[str, str]:
        """Return a whole environment for Flink's clients and scripts, `settings` in it."""
        return {
            **inherited(),
            **self.plan.flink_environ(),
            **environment_of(settings or self.settings),
        }

    def run(
        self,
        script: Path,
        settings: Settings | None = None,
        *,
        restore_from: str | None = None,
        arguments: Sequence[str] = (),
    ) -> str:
        """Submit a Python job with its arguments, wait until all its tasks run, and return its job id.

        Raises:
            StackError: the client failed, or the job did not run in time; with what was said.
        """
        before = {job.id for job in self.rest.jobs()}
        argv = flink_cluster.run_argv(
            self.plan, script, restore_from=restore_from, arguments=arguments
        )
        done = subprocess.run(
            argv,
            env=self.environ(settings),
            capture_output=True,
            text=True,
            timeout=_CLIENT_SECONDS,
            check=False,
        )
        new = [job for job in self.rest.jobs() if job.id not in before]
        if done.returncode != 0 or not new:
            msg = f"{script} was not submitted: {(done.stdout + done.stderr)[-4000:]}"
            raise StackError(msg)
        self.wait_running(new[0].id)
        return new[0].id

    def sql(self, script: Path, settings: Settings | None = None) -> str:
        """Run a file of statements through Flink's SQL client and return what it printed."""
        done = subprocess.run(
            flink_cluster.sql_client_argv(self.plan, "-f", str(script)),
            env=self.environ(settings),
            capture_output=True,
            text=True,
            timeout=_CLIENT_SECONDS,
            check=False,
        )
        return done.stdout + done.stderr

    def wait_running(self, job_id: str) -> None:
        """Return once every task of the job runs.

        Raises:
            StackError: it does not; with the job's exception.
        """
        deadline = time.monotonic() + _RUNNING_SECONDS
        while not self.rest.all_tasks_run(job_id):
            is_over = any(job.id == job_id and job.is_over for job in self.rest.jobs())
            if is_over or time.monotonic() > deadline:
                msg = f"job {job_id} does not run: {self.rest.failure(job_id) or 'no exception'}"
                raise StackError(msg)
            time.sleep(0.1)

    def stop_job(self, job_id: str) -> str:
        """Stop a job with a savepoint and return its path."""
        return self.rest.stop_with_savepoint(job_id, str(self.plan.savepoints), timeout_seconds=60)

    @property
    def taskmanager_pid(self) -> int:
        """The TaskManager's process id, also its process group (Python workers included)."""
        if self._taskmanager is None:
            msg = "no TaskManager runs"
            raise StackError(msg)
        return self._taskmanager.pid

    def kill_taskmanager(self) -> None:
        """Kill the TaskManager and its Python workers with SIGKILL."""
        os.kill(self.taskmanager_pid, 9)
        if self._taskmanager is not None:
            self._taskmanager.stop()
        self._taskmanager = None

    def start_taskmanager(self) -> None:
        """Start a TaskManager and wait until it is registered."""
        self._taskmanager = ManagedProcess.start(flink_cluster.taskmanager_spec(self.plan))
        self._taskmanager.wait_ready()

    def __enter__(self) -> Self:
        flink_cluster.prepare(self.plan)
        self._jobmanager = ManagedProcess.start(flink_cluster.jobmanager_spec(self.plan))
        self._taskmanager = ManagedProcess.start(flink_cluster.taskmanager_spec(self.plan))
        try:
            self._jobmanager.wait_ready()
            self._taskmanager.wait_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self.rest.close()
        for process in (self._taskmanager, self._jobmanager):
            if process is not None:
                process.stop()
