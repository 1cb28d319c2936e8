"""`signalbox workflows runs`: which runs are open, whom each waits for, and which are stuck, from the topics alone."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from signalbox.cli import session
from signalbox.cli.main import app
from signalbox.contracts.record import from_epoch_ms
from tests.support.fleets import message
from tests.support.story import T0, Story
from tests.support.workflow_world import rules_with, step, workflow

ASK = {"reason": "Go on?", "deadline_seconds": 7200}
WORK = workflow(step("a", timeout_seconds=60), step("b", "a", by="bob", approve=ASK))
OTHER = workflow(step("z", by="cyd", timeout_seconds=600)).model_copy(
    update={"name": "other", "starts_on": ("other.asked",)}
)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    """Five runs at 100 s: one silent too long, one that waits for a person, another workflow's, one over, and a plain message."""
    told = Story(rules_with(WORK, OTHER))

    def begin(name: str, kind: str, at: int) -> None:
        told.arrives(
            message(f"m-{name}", {"n": 1}, conversation=name, type=kind), at=at, decided_at=at
        )

    begin("late", "work.asked", 0)
    begin("asked", "work.asked", 20_000)
    told.answers("ann", {"ok": 1}, at=21_000)
    begin("other", "other.asked", 40_000)
    begin("over", "other.asked", 50_000)
    told.answers("cyd", {"ok": 1}, at=52_000)
    told.arrives(message("p-1", {"z": 1}, conversation="plain", target="ann"), at=60_000)
    monkeypatch.setattr(session, "open_broker", lambda _: told.broker)
    monkeypatch.setattr(session, "require_broker", lambda _: None)
    monkeypatch.setattr(session, "now", lambda: from_epoch_ms(T0 + 100_000))
    return told


def called(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["workflows", "runs", *arguments])


def conversations(*arguments: str) -> list[str]:
    found = json.loads(called(*arguments, "--json").stdout)
    return [one["conversation"] for one in found["runs"]]


def test_runs_lists_what_is_open_with_whom_it_waits_for(story: Story) -> None:
    """The oldest first; who is late is marked, a person is called one, and what is over or no run is not there."""
    told = called()

    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        "conversation  workflow  status   for         waits for",
        "late          work      running  1 min 40 s  ! a: ann 40 s ago",
        "asked         work      running  1 min 20 s  b: a person in 1 h 58 min",
        "other         other     running  1 min 0 s   z: cyd in 9 min 0 s",
    ]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--stuck"], ["late"]),
        (["other"], ["other"]),
        (["other", "--all"], ["other", "over"]),
        (["other", "--stuck"], []),
        (["--all", "--limit", "2"], ["late", "asked"]),
        (["nothing"], []),
    ],
)
def test_runs_can_be_narrowed_and_widened(
    story: Story, arguments: list[str], found: list[str]
) -> None:
    """By workflow, to those that are stuck, to those that are over as well, and to so many."""
    assert conversations(*arguments) == found


def test_runs_json_is_what_programs_are_promised(story: Story) -> None:
    """Of each run where it is, how far, since when, what is stuck; and how many there are in all."""
    value = json.loads(called("--limit", "1", "--json").stdout)

    assert value["total"] == 3
    assert value["runs"] == [
        {
            "conversation": "late",
            "workflow": "work",
            "status": "running",
            "started_by": "m-late",
            "started_at": "2026-01-01T00:00:00.000Z",
            "ms": 100_000,
            "stuck": ["a"],
            "waits_for": ["! a: ann 40 s ago"],
        }
    ]


def test_runs_that_are_more_than_the_limit_are_counted(story: Story) -> None:
    """What is not shown is not kept quiet."""
    told = called("--limit", "1")

    assert len(told.stdout.splitlines()) == 2
    assert "2 more; --limit shows them" in told.stderr


def test_runs_where_none_is_stuck_says_so(story: Story) -> None:
    """Nothing on stdout, and an answer that is no error."""
    told = called("other", "--stuck")

    assert (told.exit_code, told.stdout) == (0, "")
    assert "no run is stuck" in told.stderr
