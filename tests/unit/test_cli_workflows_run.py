"""`signalbox workflows run` and `cancel`: what is checked before anything is sent, what is shown, and how they end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from signalbox.cli.main import app
from tests.support.fleets import message
from tests.support.live_story import LiveStory, live
from tests.support.workflow_world import step, workflow

runner = CliRunner()

ANSWERS = {
    "ann": lambda task: {"by": "ann", **task.data},
    "bob": lambda _: {"by": "bob"},
    "undo": lambda _: {"undone": True},
}
STEPS = (step("a", undo=True), step("b", "a", by="bob", input={"x": "{{ steps.a.n }}"}))


def started(patch: pytest.MonkeyPatch, **answers: Any) -> LiveStory:
    return live(
        patch, [workflow(*STEPS, result={"n": "{{ data.n }}", "by": "{{ steps.b.by }}"})], answers
    )


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> LiveStory:
    """A workflow `work` whose two steps are answered."""
    return started(monkeypatch, **ANSWERS)


def called(*arguments: str, typed: str | None = None) -> Result:
    return runner.invoke(app, ["workflows", *arguments], input=typed)


def test_run_shows_the_steps_as_they_go_and_prints_outcome_and_result(story: LiveStory) -> None:
    """What is given out and answered, then the outcome, then its result as JSON; exit code 0, because it completed."""
    result = called("run", "work", '{"n": 3}')

    assert result.exit_code == 0
    assert result.stdout.splitlines()[:4] == [
        "  +100 ms  ▶ a → ann",
        "  +200 ms  ✓ a  100 ms",
        "  +205 ms  ▶ b → bob",
        "  +300 ms  ✓ b  95 ms",
    ]
    outcome, _, written = result.stdout.partition("■ ")[2].partition("\n")
    assert outcome.startswith("completed after ")
    assert json.loads(written) == {"n": 3, "by": "bob"}


def test_run_sends_one_message_of_a_type_that_starts_the_workflow(story: LiveStory) -> None:
    """From `cli`, in a new conversation, with the data as it was given."""
    called("run", "work", '{"n": 3}')
    called("run", "work", '{"n": 4}', "--conversation", "mine")

    first, second = story.received
    assert (first.type, first.source, first.data) == ("work.asked", "cli", {"n": 3})
    assert first.subject != second.subject == "mine"


@pytest.mark.parametrize("source", ["-", "@"])
def test_run_takes_its_data_from_a_pipe_or_a_file(
    story: LiveStory, source: str, tmp_path: Any
) -> None:
    """`-` reads standard input, `@FILE` a file."""
    (tmp_path / "data.json").write_text('{"n": 7}')
    given = "-" if source == "-" else f"@{tmp_path / 'data.json'}"
    called("run", "work", given, typed='{"n": 7}')

    assert story.received[0].data == {"n": 7}


def test_run_json_is_one_object_with_the_steps(story: LiveStory) -> None:
    """Nothing else on stdout: status, result and each step with its needs and times."""
    told = json.loads(called("run", "work", '{"n": 3}', "--json").stdout)

    assert (told["status"], told["result"]) == ("completed", {"n": 3, "by": "bob"})
    steps = told["run"]["steps"]
    assert [(one["id"], one["status"], one["needs"], one["ms"]) for one in steps] == [
        ("a", "done", [], 100),
        ("b", "done", ["a"], 95),
    ]


def test_run_that_does_not_complete_ends_with_1_and_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The failed step, its undoing and the outcome's detail are told."""
    started(monkeypatch, **{**ANSWERS, "bob": lambda _: {"detail": "no van"}})
    result = called("run", "work", '{"n": 3}')

    assert result.exit_code == 1
    assert "✗ b failed: bob: no van" in result.stdout
    assert "↩ a is undone by undo" in result.stdout
    assert "■ compensated after" in result.stdout
    assert "step b: bob: no van; undone: a" in result.stdout


def test_run_that_is_not_over_in_time_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on: exit code 1, with what follows it and what stops it."""
    story = started(monkeypatch)
    result = called("run", "work", '{"n": 3}', "--timeout", "1")

    assert result.exit_code == 1
    conversation = story.received[0].subject
    assert f"signalbox trace {conversation}" in result.stderr
    assert f"signalbox workflows cancel {conversation}" in result.stderr


def test_run_without_waiting_prints_the_conversation(story: LiveStory) -> None:
    """The id alone on stdout, for a script."""
    result = called("run", "work", '{"n": 3}', "--no-wait")

    assert (result.exit_code, result.stdout) == (0, f"{story.received[0].subject}\n")


def test_run_of_a_step_that_waits_tells_the_command_that_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person is asked: the reason, until when, the default, and what to type."""
    asked = step("a", approve={"reason": "pay {{ data.n }}?", "deadline_seconds": 3600})
    live(monkeypatch, [workflow(asked)], ANSWERS)
    result = called("run", "work", '{"n": 3}', "--timeout", "1")

    assert "? a waits for a person, due in 1 h 0 min, else reject: pay 3?" in result.stdout
    assert "signalbox approvals approve approval-" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wrk", "{}"], "did you mean work?; active: work"),
        (["fly", "{}"], "there are work"),
        (["work", '{"m": 1}'], "work does not take the data: n: required"),
        (["work"], "n: required"),
        (["work", "{"], "DATA is not JSON"),
        (["work", "[1]"], "DATA is a JSON list"),
        (["work", "@/nowhere.json"], "name a file that can be read"),
        (["work", '{"n": 1}', "--conversation", "a\nb"], "without control characters"),
    ],
)
def test_run_that_is_misused_sends_nothing(
    story: LiveStory, arguments: list[str], words: str
) -> None:
    """Exit code 2, what is wrong and what is right, before anything is on a topic."""
    result = called("run", *arguments)

    assert (result.exit_code, story.received) == (2, [])
    assert words in result.stderr


