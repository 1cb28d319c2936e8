"""The whole stack: up, status, a killed process, down, and up again from the savepoint. Real processes, own ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from signalbox.errors import StackError, UsageError
from signalbox.local_stack import api, ports, sql_client
from signalbox.local_stack.java import find_java
from signalbox.local_stack.layout import layout_of
from signalbox.local_stack.status import StackStatus
from signalbox.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings with a home and ports of their own; whatever still runs at the end is taken down."""
    made = Settings(
        home=tmp_path_factory.mktemp("stack"),
        kafka={"port": ports.free_port()},
        flink={"rest_port": ports.free_port()},
    )
    yield made
    api.down(made)


@pytest.fixture(scope="module")
def stack(settings: Settings) -> Settings:
    """The stack, up and detached."""
    assert api.up(settings, detach=True)
    return settings


def _pid(settings: Settings, kind: str) -> int:
    return next(p.pid for p in api.status(settings).processes if p.kind == kind)


def _until(holds: Callable[[], bool], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def _left_of(settings: Settings) -> list[str]:
    """Return every process whose command line or environment names this stack's home."""
    home = str(settings.home)
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            mentions = home in " ".join(process.cmdline()) or home in process.environ().values()
            if mentions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return found


def test_stack_up_runs_everything(stack: Settings) -> None:
    """After `up --detach` every process, job and agent runs, and the status is JSON."""
    found: StackStatus = api.status(stack)

    assert found.is_healthy, found
    assert {"supervisor", "broker", "jobmanager", "taskmanager", "agent"} == {
        process.kind for process in found.processes
    }
    assert {job.name: job.state for job in found.jobs} == {
        "orchestrate": "RUNNING",
        "incoming_leads": "RUNNING",
    }
    assert {agent.state for agent in found.agents} == {"running"}
    assert all(process.rss_bytes > 0 for process in found.processes)
    json.dumps(found.as_json())


def test_stack_up_again_says_what_runs(stack: Settings) -> None:
    """A second `up` starts nothing and names the processes; `--fresh` is refused while it runs."""
    said: list[str] = []

    assert not api.up(stack, detach=True, report=said.append)
    assert "already running" in said[0]
    assert "broker (pid" in said[0]
    with pytest.raises(UsageError, match="signalbox down"):
        api.up(stack, detach=True, fresh=True)


def test_stack_doctor_knows_its_own_ports(stack: Settings) -> None:
    """The ports the stack uses are no complaint."""
    checks = {check.name: check for check in api.doctor(stack)}

    assert all(check.ok for check in checks.values()), checks
    assert "used by this stack" in checks["kafka port"].found


def test_stack_question_starts_one_gateway_that_stays(stack: Settings) -> None:
    """The first question makes the supervisor start a SQL Gateway; the next one finds it; `down` ends it (below)."""
    cluster = layout_of(stack, find_java()).cluster

    def ask() -> list[tuple[object, ...]]:
        answers = sql_client.ask(cluster, stack, stack.home, "SELECT COUNT(*) FROM outcomes;")
        return [row for answer in answers for row in answer.rows]

    first = ask()
    pid = _pid(stack, "sql_gateway")
    second = ask()

    assert first == second == [("0",)]
    assert _pid(stack, "sql_gateway") == pid
    assert api.status(stack).is_healthy


@pytest.mark.parametrize("kind", ["agent", "taskmanager"])
def test_stack_killed_process_is_restarted(stack: Settings, kind: str) -> None:
    """A process killed from outside is back under another pid, and the stack is healthy again."""
    killed = _pid(stack, kind)
    os.kill(killed, signal.SIGKILL)

    _until(lambda: killed not in {p.pid for p in api.status(stack).processes}, "still listed")
    _until(
        lambda: api.status(stack).is_healthy,
        f"{kind} did not come back; see the events in {stack.home / 'stack.json'}",
    )
    restarted = next(p for p in api.status(stack).processes if p.kind == kind)
    assert restarted.restarts == 1


def test_stack_down_leaves_nothing_and_up_resumes(stack: Settings) -> None:
    """`down` ends every process and keeps savepoints; `up` starts from them; a dead supervisor is cleaned up after."""
    assert api.down(stack)

    assert _left_of(stack) == []
    stopped = api.status(stack)
    savepoints = {job.name: job.restore_from for job in stopped.jobs}
    assert stopped.phase == "stopped"
    assert all("savepoint" in (path or "") for path in savepoints.values())

    said: list[str] = []
    api.up(stack, detach=True, report=said.append)
    assert any("job orchestrate is being submitted from savepoint" in line for line in said)
    assert {job.name: job.restore_from for job in api.status(stack).jobs} == savepoints

    os.kill(_pid(stack, "supervisor"), signal.SIGKILL)
    _until(lambda: not api.is_running(stack), "the supervisor lives")
    assert "supervisor died" in " ".join(api.status(stack).notes)
    assert api.down(stack)
    assert _left_of(stack) == []


def test_stack_busy_port_is_refused_before_anything_starts(settings: Settings) -> None:
    """A taken port is an error with the setting, and nothing was started."""
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        busy = settings.model_copy(
            update={"kafka": settings.kafka.model_copy(update={"port": server.getsockname()[1]})}
        )

        with pytest.raises(StackError, match="SIGNALBOX_KAFKA__PORT="):
            api.up(busy, detach=True)

    assert _left_of(settings) == []
