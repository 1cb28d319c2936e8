"""`signalbox health`: the numbers of a window from the topics, the score a person reads, and the exit code a script does."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from signalbox.cli import session
from signalbox.cli.health import length_of, read_window
from signalbox.cli.main import app
from signalbox.errors import UsageError
from signalbox.flow.window import MINUTE_MS, FlowWindow, Seen
from tests.support.fleets import agent, message
from tests.support.flow_story import END, MINUTE, flow_story
from tests.support.live_story import LiveStory, live
from tests.support.story import T0

QUARTER = 15 * MINUTE_MS


def called(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["health", *arguments])


def window(length_ms: int = QUARTER) -> FlowWindow:
    settings = session.load_settings()
    return read_window(settings, session.reach_broker(settings), length_ms)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    return flow_story(monkeypatch)


def test_window_counts_what_happened_in_it_and_what_is_open_at_its_end(story: LiveStory) -> None:
    """Replayed and discarded dead letters, a duplicate, what was answered and what is young are not among it."""
    found = window()

    assert (found.begin_ms, found.end_ms) == (T0 + 85 * MINUTE, T0 + END)
    # Two a minute and eighteen more in one, each with its answer; and those that the story tells singly.
    busy = 2 * 15 + 18
    assert (found.messages, found.paths, found.none) == (2 * busy + 7, {"explicit": busy + 3}, 0)
    assert found.outcomes == {"failed": Seen(busy + 1, "busy-85-00")}
    assert {reason: one.number for reason, one in found.dead_letters.items()} == {
        "malformed_json": 1,
        "late": 1,
    }
    assert found.undecided == Seen(1, "stuck", END - 95 * MINUTE)
    assert found.overdue == {
        "ann": Seen(2, "dead-1", END - 88 * MINUTE - 10),
        "cyd": Seen(1, "run-1", END - 80 * MINUTE),
    }
    assert found.silent == found.overdue
    assert (found.questions.number, found.late_questions.number) == (2, 1)
    assert found.late_questions.example == "p-1"
    assert (found.hops.number, found.hops.p50_ms) == (busy + 3, 106)
    assert found.hops_before.number == 32


def test_health_prints_the_score_and_a_remedy_for_every_finding(story: LiveStory) -> None:
    """The dearest first; below each what to type next."""
    told = called()
    lines = told.stdout.splitlines()

    assert told.exit_code == 0
    assert lines[0] == "Flow 0 of 100 · 12 findings · the last 15m"
    assert lines[1].startswith("103 messages · 51 decisions (0 NONE) · 49 conversations ended")
    assert lines[3] == " -25  agent-silent    ann sends no heartbeat and has 2 open tasks"
    assert sum(line.startswith("      → ") for line in lines) == 12
    assert (
        "      → `signalbox status` says whether the job runs and keeps up; `signalbox trace stuck`"
        in lines
    )


def test_health_as_json_has_score_findings_and_numbers(story: LiveStory) -> None:
    """What a program needs to decide for itself."""
    told = json.loads(called("--json").stdout)

    assert told["begin"] == "2026-01-01T01:25:00.000Z"
    assert (told["score"], told["idle"], len(told["findings"])) == (0, False, 12)
    assert told["window"]["undecided"] == {
        "number": 1,
        "example": "stuck",
        "oldest_ms": END - 95 * MINUTE,
    }


def test_health_fails_below_the_points_that_a_script_wants(story: LiveStory) -> None:
    """Exit code 1, and why on stderr; with none wanted it is 0."""
    told = called("--fail-under", "50")

    assert told.exit_code == 1
    assert "0 points are fewer than --fail-under 50" in told.stderr
    assert called("--fail-under", "0").exit_code == 0


def test_health_of_a_quiet_system_says_that_nothing_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """100 points, and not a claim that anything was well."""
    live(monkeypatch, [], {})
    told = called("--fail-under", "100")

    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        "Flow 100 of 100 · 0 findings · the last 15m",
        "nothing happened: no message, decision or outcome",
    ]


@pytest.mark.parametrize("text", ["", "15", "0m", "25h", "1d", "-5m", "٣m"])
def test_a_length_that_is_none_is_refused_with_one_that_is(text: str) -> None:
    """Minutes or hours, up to a day."""
    with pytest.raises(UsageError, match="15m, 6h"):
        length_of(text)
    assert (length_of("90m"), length_of("24h")) == (90 * MINUTE_MS, 24 * 60 * MINUTE_MS)


def test_a_task_that_was_taken_back_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Decided again as `route:2`: the first agent's task is nobody's any more."""
    from signalbox.cli.facts import facts_of
    from signalbox.cli.flow_open import open_tasks
    from signalbox.contracts.ids import dispatch_id

    story = live(
        monkeypatch,
        [],
        {},
        agents=[agent("ann", ["lead"]), agent("bob", ["lead"])],
    )
    story.arrives(message("m-1", {"lead": 1}, conversation="c", target="ann"), at=0)
    [first] = story.records("agent_tasks_ann")
    facts = list(facts_of(story.records(), ""))
    assert [one.agent for one in open_tasks("c", facts)] == ["ann"]

    [decided] = [fact.body for fact in facts if fact.topic == "agent_decisions"]
    for slot, agent_name in (("route", "ann"), ("route:2", "bob")):
        record = decided.model_copy(update={"slot": slot, "agent": agent_name})
        from tests.support.flow_story import write

        write(story, "agent_decisions", "c", record, 100)
        task = facts_of([first], "")[0].body.evolve(id=dispatch_id("m-1", slot), target=agent_name)
        write(story, f"agent_tasks_{agent_name}", "c", task, 100)
    tasks = [one for one in open_tasks("c", facts_of(story.records(), "")) if one.at_ms > T0]

    assert [one.agent for one in tasks] == ["bob"]