def test_run_where_another_workflow_would_start_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two that take the data the first by name starts: the command for the other one says so and sends nothing."""
    both = [workflow(step("a"), name=name) for name in ("early", "late")]
    story = live(monkeypatch, both, ANSWERS)
    refused = called("run", "late", '{"n": 1}')
    taken = called("run", "early", '{"n": 1}')

    assert (refused.exit_code, taken.exit_code, len(story.received)) == (2, 0, 1)
    assert "work.asked starts early" in refused.stderr
    assert "give late a type of its own in `starts_on`" in refused.stderr


def test_run_uses_the_first_type_by_which_the_named_workflow_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A type that another workflow takes first is passed over."""
    both = [
        workflow(step("a"), name="early"),
        workflow(step("a"), name="late", starts_on=["work.asked", "work.wanted"]),
    ]
    story = live(monkeypatch, both, ANSWERS)

    assert called("run", "late", '{"n": 1}').exit_code == 0
    assert story.received[0].type == "work.wanted"


def test_run_in_a_conversation_where_one_runs_already_says_why_it_did_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its message is a dead letter: exit code 1 with the engine's words."""
    started(monkeypatch)
    called("run", "work", '{"n": 1}', "--conversation", "c", "--no-wait")
    result = called("run", "work", '{"n": 2}', "--conversation", "c")

    assert result.exit_code == 1
    assert "not started: overloaded: workflow work runs in this one already" in result.stderr


def test_cancel_stops_the_run_and_says_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who and why are in the record that it waits for; exit code 0."""
    story = started(monkeypatch)
    called("run", "work", '{"n": 1}', "--conversation", "c", "--no-wait")
    result = called("cancel", "c", "--reason", "wrong", "--by", "ada")

    assert result.exit_code == 0
    assert "workflow work is stopped: cancelled by ada: wrong" in result.stdout
    start, cancelled = story.received
    assert cancelled.data == {
        "reason": "wrong",
        "cancelled_by": "ada",
        "started_by": start.id,
    }


def test_cancel_with_wait_shows_what_is_undone_and_the_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only what happens from now on is told; the outcome is `cancelled`."""
    answers = {"ann": ANSWERS["ann"], "undo": ANSWERS["undo"]}
    steps = (step("a", undo=True), step("b", "a", by="bob", approve={"reason": "?"}))
    live(monkeypatch, [workflow(*steps)], answers)
    called("run", "work", '{"n": 1}', "--conversation", "c", "--no-wait")
    result = called("cancel", "c", "--wait")

    assert result.exit_code == 0
    assert "▶ a → ann" not in result.stdout
    assert "■ cancelled by cli" in result.stdout
    assert "↩ a is undone by undo" in result.stdout
    assert "■ cancelled after" in result.stdout


def test_cancel_json_has_record_and_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """For programs: who cancelled, and the status once it is there."""
    live(monkeypatch, [workflow(step("a", approve={"reason": "?"}))], {})
    called("run", "work", '{"n": 1}', "--conversation", "c", "--no-wait")
    told = json.loads(called("cancel", "c", "--by", "ada", "--json").stdout)

    assert (told["status"], told["cancelled"]) == ("cancelled", "cancelled by ada")


@pytest.mark.parametrize(
    ("conversation", "words"),
    [
        ("done", "workflow work is over already: completed"),
        ("plain", "no workflow ran in conversation 'plain'"),
        ("nowhere", "no record of conversation 'nowhere'"),
    ],
)
def test_cancel_of_nothing_sends_nothing(story: LiveStory, conversation: str, words: str) -> None:
    """Exit code 1 with what is known; no message that would become a dead letter."""
    called("run", "work", '{"n": 1}', "--conversation", "done")
    story.arrives(message("p-1", {"z": 1}, conversation="plain"), at=9000)
    count = len(story.received)
    result = called("cancel", conversation)

    assert (result.exit_code, len(story.received)) == (1, count)
    assert words in result.stderr


def test_cancel_that_comes_too_late_says_what_the_engine_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is being undone already: exit code 1 and the cause."""
    story = started(monkeypatch, ann=ANSWERS["ann"], bob=lambda _: {"detail": "no van"})
    called("run", "work", '{"n": 1}', "--conversation", "c", "--no-wait")
    result = called("cancel", "c")

    assert len(story.tasks) == 1
    assert result.exit_code == 1
    assert "not cancelled: workflow work has stopped already and is undone" in result.stderr


def test_cancel_that_nobody_takes_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job does not run: exit code 1, and where to look."""
    story = started(monkeypatch)
    called("run", "work", '{"n": 1}', "--conversation", "c", "--no-wait")
    story.is_running = False
    result = called("cancel", "c", "--timeout", "1")

    assert result.exit_code == 1
    assert "is the job running?" in result.stderr
