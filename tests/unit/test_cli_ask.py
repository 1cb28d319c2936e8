"""`signalbox ask`: what is checked before anything is sent, what is shown while it runs, and how it ends."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from connectors.broker import BrokerError
from connectors.scripted_model import ScriptedChatModel
from signalbox.cli import ask, session
from signalbox.cli.ask_seen import PlannedTask, PromptSeen, prompt_seen
from signalbox.cli.ask_view import files_of, live_lines
from signalbox.cli.facts import facts_of
from signalbox.cli.main import app
from signalbox.contracts.image import MAX_IMAGE_BYTES
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.loader import load_fleet
from tests.support.crew import DEFINITIONS
from tests.support.live_story import LiveStory
from tests.support.research_story import find, research
from tests.support.workflow_world import NAMES, rules_with

runner = CliRunner()
FLEET = load_fleet(DEFINITIONS / "research")
WORKFLOW = FLEET.workflows["answer_prompt"]
PNG = b"\x89PNG\r\n\x1a\n and so on"


def called(*arguments: str, typed: str | None = None) -> Result:
    return runner.invoke(app, ["ask", *arguments], input=typed)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LiveStory:
    """The fleet without a model."""
    return research(monkeypatch, tmp_path)


# --- the way through --------------------------------------------------------------------------------------------------


def test_answer_is_on_stdout_and_the_plan_as_it_goes_on_stderr(story: LiveStory) -> None:
    """A pipe gets the answer alone; a person reads besides who did what, and for how long."""
    result = called("What is a signal box?")

    assert result.exit_code == 0
    assert result.stdout.startswith("No model was asked. This puts together")
    assert "+" not in result.stdout
    told = [line.split(maxsplit=2)[2] for line in result.stderr.splitlines() if "+" in line[:9]]
    assert told == [
        "▶ plan → planner",
        "✓ plan  100 ms",
        "plan: 2 tasks: research researcher; write writer after research",
        "▶ plan_research → researcher",
        "✓ plan_research  95 ms",
        "▶ plan_write → writer",
        "✓ plan_write  95 ms",
        "▶ answer → synthesizer",
        "✓ answer  95 ms",
    ]
    assert "completed after " in result.stderr


def test_json_is_one_object_with_the_plan_and_nothing_else(story: LiveStory) -> None:
    """Every task with its agent, needs, status, time and result; nothing on stderr."""
    result = called("What is a signal box?", "--json")
    told = json.loads(result.stdout)

    assert result.exit_code == 0
    assert result.stderr == ""
    assert set(told) == {"conversation", "status", "answer", "plan", "seconds", "tokens", "files"}
    assert (told["status"], told["files"], told["tokens"]) == ("completed", [], 0)
    assert told["answer"].startswith("No model was asked.")
    assert [
        (one["id"], one["agent"], one["needs"], one["status"], one["seconds"])
        for one in told["plan"]
    ] == [
        ("research", "researcher", [], "done", 0.095),
        ("write", "writer", ["research"], "done", 0.095),
    ]
    assert told["plan"][0]["task"].startswith("Find out")
    assert told["plan"][0]["result"]["points"] == ["What is a signal box?"]


def test_prompt_is_sent_once_in_a_conversation_of_its_own_or_the_one_that_is_named(
    story: LiveStory,
) -> None:
    """One message of type `prompt.submitted` from `cli`, its words without the space around them."""
    called("  Why? ", "--json")
    named = json.loads(called("Why?", "--conversation", "mine", "--json").stdout)

    first, second = [one for one in story.received if one.type == "prompt.submitted"]
    assert (first.source, first.data) == ("cli", {"prompt": "Why?"})
    assert first.subject.startswith("ask-")
    assert second.subject == named["conversation"] == "mine"


def test_second_prompt_of_a_conversation_has_an_answer_of_its_own(story: LiveStory) -> None:
    """A conversation that ended takes the next prompt, and is not told the first one's outcome."""
    called("What is a signal box?", "--conversation", "mine")
    told = json.loads(called("Write Python code.", "--conversation", "mine", "--json").stdout)

    assert told["status"] == "completed"
    assert [one["agent"] for one in told["plan"]] == ["coder"]


def test_dash_reads_the_prompt_from_a_pipe(story: LiveStory) -> None:
    """All of it, line breaks too."""
    called("-", "--json", typed="Why\nis that?\n")

    assert story.received[0].data == {"prompt": "Why\nis that?"}


def test_chart_is_named_where_it_is(story: LiveStory, tmp_path: Path) -> None:
    """The file's path leads to the file, for a person and for a program."""
    prompt = "Draw a bar chart: Berlin 3.7, Hamburg 1.9"
    shown = called(prompt).stdout.splitlines()[-1]
    (file,) = json.loads(called(prompt, "--json").stdout)["files"]

    assert shown.startswith(f"chart: {tmp_path / 'outbox'}")
    assert shown.endswith("(960 × 540, image/png)")
    assert Path(file["path"]).read_bytes().startswith(b"\x89PNG")
    assert (file["task"], file["media_type"]) == ("chart", "image/png")


