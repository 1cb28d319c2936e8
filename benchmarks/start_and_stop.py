"""How long a person waits: the demo from nothing, on a running stack, `down`, again from savepoints; and the memory of it all.

Uses a home and ports of its own. Packages and jars are installed already; what a fresh machine downloads comes on top.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Result
from signalbox.local_stack.ports import free_port

AIMS: Final = {"demo_again_seconds": 60.0, "down_seconds": 20.0, "rss_mib": 3072.0}


def run(environ: dict[str, str], *arguments: str) -> tuple[float, str]:
    """Run one command; return its seconds and its standard output."""
    started = time.perf_counter()
    program = [sys.executable, "-m", "signalbox.cli", *arguments]
    done = subprocess.run(program, env=environ, capture_output=True, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def _figures(environ: dict[str, str]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    figures["demo_first_seconds"], _ = run(environ, "demo", "--json")
    figures["demo_running_seconds"], said = run(environ, "demo", "--json")
    demo = json.loads(said.splitlines()[-1])
    figures["hop_p50_ms"], figures["hop_p99_ms"] = demo["hop_p50_ms"], demo["hop_p99_ms"]
    processes = json.loads(run(environ, "status", "--json")[1])["processes"]
    figures["rss_mib"] = sum(process["rss_bytes"] for process in processes) / 2**20
    figures["down_seconds"], _ = run(environ, "down")
    figures["demo_again_seconds"], _ = run(environ, "demo", "--json")
    run(environ, "down")
    return figures


def measure() -> Result:
    """Start, use and stop a stack twice, in a temporary home."""
    result = Result("Start, stop and memory of the demo")
    with tempfile.TemporaryDirectory() as folder:
        ports = {
            f"SIGNALBOX_{name}": str(free_port())
            for name in ("KAFKA__PORT", "FLINK__REST_PORT", "GATEWAY__PORT")
        }
        environ = {**os.environ, **ports, "SIGNALBOX_HOME": str(Path(folder) / "home")}
        try:
            figures = _figures(environ)
        finally:
            subprocess.run(
                [sys.executable, "-m", "signalbox.cli", "down"], env=environ, check=False
            )
    for name, figure in figures.items():
        label, unit = name.rsplit("_", 1)
        unit = {"seconds": "s", "mib": "MiB"}.get(unit, unit)
        result.add(label.replace("_", " "), figure, unit, AIMS.get(name))
    return result
