"""One part of the stack as a container's process: what docker-compose.yml runs, from the same code as `signalbox up`.

`python -m signalbox.local_stack.container ROLE`, one of `ROLES`. The broker is the `apache/kafka` image.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import Final, NoReturn

from connectors import jars
from connectors.models import require_model
from signalbox.errors import ConfigurationError, SignalboxError
from signalbox.local_stack import flink_cluster
from signalbox.local_stack.environment import environment_of, inherited
from signalbox.local_stack.fleets import load_fleets
from signalbox.local_stack.flink_cluster import ClusterPlan
from signalbox.local_stack.java import find_java
from signalbox.local_stack.layout import Layout, home_of
from signalbox.local_stack.process import ProcessSpec
from signalbox.local_stack.secret_files import with_secrets_in_files
from signalbox.local_stack.supervisor import Part, Supervisor
from signalbox.settings import Settings

RPC_PORT: Final = 6123
ROLES: Final = ("jobmanager", "taskmanager", "jobs", "agents", "sources", "gateway")
_PARTS: Final[dict[str, Part]] = {
    "jobs": "jobs",
    "agents": "agents",
    "sources": "sources",
    "gateway": "gateway",
}


def container_layout(settings: Settings, role: str, options: argparse.Namespace) -> Layout:
    """Return the layout of one container: its own folder under home, Flink's state in one that all share."""
    home = home_of(settings) / role
    cluster = ClusterPlan(
        folder=home / "flink",
        logs=home / "logs",
        settings=settings,
        rest_port=settings.flink.rest_port,
        rpc_port=options.rpc_port,
        java=find_java(),
        extra_jars=jars.ensure("flink"),
        environ=environment_of(settings),
        shared_state=home_of(settings) / "flink-state",
        host=options.host,
        bind_host=options.bind,
        taskmanager_host=options.taskmanager_host,
    )
    return Layout(settings, home, None, cluster)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one role until SIGTERM."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings()
        if settings.kafka.bootstrap_servers is None:
            msg = "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS is not set; a container needs the broker's address, like kafka:19092"
            raise ConfigurationError(msg)
        if options.role == "jobs":
            # Before a job is submitted: inside the TaskManager the same error would be a restart loop.
            require_model(settings.model, settings.embedder)
        # In the volume that all containers share: a job names the file, and each of them reads it.
        settings = with_secrets_in_files(settings, home_of(settings))
        layout = container_layout(settings, options.role, options)
        if options.role in _PARTS:
            _supervise(layout, _PARTS[options.role])
            return 0
        flink_cluster.prepare(layout.cluster)
        if options.role == "jobmanager":
            _become(flink_cluster.jobmanager_spec(layout.cluster))
        _become(flink_cluster.taskmanager_spec(layout.cluster))
    except SignalboxError as error:
        _print(f"failed: {error}")
        return 1


def _supervise(layout: Layout, part: Part) -> None:
    supervisor = Supervisor(layout, load_fleets(layout.settings), _print, frozenset({part}))

    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    supervisor.run()


def _become(spec: ProcessSpec) -> NoReturn:
    # Replaced, not a child: the container's signals and exit code are the process's own.
    os.execvpe(spec.argv[0], list(spec.argv), {**inherited(), **spec.environ})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m signalbox.local_stack.container")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--host", default="jobmanager", help="where the JobManager is reached")
    parser.add_argument("--bind", default="0.0.0.0", help="the address to listen on")
    parser.add_argument("--taskmanager-host", default="taskmanager")
    parser.add_argument("--rpc-port", type=int, default=RPC_PORT)
    return parser


def _print(sentence: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