def test_image_is_sent_as_what_it_is(story: LiveStory, tmp_path: Path) -> None:
    """The file's bytes as a data URI of the kind that they are, whatever its name says."""
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(PNG)
    called("What is this?", "--image", str(picture), "--json")

    head, _, data = story.received[0].data["image"].partition(",")
    assert (head, base64.b64decode(data)) == ("data:image/png;base64", PNG)


# --- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", "  \n "])
def test_empty_prompt_is_misuse(story: LiveStory, prompt: str) -> None:
    """Nothing is sent."""
    result = called(prompt)

    assert (result.exit_code, story.received) == (2, [])
    assert "the prompt is empty" in result.stderr


def test_nothing_in_the_pipe_is_misuse(story: LiveStory) -> None:
    """Also by way of stdin."""
    assert called("-", typed="").exit_code == 2


def test_prompt_that_the_workflow_does_not_take_is_misuse(story: LiveStory) -> None:
    """Its own contract says what is wrong."""
    result = called("x" * 8001)

    assert (result.exit_code, story.received) == (2, [])
    assert "answer_prompt does not take this prompt: prompt" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"<svg/>", "no image that is taken"),
        (PNG.ljust(MAX_IMAGE_BYTES + 1, b"x"), f"more than {MAX_IMAGE_BYTES} bytes"),
    ],
)
def test_file_that_is_no_picture_is_misuse(
    story: LiveStory, tmp_path: Path, content: bytes | None, said: str
) -> None:
    """Missing, empty, another kind, too large: said with the file's name, and nothing is sent."""
    file = tmp_path / "picture.png"
    if content is not None:
        file.write_bytes(content)
    result = called("What is this?", "--image", str(file))

    assert (result.exit_code, story.received) == (2, [])
    assert said in result.stderr
    assert str(file) in result.stderr


def test_largest_picture_beside_the_longest_prompt_may_be_too_much_and_says_so(
    story: LiveStory, tmp_path: Path
) -> None:
    """What the job would not admit is not sent: 8,000 characters may be 32,000 bytes."""
    file = tmp_path / "picture.png"
    file.write_bytes(PNG.ljust(MAX_IMAGE_BYTES, b"x"))

    assert called("x" * 8000, "--image", str(file)).exit_code != 2
    result = called("漢" * 8000, "--image", str(file))
    assert result.exit_code == 2
    assert "nothing was sent" in result.stderr


def test_no_workflow_that_takes_prompts_is_misuse_and_says_what_to_apply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The remedy is a command."""
    rules = rules_with()
    story = LiveStory(rules, {})
    find(monkeypatch, story, ActiveSet.of([]))
    result = called("Why?")

    assert (result.exit_code, story.received) == (2, [])
    assert "signalbox agents apply agent_definitions/research" in result.stderr
    assert NAMES


def test_no_stack_is_misuse_and_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was asked, so there is no answer that could be no."""

    def nobody(_: Any) -> None:
        raise BrokerError("no broker answers; start one with `signalbox up`")

    monkeypatch.setattr(session, "require_broker", nobody)
    result = called("Why?")

    assert result.exit_code == 2
    assert "signalbox up" in result.stderr


# --- no answer --------------------------------------------------------------------------------------------------------


def test_refused_plan_ends_with_1_and_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each refusal is told as it comes, and why there is no answer at the end."""
    bad = {"tasks": [{"id": "a", "agent": "wizard", "description": "Do.", "needs": []}]}
    research(monkeypatch, tmp_path, ScriptedChatModel({"planner": bad}, name="ollama/x"))
    result = called("Why?")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "choose one of researcher" in result.stderr
    assert result.stderr.splitlines()[-1].startswith(
        "failed: workflow answer_prompt: step plan: the plan of planner was refused"
    )


def test_refused_plan_as_json_has_no_answer_and_its_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The object is whole, the reason is on stderr."""
    bad = {"tasks": [{"id": "a", "agent": "wizard", "description": "Do.", "needs": []}]}
    research(monkeypatch, tmp_path, ScriptedChatModel({"planner": bad}, name="ollama/x"))
    result = called("Why?", "--json")
    told = json.loads(result.stdout)

    assert result.exit_code == 1
    assert (told["status"], told["answer"], told["plan"]) == ("failed", None, [])
    assert "refused" in result.stderr


def test_task_that_is_skipped_is_shown_and_the_answer_comes_all_the_same(story: LiveStory) -> None:
    """A plan that goes on without one of its tasks has an answer."""
    result = called("Draw a chart.")
    told = json.loads(called("Draw a chart.", "--json").stdout)

    assert result.exit_code == 0
    assert "✗ plan_chart failed and is skipped: chart_maker: no numbers" in result.stderr
    assert [(one["id"], one["status"]) for one in told["plan"]] == [("chart", "skipped")]
    assert "result" not in told["plan"][0]


