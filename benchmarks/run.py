"""Runs the benchmarks, prints their figures, and writes docs/benchmarks.md with its plots.

    python -m benchmarks.run [NAME …] [--no-page]

Each benchmark has a broker and a cluster of its own, where it needs one. Without names all run, about 55 minutes; those that
ran replace their part of `benchmarks/results.json`, from which the page is written.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

import psutil

from benchmarks import (
    candidates_at_scale,
    concurrency,
    contract_path,
    exactly_once,
    gateway,
    hanging_calls,
    latency,
    model_calls,
    open_workflows,
    page,
    pages,
    recovery,
    routing_decision,
    runner_throughput,
    start_and_stop,
    workflow_deadlines,
    workflow_runs,
)
from benchmarks.figures import Result
from benchmarks.lab import ROOT, Lab

BENCHMARKS: Final = {
    "latency": latency.measure,
    "concurrency": concurrency.measure,
    "contract_path": contract_path.measure,
    "hanging_calls": hanging_calls.measure,
    "recovery": recovery.measure,
    "runner_throughput": runner_throughput.measure,
    "exactly_once": exactly_once.measure,
    "workflow_deadlines": workflow_deadlines.measure,
}
WITHOUT_A_LAB: Final = {
    "candidates_at_scale": candidates_at_scale.measure,
    "gateway": gateway.measure,
    "model_calls": model_calls.measure,
    "open_workflows": open_workflows.measure,
    "pages": pages.measure,
    "routing_decision": routing_decision.measure,
    "start_and_stop": start_and_stop.measure,
    "workflow_runs": workflow_runs.measure,
}
RESULTS: Final = ROOT / "benchmarks" / "results.json"
_PACKAGES: Final = ("apache-flink", "kafka-python", "pydantic", "jsonschema-rs", "orjson")


def main() -> int:
    """Run, print, keep; 1 where a figure misses its aim."""
    parser = argparse.ArgumentParser(description="Measure.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join([*BENCHMARKS, *WITHOUT_A_LAB])}")
    parser.add_argument("--no-page", action="store_true", help="print only")
    options = parser.parse_args()
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    missed = False
    for name in options.names or [*BENCHMARKS, *WITHOUT_A_LAB]:
        result = _run(name)
        kept[name] = {**result.as_json(), **_circumstances()}
        missed |= _print(result)
        if not options.no_page:
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
            page.write(kept)
    return int(missed)


def _run(name: str) -> Result:
    if name in WITHOUT_A_LAB:
        return WITHOUT_A_LAB[name]()
    with Lab() as lab:
        return BENCHMARKS[name](lab)


def _print(result: Result) -> bool:
    sys.stdout.write(f"\n{result.title}\n")
    missed = False
    for figure in result.figures:
        aim = ""
        if figure.aim is not None and figure.ratio is not None:
            missed |= figure.ratio > 1
            sign = "≥" if figure.at_least else "≤"
            verdict = "missed" if figure.ratio > 1 else "met"
            aim = f"   aim {sign} {figure.aim:g}, ratio {figure.ratio:.2f}, {verdict}"
        sys.stdout.write(f"  {figure.name:52}{figure.value:>12g} {figure.unit}{aim}\n")
    sys.stdout.flush()
    return missed


def _circumstances() -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load_before": round(os.getloadavg()[2], 1),
        "versions": versions,
        "seconds": round(time.monotonic() - _STARTED),
    }


_STARTED: Final = time.monotonic()

if __name__ == "__main__":
    sys.exit(main())
