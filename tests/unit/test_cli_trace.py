"""`trace` and `explain`: what a person reads about a conversation, from records the real reducer made."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from signalbox.cli import session
from signalbox.cli.explain_view import explanation_of
from signalbox.cli.explain_view import lines_of as explain_lines
from signalbox.cli.facts import facts_of
from signalbox.cli.main import app
from signalbox.cli.moments import duration
from signalbox.cli.trace_view import as_json, lines_of, trace_of
from signalbox.contracts.chat import ChatAnswer
from tests.support.fleets import agent, message, rulebook
from tests.support.story import Story

runner = CliRunner()


@pytest.fixture
def story() -> Story:
    """A lead that two writers could take, a model that chooses, and a sender."""
    rules = rulebook(
        agent("research", ["lead"], answers="lead.enriched"),
        agent("outreach", ["lead", "report"], answers="mail.written"),
        agent("nurture", ["lead", "report"], answers="mail.written"),
        agent("send", ["mail"], answers="mail.sent", handoffs=[]),
        policy={"completes_on": ["mail.sent"]},
    )
    told = Story(rules)
    told.arrives(message("m-1", {"lead": "Ada"}, conversation="ada"), at=0, decided_at=12)
    told.answers("research", {"lead": "Ada", "report": "…"}, at=40, kind="lead.enriched", id="m-2")
    answer = '{"agent": "outreach", "reason": "She asks for a call.", "confidence": 0.8}'
    said = ChatAnswer(text=answer, model="ollama/llama3.2", tokens_in=300, tokens_out=20)
    told.model_says(said, at=360)
    told.answers("outreach", {"mail": "Dear Ada"}, at=1500, kind="mail.written", id="m-3")
    told.answers("send", {"sent": True}, at=1600, kind="mail.sent", id="m-4")
    told.arrives(message("x-1", {"nothing": 1}, conversation="other"), at=50)
    return told


@pytest.fixture
def on_story(story, monkeypatch) -> Story:
    """The commands talk to the story's broker."""
    monkeypatch.setattr(session, "open_broker", lambda _: story.broker)
    return story


GOLDEN = """\
ada: completed in 1.59 s, 3 hops, 320 tokens

    +0 ms  ● lead.submitted     from cli
             m-1
   +12 ms    └─ research           by contract  (12 ms)
                only research accepts the data
   +40 ms  ● lead.enriched      from agent/research · after 28 ms
             m-2
  +360 ms    └─ outreach           by model, ollama/llama3.2, confidence 0.80  (320 ms)
                She asks for a call.
  +1.50 s  ● mail.written       from agent/outreach · after 1.14 s
             m-3
  +1.50 s    └─ send               by contract  (5 ms)
                only send accepts the data
  +1.60 s  ● mail.sent          from agent/send · after 95 ms
             m-4
             └─ NONE               by contract
                mail.sent completes the conversation; the sender may hand off to nobody
  +1.60 s  ■ completed  mail.sent completes the conversation"""


def test_trace_of_a_whole_conversation_reads_as_a_timeline(story):
    """Messages, decisions with their reasons, answers with their times, and the outcome stand in order."""
    found = trace_of("ada", facts_of(story.records(), ""))

    assert found is not None
    assert [line.text for line in lines_of(found)] == GOLDEN.splitlines()


def test_trace_leaves_other_conversations_out(story):
    """Only the asked conversation's records are in its trace."""
    found = trace_of("other", facts_of(story.records(), ""))

    assert found is not None
    assert [step.message.id for step in found.steps] == ["x-1"]