def test_agent_that_fails_for_good_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a synthesizer's answer there is none."""
    research(monkeypatch, tmp_path, synthesizer=lambda _: {"detail": "out of words"})
    result = called("What is a signal box?")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "out of words" in result.stderr.splitlines()[-1]


def test_time_that_is_over_ends_with_1_and_how_to_look_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The conversation goes on; the plan so far is in the JSON."""
    story = research(monkeypatch, tmp_path, writer=None)
    result = called("What is a signal box?", "--timeout", "1", "--json")
    told = json.loads(result.stdout)

    assert result.exit_code == 1
    assert f"signalbox trace {story.received[0].subject}" in result.stderr
    assert (told["status"], told["answer"]) == (None, None)
    assert [(one["id"], one["status"], one["seconds"]) for one in told["plan"]] == [
        ("research", "done", 0.095),
        ("write", "running", None),
    ]


def test_second_prompt_in_a_conversation_that_is_busy_is_not_taken_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its dead letter is the reason."""
    research(monkeypatch, tmp_path, writer=None)
    called("What is a signal box?", "--timeout", "1", "--conversation", "mine")
    result = called("And a semaphore?", "--conversation", "mine")

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("not taken up: overloaded")


def test_ctrl_c_leaves_the_conversation_running_and_says_how_to_find_it(
    story: LiveStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 130, as a shell expects."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ask, "prompt_seen", interrupted)
    result = called("What is a signal box?")

    assert result.exit_code == 130
    assert f"signalbox trace {story.received[0].subject}" in result.stderr


# --- views ------------------------------------------------------------------------------------------------------------


def seen_after(story: LiveStory, count: int | None = None) -> PromptSeen:
    """What is seen of the first prompt after so many records."""
    facts = facts_of(story.records()[:count], "")
    return prompt_seen(story.received[0], facts)


def test_live_view_shows_each_task_with_status_agent_and_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Done, running, waiting: the plan's tasks hang below the step that planned them."""
    story = research(monkeypatch, tmp_path, writer=None)
    called("What is a signal box?", "--timeout", "1", "--json")
    seen = seen_after(story)
    drawn = live_lines(seen, WORKFLOW, sent_ms=story.now_ms - 1000, now_ms=story.now_ms, width=100)
    rows = [line.text.split() for line in drawn]

    expected = [
        ("✓", "plan", "planner", "done"),
        ("✓", "plan_research", "researcher", "done"),
        ("▶", "plan_write", "writer", "running"),
        ("·", "answer", "synthesizer", "waits"),
    ]
    told = [row for row in rows if row[0] in "✓▶·"]
    assert [set(one) - set(row) for one, row in zip(expected, told, strict=True)] == [set()] * 4
    assert told[1][told[1].index("done") - 2 : told[1].index("done")] == ["95", "ms"]


def test_live_view_before_anything_is_decided_says_that_it_was_sent() -> None:
    """There is something to see from the first moment on."""
    nothing = PromptSeen(run=None, outcome=None, not_started=None)
    (line,) = live_lines(nothing, WORKFLOW, sent_ms=1000, now_ms=3500, width=80)

    assert line.text == "sent, 2.50 s ago"


def test_live_view_on_a_terminal_ends_with_every_step_done(story: LiveStory) -> None:
    """What is left on the screen is the run as it came out."""
    called("What is a signal box?", "--json")
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    seen = ask.live([seen_after(story, 3), seen_after(story)], story.received[0], WORKFLOW, console)
    shown = screen.getvalue()

    assert seen.is_over
    assert "completed after" in shown
    assert shown.rindex("plan_write") < shown.rindex("answer")


def test_order_of_records_across_topics_makes_no_difference(story: LiveStory) -> None:
    """Topics are read side by side: however their records are mixed, the same is seen at last."""
    called("What is a signal box?", "--json")
    facts = facts_of(story.records(), "")
    seen = prompt_seen(story.received[0], facts)

    assert prompt_seen(story.received[0], facts[::-1]).plan == seen.plan
    assert len(seen.plan) == 2


def test_path_outside_the_outbox_is_not_followed(tmp_path: Path) -> None:
    """An agent's answer names a file; only below the outbox is it looked for."""
    (tmp_path / "outbox" / "a").mkdir(parents=True)
    (tmp_path / "outbox" / "a" / "chart.png").touch()
    (tmp_path / "secret").touch()
    task = PlannedTask("chart", "x", "…", (), "done", 0.1, None)

    def found(path: Any) -> list[str]:
        named = replace(task, result={"file": path})
        return [file["path"] for file in files_of((named,), tmp_path / "outbox")]

    assert found({"path": "a/chart.png"}) == [str(tmp_path / "outbox" / "a" / "chart.png")]
    assert found({"path": "../secret"}) == ["../secret"]
    assert found({"path": "a/../../secret"}) == ["a/../../secret"]
    assert found({"path": "b/missing.png"}) == ["b/missing.png"]
    assert found({"path": 7}) == found("a/chart.png") == []
