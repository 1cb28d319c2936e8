"""Fixtures of the fault runs: one stack for all of them, seeds, and the table of figures at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.stand import Stand, standing
from tests.faults.verdict import Report

SEEDS = (1, 2, 3)
_FIGURES: list[str] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each fault meets three seeds; the smoke runs only the first (`FAULT_SEEDS=7` runs that one)."""
    if "seed" not in metafunc.fixturenames:
        return
    asked = os.environ.get("FAULT_SEEDS")
    seeds = [int(seed) for seed in asked.split(",")] if asked else list(SEEDS)
    is_smoke = metafunc.definition.get_closest_marker("smoke") is not None
    marks = [pytest.mark.faults_smoke] if is_smoke else []
    metafunc.parametrize(
        "seed", [pytest.param(seed, marks=marks if seed == seeds[0] else []) for seed in seeds]
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once what failed: a session takes long."""
    if report.failed:
        _keep(f"{report.nodeid} FAILED in {report.when}: {report.longreprtext[-3000:]}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what every run showed."""
    if _FIGURES:
        terminalreporter.section("ledgers of the fault runs")
        for line in _FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The stack, up."""
    with standing(tmp_path_factory.mktemp("stand")) as made:
        yield made


@pytest.fixture
def stand(running: Stand) -> Iterator[Stand]:
    """The stack, healthy, its model and its link well."""
    running.wait_healthy()
    yield running
    running.stub.mode("ok")
    running.stub.mix({})
    running.link.heal()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keep a run's figures and verdict for the table at the end."""

    def keep(report: Report, **figures: Any) -> None:
        shown = " ".join(f"{name}={_short(value)}" for name, value in figures.items())
        load = os.getloadavg()[0]
        line = f"{request.node.name}: {shown} load={load:.0f} | {report}"
        _FIGURES.append(line)
        print(line)
        _keep(line)

    return keep


def _keep(line: str) -> None:
    if path := os.environ.get("FAULT_FIGURES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _short(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
