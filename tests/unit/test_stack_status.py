"""`signalbox status`: what it says of a job's stuck steps, from the JobManager's counters to the table."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from signalbox.cli.stack_tables import print_status
from signalbox.local_stack import state_file
from signalbox.local_stack.state_file import JobRecord, StackState
from signalbox.local_stack.status import StackStatus, status
from signalbox.settings import Settings
from tests.support.job_manager import JobManager


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a stack whose supervisor is gone: its broker is not asked, its jobs are."""
    return Settings(home=tmp_path)


def status_with(settings: Settings, url: str) -> StackStatus:
    """What is said of a stack with one job, `j`, at the JobManager behind `url`."""
    job = JobRecord(name="orchestrate", id="j", is_running=True)
    state_file.write(settings.home, StackState(rest_url=url, jobs={"orchestrate": job}))
    return status(settings)


def table_of(found: StackStatus) -> list[list[str]]:
    """The words of each line of the jobs' table."""
    out = io.StringIO()
    print_status(found, Console(file=out, width=120))
    lines = [line.split() for line in out.getvalue().splitlines()]
    return [line for line in lines if "orchestrate" in line or "stuck" in line]


def test_status_shows_how_many_steps_were_stuck(settings):
    """The sum of the job's counters stands in the column and in the JSON."""
    with JobManager() as manager:
        manager.counters = {"v": {"0.decide.signalbox.stuck_steps": 3}}
        found = status_with(settings, manager.url)

    assert [job["stuck_steps"] for job in found.as_json()["jobs"]] == [3]
    assert table_of(found) == [
        ["job", "state", "id", "resubmitted", "stuck", "steps"],
        ["orchestrate", "RUNNING", "j", "3"],
    ]


@pytest.mark.parametrize(
    ("counters", "known"),
    [({"other": 1}, None), ({"0.decide.signalbox.stuck_steps": 0}, 0)],
)
def test_status_without_stuck_steps_leaves_the_column_empty(settings, counters, known):
    """None, and a job that does not say: for a person nothing to look at, for programs not the same."""
    with JobManager() as manager:
        manager.counters = {"v": counters}
        found = status_with(settings, manager.url)

    assert found.jobs[0].stuck_steps is known
    assert table_of(found)[1] == ["orchestrate", "RUNNING", "j"]


def test_status_whose_job_manager_is_gone_still_tells_the_rest(settings):
    """Nobody answers: the job is not said to run, and its steps are not known."""
    with JobManager() as manager:
        url = manager.url
    found = status_with(settings, url)

    assert (found.jobs[0].state, found.jobs[0].stuck_steps) == ("STOPPED", None)
