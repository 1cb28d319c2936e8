"""The command line as a person uses it, in a stack of the test's own: its own home, its own ports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from signalbox.local_stack.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


def stack_environ(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a stack at `home` on free ports; `settings` are variables without the prefix."""
    own = {
        "HOME": str(home),
        "KAFKA__PORT": str(free_port()),
        "FLINK__REST_PORT": str(free_port()),
        "GATEWAY__PORT": str(free_port()),
        "MODEL__PROVIDER": "embedded",
        **settings,
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SIGNALBOX_")}
    prefixed = {f"SIGNALBOX_{name}": value for name, value in own.items()}
    return {**inherited, **prefixed, "NO_COLOR": "1"}


def signalbox(
    environ: dict[str, str], *arguments: str, typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, with `typed` on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "signalbox.cli", *arguments],
        env=environ,
        cwd=ROOT,
        input=typed,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def processes_of(environ: dict[str, str]) -> list[str]:
    """Every process whose command line or environment names this stack's home."""
    home = environ["SIGNALBOX_HOME"]
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            named = home in " ".join(process.info["cmdline"] or ())
            if named or process.environ().get("SIGNALBOX_HOME") == home:
                found.append(f"{process.pid} {' '.join(process.info['cmdline'] or ())[:80]}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
