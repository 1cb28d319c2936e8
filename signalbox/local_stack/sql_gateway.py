"""Flink's SQL Gateway: a process that answers questions over REST, in a second or two where the SQL client needs twelve.

Nothing starts it until somebody asks. Where a supervisor runs, the first question makes it start one, which stays for the
next ones and goes down with the stack; elsewhere a question has a gateway of its own for as long as it takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from signalbox.errors import StackError
from signalbox.local_stack import ports, state_file
from signalbox.local_stack.flink_cluster import ClusterPlan, sql_gateway_argv
from signalbox.local_stack.process import ManagedProcess, ProcessSpec

NAME: Final = "sql-gateway"
START_SECONDS: Final = 90.0
_WANTED: Final = "sql-gateway.wanted"
_POLL_SECONDS: Final = 0.05


def gateway_spec(plan: ClusterPlan, port: int) -> ProcessSpec:
    """Return how to run a gateway on `port` of loopback; ready once it listens."""
    log = plan.logs / f"{NAME}.log"
    return ProcessSpec(
        name=NAME,
        argv=tuple(sql_gateway_argv(plan, port, log)),
        log_path=log,
        environ=plan.flink_environ(),
        ready=lambda: ports.is_listening(port),
        ready_seconds=START_SECONDS,
        stop_seconds=2.0,
    )


def is_wanted(home: Path) -> bool:
    """Return whether somebody asked for a gateway since the stack was started."""
    return (home / _WANTED).exists()


def forget(home: Path) -> None:
    """Forget who asked; the supervisor does, when it starts and when it stops."""
    (home / _WANTED).unlink(missing_ok=True)


@contextmanager
def gateway(plan: ClusterPlan, home: Path) -> Iterator[str]:
    """Give the address of a gateway on the cluster: the supervisor's, else one that ends with this context.

    Raises:
        StackError: it did not start, with the end of its log.
    """
    if state_file.read(home).supervisor_is_alive():
        yield _supervised(home)
        return
    port = ports.free_port()
    process = ManagedProcess.start(gateway_spec(plan, port))
    try:
        process.wait_ready()
        yield url_of(port)
    finally:
        process.stop()


def url_of(port: int) -> str:
    """Return the address of a gateway on loopback."""
    return f"http://{ports.LOOPBACK}:{port}"


def _supervised(home: Path) -> str:
    (home / _WANTED).touch()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        state = state_file.read(home)
        record = state.processes.get(NAME)
        if record is not None and record.state == "running" and record.is_alive():
            return state.sql_gateway_url
        if not state.supervisor_is_alive():
            msg = "the stack was taken down; start it with `signalbox up`"
            raise StackError(msg)
        time.sleep(_POLL_SECONDS)
    msg = f"the SQL Gateway was not up after {START_SECONDS:g} s; see {home / 'logs' / NAME}.log"
    raise StackError(msg)
