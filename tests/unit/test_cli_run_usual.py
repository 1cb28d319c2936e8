"""When an open run is expected to be through: by completed runs of its workflow, and by nothing else."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from signalbox.cli import session
from signalbox.cli.facts import Fact, facts_of
from signalbox.cli.main import app
from signalbox.cli.run_usual import MIN_RUNS, Usual, usual
from signalbox.contracts.record import from_epoch_ms
from signalbox.definitions.workflow import WorkflowDefinition
from tests.support.fleets import message
from tests.support.story import T0, Story
from tests.support.workflow_world import rules_with, step, workflow

SMALL = workflow(step("a", timeout_seconds=600))
OTHER = SMALL.model_copy(update={"name": "other", "starts_on": ("other.asked",)})


def runs(told: Story, kind: str, took_ms: tuple[int, ...], begun_at: int = 0) -> None:
    """Let runs begin one after the other, each in a conversation of its own, and complete after so many ms."""
    for number, took in enumerate(took_ms):
        at = begun_at + 10_000 * number
        name = f"{kind}-{number}"
        told.arrives(message(f"m-{name}", {"n": 1}, conversation=name, type=kind), at=at)
        told.answers("ann", {"ok": 1}, at=at + took)


def facts(told: Story) -> tuple[Fact, ...]:
    return facts_of(told.records(), "")


def story(*definitions: WorkflowDefinition) -> Story:
    return Story(rules_with(*definitions))


def test_usual_is_what_half_and_nine_of_ten_completed_runs_took() -> None:
    """By the workflow's own runs: another one's, and one that failed or is open, do not count. A story decides after 5 ms."""
    told = story(SMALL, OTHER)
    runs(told, "work.asked", tuple(100 * number for number in range(1, 11)))
    runs(told, "other.asked", (9000,) * 10)
    told.arrives(message("m-x", {"n": 1}, conversation="x", type="work.asked"), at=500_000)
    told.fails("ann", "no", at=509_000)
    told.arrives(message("m-y", {"n": 1}, conversation="y", type="work.asked"), at=520_000)

    found = usual("work", facts(told))
    assert found is not None
    assert (found.runs, found.p50_ms, found.p90_ms) == (10, 505, 905)


@pytest.mark.parametrize("count", [0, MIN_RUNS - 1])
def test_usual_of_too_few_runs_is_not_said(count: int) -> None:
    """Four runs say nothing about the next one."""
    told = story(SMALL)
    runs(told, "work.asked", (100,) * count)

    assert usual("work", facts(told)) is None


def test_usual_counts_records_that_came_twice_once() -> None:
    """At least once is what the topics promise."""
    told = story(SMALL)
    runs(told, "work.asked", (100,) * (MIN_RUNS - 1))

    assert usual("work", (*facts(told), *facts(told))) is None


def test_usual_words_turn_when_a_run_takes_longer() -> None:
    """Until the time of nine of ten is over it says when, afterwards that it is not as usual."""
    known = Usual(12, 4000, 20_000)

    assert known.words(0, 5000) == (
        "usually through in 15 s: nine of ten of 12 completed runs took at most 20.00 s"
    )
    assert known.words(0, 20_001).startswith("takes longer than usual: nine of ten of 12")


def test_trace_of_an_open_run_says_when_it_is_usually_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Below the run's first line and in `--json`; of a run that is over nothing is expected any more."""
    told = story(SMALL)
    runs(told, "work.asked", (2000,) * MIN_RUNS)
    asked = message("m-z", {"n": 1}, conversation="z", type="work.asked")
    told.arrives(asked, at=100_000, decided_at=100_000)
    monkeypatch.setattr(session, "open_broker", lambda _: told.broker)
    monkeypatch.setattr(session, "now", lambda: from_epoch_ms(T0 + 101_000))

    lines = CliRunner().invoke(app, ["trace", "z"]).stdout.splitlines()
    value = json.loads(CliRunner().invoke(app, ["trace", "z", "--json"]).stdout)["workflow"]
    over = json.loads(CliRunner().invoke(app, ["trace", "work.asked-0", "--json"]).stdout)

    (place,) = [number for number, line in enumerate(lines) if "workflow work: running" in line]
    assert "usually through in 1 s: nine of ten of 5 completed runs" in lines[place + 1]
    assert value["usual"]["runs"] == MIN_RUNS
    assert "usual" not in over["workflow"]
