"""What this machine has and lacks: one line per thing the stack needs, each with its remedy."""

from __future__ import annotations

import platform
import sys
from typing import Final

from find_libpython import find_libpython

from connectors import jars
from flink_jobs.execution_mode import execution_mode
from signalbox.errors import SignalboxError
from signalbox.local_stack import ports, state_file
from signalbox.local_stack.broker_checks import broker_check, names_check
from signalbox.local_stack.check import Check
from signalbox.local_stack.fleets import load_fleets
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.java import OLDEST_JAVA, find_java
from signalbox.local_stack.layout import home_of
from signalbox.local_stack.model_checks import embedder_check, model_check
from signalbox.local_stack.state_file import StackState
from signalbox.settings import Settings

PYTHONS: Final = ((3, 11), (3, 12))
_PYTHON_LIBRARY_FIX: Final = "install libpython3.11 (Debian) or a Python built with --enable-shared"


def doctor(settings: Settings) -> list[Check]:
    """Look at everything the stack needs. Changes nothing, starts nothing."""
    state = state_file.read(home_of(settings))
    return [
        _python(),
        _python_library(settings),
        _java(),
        _jars(),
        _definitions(settings),
        *_ports(settings, state),
        *_reachable(settings, state),
        model_check(settings.model),
        embedder_check(settings.embedder),
    ]


def _python() -> Check:
    version = platform.python_version()
    system = f"{platform.system()} {platform.machine()}"
    right = sys.version_info[:2] in PYTHONS and system == "Linux x86_64"
    fix = "use Python 3.11 or 3.12 on Linux x86-64, or docker compose (docker-compose.yml)"
    return Check("python", right, f"{version} on {system}", "" if right else fix)


def _python_library(settings: Settings) -> Check:
    library = find_libpython()
    mode = execution_mode(settings, lambda: library)
    if mode == "thread":
        found = library or "none"
        remedy = f"{_PYTHON_LIBRARY_FIX}, or SIGNALBOX_FLINK__PYTHON_EXECUTION_MODE=process"
        return Check("python library", library is not None, found, "" if library else remedy)
    found = "operators run in a Python process of their own: about twice the latency of a hop"
    return Check("python library", True, found, "" if library else _PYTHON_LIBRARY_FIX)


def _java() -> Check:
    try:
        java = find_java()
    except SignalboxError as error:
        return Check("java", False, str(error), f"`make setup`, or JAVA_HOME=<Java {OLDEST_JAVA}+>")
    note = f"; {java.note}" if java.note else ""
    return Check("java", True, f"{java.major} from {java.origin}: {java.home}{note}")


def _jars() -> Check:
    missing = jars.missing()
    total = len(jars.locked("kafka")) + len(jars.locked("flink"))
    found = f"{total - len(missing)} of {total} in {jars.cache_folder()}"
    fix = "the next `signalbox up` downloads them; that needs a network connection"
    return Check("jars", not missing, found, fix if missing else "")


def _definitions(settings: Settings) -> Check:
    try:
        active = load_fleets(settings)
    except SignalboxError as error:
        return Check("definitions", False, str(error), "correct it, then `signalbox agents lint`")
    return Check(
        "definitions", True, f"{len(active.agents)} agents in {', '.join(settings.fleets)}"
    )


def _ports(settings: Settings, state: StackState) -> list[Check]:
    wanted = [("flink port", "jobmanager", settings.flink.rest_port, "SIGNALBOX_FLINK__REST_PORT")]
    if settings.gateway.enabled:
        wanted.append(("gateway port", "gateway", settings.gateway.port, "SIGNALBOX_GATEWAY__PORT"))
    if settings.kafka.bootstrap_servers is None:
        wanted.insert(0, ("kafka port", "broker", settings.kafka.port, "SIGNALBOX_KAFKA__PORT"))
    return [_port(state, *line) for line in wanted]


def _port(state: StackState, name: str, process: str, port: int, setting: str) -> Check:
    if ports.is_free(port):
        return Check(name, True, f"{port} is free")
    record = state.processes.get(process)
    if record is not None and record.is_alive() and state.supervisor_is_alive():
        return Check(name, True, f"{port} is used by this stack (pid {record.pid})")
    found = f"{port} is used by {ports.owner(port)}"
    return Check(name, False, found, f"stop it, or {setting}={ports.free_port()}")


def _reachable(settings: Settings, state: StackState) -> list[Check]:
    outside = settings.kafka.bootstrap_servers is not None
    runs = state.supervisor_is_alive()
    checks = []
    if outside or runs:
        checks.append(broker_check(settings.kafka, is_outside=outside))
        if outside and not runs and checks[-1].ok:
            checks.append(names_check(settings.kafka))
    if runs:
        checks.append(_cluster(state))
    else:
        checks.append(Check("stack", True, "not running; `signalbox up` starts it"))
    return checks


def _cluster(state: StackState) -> Check:
    rest = FlinkRest(state.rest_url)
    try:
        found = rest.overview()
    except OSError as error:
        return Check("cluster", False, str(error), "see logs/jobmanager.log")
    finally:
        rest.close()
    ok = found["taskmanagers"] >= 1
    return Check(
        "cluster",
        ok,
        f"{state.rest_url}: {found['taskmanagers']} TaskManager, "
        f"{found['slots-available']} of {found['slots-total']} slots free",
        "" if ok else "see logs/taskmanager.log",
    )
