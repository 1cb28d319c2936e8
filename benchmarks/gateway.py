"""`POST /events` on one core: as many as it takes, and how long one takes at half the aimed rate, beside a bare FastAPI echo.

The server has a core to itself; the broker and the client share the other. `wrk` (Debian's package) posts as fast as answers
come; at the steady rate a client of ours posts whether they come or not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from benchmarks.figures import Result, quantile
from benchmarks.lab import ROOT
from signalbox.errors import UsageError
from signalbox.local_stack import ports
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.process import ManagedProcess, ProcessSpec
from signalbox.local_stack.temporary import TemporaryBroker

RATE: Final = 1500.0
HALF: Final = RATE / 2
LATE_MS: Final = 25.0
CONNECTIONS: Final = 64
SECONDS: Final = 15
_DRAWN: Final = 200
_SERVER_CORE, _OTHER_CORE = "0", "1"
_POST: Final = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
local file = io.open(os.getenv("BODY"), "r")
wrk.body = file:read("*a")
"""


def measure() -> Result:
    """Requests a second and milliseconds, of the gateway and of the echo."""
    result = Result(
        "The gateway",
        notes=f"One core for the server, {CONNECTIONS} connections, {SECONDS} s each; each 202 after the broker's acknowledgement.",
    )
    with tempfile.TemporaryDirectory(prefix="signalbox-bench-") as name:
        folder = Path(name)
        body = _body(folder)
        with TemporaryBroker(folder / "broker") as broker:
            _move(broker.pid, int(_OTHER_CORE))
            port = ports.free_port()
            settings = broker.settings(gateway={"port": port, "max_requests_per_second": 1e6})
            argv = (sys.executable, "-m", "signalbox.gateway")
            with _server(
                folder, argv, port, environment_of(settings), partial(takes_messages, port)
            ) as gateway:
                rate, cpu_ms = _fast(gateway, port, body)
                took = _steady(port, body)
        port = ports.free_port()
        argv = (sys.executable, str(ROOT / "benchmarks" / "echo.py"), str(port))
        with _server(folder, argv, port, {}, partial(ports.is_listening, port)) as echo:
            echo_rate, echo_cpu_ms = _fast(echo, port, body)
            echo_took = _steady(port, body)
    result.add("POST /events", rate, "/s", RATE, at_least=True)
    result.add("bare echo", echo_rate, "/s")
    result.add("gateway ÷ echo, rate", rate / echo_rate, "")
    result.add("CPU of a message", cpu_ms, "ms")
    result.add("CPU of an echo", echo_cpu_ms, "ms")
    result.add(f"at {HALF:g}/s, p50", quantile(took, 0.5), "ms")
    result.add(f"at {HALF:g}/s, p99", quantile(took, 0.99), "ms", LATE_MS)
    result.add(f"echo at {HALF:g}/s, p99", quantile(echo_took, 0.99), "ms")
    result.series[f"gateway at {HALF:g}/s, ms"] = _drawn(took)
    result.series[f"echo at {HALF:g}/s, ms"] = _drawn(echo_took)
    return result


def _drawn(values: Sequence[float]) -> list[float]:
    """Return what a plot needs of thousands of values: as many quantiles as it has points."""
    return [round(quantile(values, number / _DRAWN), 3) for number in range(_DRAWN)]


def _body(folder: Path) -> Path:
    lead = (ROOT / "agent_definitions/sdr/demo/leads.jsonl").read_text("utf-8").splitlines()[0]
    path = folder / "body.json"
    path.write_text(lead, "utf-8")
    return path


@contextmanager
def _server(
    folder: Path,
    argv: tuple[str, ...],
    port: int,
    environ: Mapping[str, str],
    ready: Callable[[], bool],
) -> Iterator[psutil.Process]:
    spec = ProcessSpec(
        name="server",
        argv=("taskset", "-c", _SERVER_CORE, *argv),
        log_path=folder / f"server-{port}.log",
        environ=environ,
        ready=ready,
    )
    process = ManagedProcess.start(spec)
    try:
        process.wait_ready()
        yield psutil.Process(process.pid)
    finally:
        process.stop()


def takes_messages(port: int) -> bool:
    """Say whether the gateway at `port` is there and reaches its broker."""
    if not ports.is_listening(port):
        return False
    return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200


def _fast(server: psutil.Process, port: int, body: Path) -> tuple[float, float]:
    """Return requests a second, and CPU of the server for each, in ms."""
    wrk = shutil.which("wrk")
    if wrk is None:
        msg = "wrk is not installed; `apt-get install wrk`"
        raise UsageError(msg)
    script = body.with_name("post.lua")
    script.write_text(_POST, "utf-8")
    before = server.cpu_times()
    argv = ["taskset", "-c", _OTHER_CORE, wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s"]
    found = subprocess.run(
        [*argv, "-s", str(script), f"http://127.0.0.1:{port}/events"],
        env={**os.environ, "BODY": str(body)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    after = server.cpu_times()
    if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", found):
        msg = f"{refused[1]} requests were refused:\n{found}"
        raise RuntimeError(msg)
    done = re.search(r"(\d+) requests in", found)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", found)
    if done is None or rate is None:
        msg = f"wrk said nothing that is understood:\n{found}"
        raise RuntimeError(msg)
    spent = after.user + after.system - before.user - before.system
    return float(rate[1]), spent * 1000 / int(done[1])


def _steady(port: int, body: Path) -> list[float]:
    script = str(ROOT / "benchmarks" / "steady_posts.py")
    argv = ["taskset", "-c", _OTHER_CORE, sys.executable, script]
    options = ["--rate", str(HALF), "--seconds", str(SECONDS)]
    found = subprocess.run(
        [*argv, "--url", f"http://127.0.0.1:{port}/events", *options],
        input=body.read_bytes(),
        capture_output=True,
        check=True,
    ).stdout
    told: dict[str, Any] = json.loads(found)
    if set(told["statuses"]) != {"202"}:
        msg = f"not every request was taken: {told['statuses']}"
        raise RuntimeError(msg)
    return [float(one) for one in told["ms"]]


def _move(pid: int, core: int) -> None:
    """Keep a process and all its threads on one core."""
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, {core})
