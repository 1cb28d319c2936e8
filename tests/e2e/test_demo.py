"""The demo as a person starts it: real Kafka, real Flink, the agents, one command, and nothing left afterwards."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ROOT, processes_of, signalbox, stack_environ

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def environ(tmp_path_factory) -> Iterator[dict[str, str]]:
    """A stack of this module's own; taken down at the end whatever happened."""
    environ = stack_environ(tmp_path_factory.mktemp("demo") / "home")
    yield environ
    signalbox(environ, "down")


def test_demo_ends_every_lead_and_down_leaves_nothing(environ, tmp_path):
    """Twelve leads and replies each have one outcome, the numbers agree, a second run works, and `down` ends it all."""
    first = signalbox(environ, "demo", "--json")
    assert first.returncode == 0, first.stderr
    value = json.loads(first.stdout.splitlines()[-1])

    assert first.stdout.count("\n") == 1
    assert value["leads"] == 12
    assert sum(value["outcomes"].values()) == 12
    assert value["outcomes"]["completed"] >= 8
    assert value["dead_letters"] == value["reviews"] == 0
    assert value["decisions"]["contract"] > value["decisions"]["model"] > 0
    assert 0 <= value["hop_p50_ms"] <= value["hop_p99_ms"]

    second = signalbox(environ, "demo", "--leads", "3")
    assert second.returncode == 0, second.stderr
    assert "3 of 3 leads ended" in second.stdout
    assert "already running" in second.stderr
    one = next(line for line in second.stdout.splitlines() if "signalbox trace" in line).split()[-1]

    trace = signalbox(environ, "trace", one, "--json")
    path = json.loads(trace.stdout)
    assert path["status"] == "completed"
    assert [t["agent"] for step in path["steps"] for t in step["tasks"]][-1] == "send_email"
    explained = signalbox(environ, "explain", path["steps"][0]["message"]["id"], "--json")
    assert json.loads(explained.stdout)["decisions"][0]["candidates"]
    assert json.loads(explained.stdout)["details"][0]["budget_left"]["hops"] == 12

    _replays_to_the_same(environ, tmp_path)

    assert signalbox(environ, "down").returncode == 0
    assert processes_of(environ) == []


def _replays_to_the_same(environ: dict[str, str], tmp_path: Path) -> None:
    """What-if replay of the real run: nothing differs, whole or from the middle; without an agent its messages are NONE."""
    sdr = ROOT / "agent_definitions" / "sdr"
    whole = _replayed(environ, sdr)
    assert whole["total"] == whole["same"] > 50
    assert (whole["unknown"], whole["conversations"]) == (0, [])
    middle = ",".join(f"{number}={end // 2}" for number, (_, end) in whole["ranges"].items())
    half = _replayed(environ, sdr, "--from", f"offset:{middle}")
    assert (half["changed"], half["unknown"]) == (0, 0)
    assert 0 < half["total"] < whole["total"]

    fewer = tmp_path / "sdr"
    shutil.copytree(sdr, fewer, ignore=shutil.ignore_patterns("send_email.yaml"))
    without = _replayed(environ, fewer)
    assert without["agent_to_none"] > 0
    assert without["none_to_agent"] == 0
    assert {
        message["before"]["agent"]
        for one in without["conversations"]
        for message in one["messages"]
    } == {"send_email"}

    cost = json.loads(signalbox(environ, "cost", "--by", "model", "--json").stdout)
    assert cost["total"]["decisions"] == whole["total"]
    embedded = next(row for row in cost["rows"] if row["name"].startswith("embedded"))
    assert embedded["calls"] + embedded["cached"] == embedded["decisions"] > 0


def _replayed(environ: dict[str, str], definitions: Path, *more: str) -> dict[str, Any]:
    result = signalbox(environ, "replay", "--definitions", str(definitions), *more, "--json")
    assert result.returncode == 0, result.stderr
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def test_demo_stopped_by_ctrl_c_stops_what_it_started(environ):
    """One interrupt while the stack starts, and no process of it is left."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "signalbox.cli", "demo"],
        env=environ,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that a shell runs in the background have SIGINT ignored, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (it starts no thread)
    )
    assert demo.stderr is not None
    for line in demo.stderr:
        if "is up" in line:
            break

    demo.send_signal(signal.SIGINT)

    assert demo.wait(120) != 0
    deadline = time.monotonic() + 60
    while processes_of(environ) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(environ) == []