def test_trace_of_a_duplicate_message_counts_it_once(story):
    """The same id twice is one step that says how often it arrived."""
    story.arrives(message("m-1", {"lead": "Ada"}, conversation="ada"), at=2000)

    found = trace_of("ada", facts_of(story.records(), ""))

    assert found is not None
    assert [step.message.id for step in found.steps] == ["m-1", "m-2", "m-3", "m-4"]
    assert found.steps[0].duplicates == 1


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"state": "assigned", "attempt": 1}, "taken up"),
        ({"state": "assigned", "attempt": 3}, "taken up, attempt 3"),
        ({"state": "working", "status": "reading page 3", "percent": 40}, "40 %: reading page 3"),
        ({"state": "working", "status": "nearly there"}, "nearly there"),
        ({"state": "working", "percent": 62.5}, "62.5 %: still working"),
        ({}, "still working"),
    ],
)
def test_trace_shows_how_far_a_task_is(story, data, line):
    """A status stands in the timeline with what it says, and whether the agent took the task up or works on it."""
    story.arrives(message("m-9", {"lead": "Bob"}, conversation="bob"), at=0)
    story.answers("research", data, at=50, kind="task.status", id="s-1")
    found = trace_of("bob", facts_of(story.records(), ""))

    assert found is not None
    told = [one.text for one in lines_of(found)]
    (place,) = [number for number, one in enumerate(told) if "task.status" in one]
    assert "from agent/research" in told[place]
    assert told[place + 2].strip() == f"└─ {line}"


def test_trace_json_has_hop_and_agent_times(story):
    """Programs read the same times a person does."""
    found = trace_of("ada", facts_of(story.records(), ""))

    assert found is not None
    value = as_json(found)
    assert value["status"] == "completed"
    assert [task["hop_ms"] for step in value["steps"] for task in step["tasks"]] == [12, 320, 5]
    assert [step["agent_ms"] for step in value["steps"]] == [None, 28, 1140, 95]


def test_trace_of_a_late_answer_shows_its_dead_letter(story):
    """A dead letter stands under the message that became it."""
    story.arrives(
        message("late-1", {"lead": "Ada"}, conversation="ada", source="agent/research"), at=3000
    )

    found = trace_of("ada", facts_of(story.records(), ""))

    assert found is not None
    assert [letter.reason for letter in found.steps[-1].dead_letters] == ["late"]


def test_trace_command_prints_json_only(on_story):
    """`--json` leaves nothing but one object on stdout."""
    result = runner.invoke(app, ["trace", "ada", "--json"])

    assert result.exit_code == 0
    assert json.loads(result.stdout)["conversation"] == "ada"


def test_trace_command_of_an_unknown_conversation_answers_no(on_story):
    """Exit code 1, nothing on stdout, and where ids come from."""
    result = runner.invoke(app, ["trace", "nobody"])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "signalbox send" in result.stderr


def test_explain_of_a_model_decision_names_everything_it_fell_by(story):
    """Candidates with their contracts' words, path, model, cost, answer and versions are told."""
    found = explanation_of("m-2", facts_of(story.records(), ""))

    assert found is not None
    text = "\n".join(line.text for line in explain_lines(found))
    for words in (
        "→ outreach",
        "model: more than one contract accepts the data, so a model was asked",
        "She asks for a call.",
        "ollama/llama3.2, 1 attempt",
        "300 tokens in, 20 out",
        "0.80",
        "✗ research",
        "report: not expected",
        "✓ outreach",
        found.decisions[0].definitions_digest,
    ):
        assert words in text


def test_explain_of_a_task_explains_its_message(story):
    """A task id leads to the message it was made of."""
    task = json.loads(story.records("agent_tasks_outreach")[0].value or b"")

    found = explanation_of(task["id"], facts_of(story.records(), ""))

    assert found is not None
    assert found.message_id == "m-2"


def test_explain_of_a_message_that_waits_says_so(story):
    """A message without a decision is not unknown."""
    story.arrives(message("m-9", {"lead": "Ada", "report": "…"}, conversation="waiting"), at=10)

    found = explanation_of("m-9", facts_of(story.records(), ""))

    assert found is not None
    assert "not decided yet" in list(explain_lines(found))[-1].text


def test_explain_command_of_an_unknown_message_answers_no(on_story):
    """Exit code 1 and how to find ids."""
    result = runner.invoke(app, ["explain", "nothing"])

    assert result.exit_code == 1
    assert "signalbox trace" in result.stderr


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 ms"), (999, "999 ms"), (1000, "1.00 s"), (59_999, "60.00 s"), (185_000, "3 min 5 s")],
)
def test_duration_has_the_unit_a_person_would_take(milliseconds, text):
    """Times are written in the largest unit that still says something."""
    assert duration(milliseconds) == text
