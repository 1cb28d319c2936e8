"""The stub model as a process, and what it is told and asked over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "stub_model.py"


class Stub:
    """`benchmarks/stub_model.py` on a free port; latencies lognormal with this median."""

    def __init__(self, *, median_seconds: float = 0.2, sigma: float = 0.6, seed: int = 1) -> None:
        self._argv = [sys.executable, str(SCRIPT)]
        for name, value in (("median-seconds", median_seconds), ("sigma", sigma), ("seed", seed)):
            self._argv += [f"--{name}", str(value)]
        # No proxy from the environment: this is a loopback address.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def start(self) -> Self:
        """Start it and learn its port."""
        self._process = subprocess.Popen(self._argv, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port: int = json.loads(self._process.stdout.readline())["port"]
        return self

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)

    def mode(self, mode: str) -> None:
        """Behave like this for everybody."""
        self._ask(f"/mode/{mode}", b"")

    def mix(self, shares: Mapping[str, float]) -> None:
        """Behave like this for shares of all prompts, by their hash."""
        self._ask("/mix", json.dumps(shares).encode())

    def schedule(self, steps: Sequence[tuple[float, str]]) -> None:
        """Change the mode by itself."""
        self._ask("/schedule", json.dumps(list(steps)).encode())

    def stats(self) -> dict[str, Any]:
        """Calls, calls in flight, latencies."""
        return self._ask("/stats", None)

    def calls(self) -> dict[str, int]:
        """How often each prompt was asked."""
        return self._ask("/calls", None)

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        with self._opener.open(request, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found
