"""`dlq`: finding dead letters and trying them once more."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from connectors.topic_reader import read_topic
from signalbox.cli import session
from signalbox.cli.dead_letters import entries_of, raw_value, replay_of
from signalbox.cli.facts import facts_of
from signalbox.cli.main import app
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.ids import replay_id
from tests.support.fleets import agent, message, rulebook
from tests.support.story import Story

runner = CliRunner()
AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def story(monkeypatch) -> Story:
    """Two dead letters: an unknown target, and a value that is no JSON."""
    told = Story(rulebook(agent("research", ["lead"])))
    told.arrives(message("m-1", {"lead": 1}, conversation="ada", target="nobody"), at=0)
    broken = DeadLetter.of(
        b"{oops", topic="agent_messages", key="bob", reason="malformed_json", detail="not JSON",
        failed_at=AT,
    )  # fmt: skip
    told.now_ms += 10
    told.broker.producer().send("agent_messages_dlq", key=b"bob", value=broken.to_json())
    monkeypatch.setattr(session, "open_broker", lambda _: told.broker)
    return told


def sent(story: Story) -> list[Envelope]:
    records = story.records("agent_messages")
    return [m for m in (Envelope.from_json(r.value or b"") for r in records) if m.source == "cli"]


def test_list_shows_reason_message_and_what_was_wrong(story):
    """Oldest first, with a count by reason on stderr."""
    result = runner.invoke(app, ["dlq", "list"])

    assert result.exit_code == 0
    assert result.stdout.index("unknown_agent") < result.stdout.index("malformed_json")
    assert "m-1" in result.stdout
    assert "2 dead letters" in result.stderr


def test_list_by_reason_leaves_the_others_out(story):
    """`--json` gives the records without their values."""
    result = runner.invoke(app, ["dlq", "list", "--reason", "unknown_agent", "--json"])

    (entry,) = json.loads(result.stdout)
    assert entry["message_id"] == "m-1"
    assert "value" not in entry


def test_list_by_an_unknown_reason_is_misuse(story):
    """The reasons that exist are named."""
    result = runner.invoke(app, ["dlq", "list", "--reason", "bad"])

    assert result.exit_code == 2
    assert "malformed_json" in result.stderr


def test_show_raw_prints_the_original_bytes(story):
    """What `show --raw` saves can be mended and sent."""
    place = entries_of(facts_of(story.records(), ""))[1].place

    assert runner.invoke(app, ["dlq", "show", place, "--raw"]).stdout_bytes == b"{oops"


def test_show_of_an_unknown_one_answers_no(story):
    """Exit code 1 and where places come from."""
    result = runner.invoke(app, ["dlq", "show", "9:9"])

    assert result.exit_code == 1
    assert "dlq list" in result.stderr


def test_replay_sends_a_new_id_with_the_original_as_cause(story):
    """Conversation, type and data stay; the engine's own fields do not."""
    result = runner.invoke(app, ["dlq", "replay", "m-1", "--yes"])

    replayed = sent(story)[-1]
    assert result.exit_code == 0
    assert replayed.id == replay_id("m-1", 0)
    assert replayed.causationid == "m-1"
    assert (replayed.subject, replayed.type, replayed.data) == (
        "ada",
        "lead.submitted",
        {"lead": 1},
    )


def test_replay_by_reason_leaves_out_what_was_replayed_before(story):
    """Running it twice does not send twice; naming the message does, under another id."""
    runner.invoke(app, ["dlq", "replay", "--reason", "unknown_agent", "--yes"])

    again = runner.invoke(app, ["dlq", "replay", "--reason", "unknown_agent", "--yes"])
    named = runner.invoke(app, ["dlq", "replay", "m-1", "--yes"])

    assert again.exit_code == 1
    assert named.exit_code == 0
    assert [m.id for m in sent(story)] == ["m-1", replay_id("m-1", 0), replay_id("m-1", 1)]


def test_replay_dry_run_sends_nothing(story):
    """It says what it would do."""
    result = runner.invoke(app, ["dlq", "replay", "m-1", "--dry-run"])

    assert result.exit_code == 0
    assert "would replay m-1" in result.stdout
    assert len(sent(story)) == 1


def test_replay_without_a_terminal_needs_yes(story):
    """A script must say that it means it."""
    result = runner.invoke(app, ["dlq", "replay", "m-1"])

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert len(sent(story)) == 1


def test_replay_of_everything_by_accident_is_misuse(story):
    """Neither names nor a reason is no selection."""
    assert runner.invoke(app, ["dlq", "replay", "--yes"]).exit_code == 2


def test_replay_of_what_is_no_envelope_says_how_to_mend_it(story):
    """It cannot be tried as it is."""
    result = runner.invoke(app, ["dlq", "replay", "--reason", "malformed_json", "--yes"])

    assert result.exit_code == 1
    assert "dlq show --raw" in result.stderr


def test_replay_of_a_task_goes_to_its_agent_again():
    """A task that its handler gave up on becomes a message whose target is that agent."""
    told = Story(rulebook(agent("research", ["lead"])))
    told.arrives(message("m-1", {"lead": 1}, conversation="ada"), at=0)
    task = told.tasks["research"]
    letter = DeadLetter.of(
        task.to_json(), topic="agent_tasks_research", message_id=task.id, conversation_id="ada",
        reason="handler_failed", detail="boom", failed_at=AT,
    )  # fmt: skip

    made = replay_of(letter, (), AT)

    assert isinstance(made, Envelope)
    assert (made.target, made.type, made.causationid) == ("research", "message.replayed", task.id)
    assert (made.hop, made.definitions, made.deadline) == (None, None, None)


def test_replay_of_a_cut_value_is_refused():
    """Half a message is not sent as if it were whole."""
    letter = DeadLetter.of(
        b"x" * 600_000, topic="agent_messages", reason="payload_too_large", detail="", failed_at=AT
    )

    assert letter.truncated
    assert "cut" in str(replay_of(letter, (), AT))
    assert raw_value(letter) == b"x" * 512 * 1024


def places(story: Story) -> list[str]:
    return [entry.place for entry in entries_of(facts_of(story.records(), ""))]


def mark_by_gateway(story: Story, place: str) -> None:
    mark = DeadLetterMark(place=place, status="discarded", note="a test", by="gateway", at=AT)
    story.broker.create_topic("dead_letter_marks", 1)
    story.broker.producer().send("dead_letter_marks", key=place.encode(), value=mark.to_json())


def test_list_leaves_out_what_was_discarded_and_says_so(story):
    """`--all` shows them too, each with its state."""
    mark_by_gateway(story, places(story)[0])

    listed = runner.invoke(app, ["dlq", "list", "--json"])
    every = runner.invoke(app, ["dlq", "list", "--all", "--json"])
    told = runner.invoke(app, ["dlq", "list"])

    assert [one["reason"] for one in json.loads(listed.stdout)] == ["malformed_json"]
    assert [one["state"] for one in json.loads(every.stdout)] == ["discarded", "open"]
    assert "1 dead letters: 1 malformed_json" in told.stderr
    assert "1 were discarded" in told.stderr


def test_replay_by_reason_leaves_out_what_was_discarded(story):
    """It says so and sends nothing; named, it is sent all the same."""
    mark_by_gateway(story, places(story)[0])

    result = runner.invoke(app, ["dlq", "replay", "--reason", "unknown_agent", "--yes"])

    assert result.exit_code == 1
    assert "discarded; name it" in result.stderr
    assert [m.id for m in sent(story)] == ["m-1"]

    assert runner.invoke(app, ["dlq", "replay", "m-1", "--yes"]).exit_code == 0
    assert [m.id for m in sent(story)] == ["m-1", replay_id("m-1", 0)]


def test_show_says_who_discarded_it_and_why(story):
    """In words, and as a record with `--json`."""
    place = places(story)[0]
    mark_by_gateway(story, place)

    assert "discarded by gateway" in runner.invoke(app, ["dlq", "show", place]).stdout
    shown = json.loads(runner.invoke(app, ["dlq", "show", place, "--json"]).stdout)
    assert (shown["state"], shown["discarded"]["note"]) == ("discarded", "a test")


def test_discard_marks_it_once_and_leaves_it_on_its_topic(story):
    """The mark has place, note and person; a second discard has nothing to do."""
    story.broker.create_topic("dead_letter_marks", 1)
    place = places(story)[0]
    command = ["dlq", "discard", "m-1", "--note", "spam", "--by", "Ada", "--yes"]

    first, second = runner.invoke(app, command), runner.invoke(app, command)

    records = read_topic(story.broker, "dead_letter_marks")
    marks = [DeadLetterMark.from_json(record.value or b"") for record in records]
    assert (first.exit_code, second.exit_code) == (0, 1)
    assert f"left out {place}: discarded before" in second.stderr
    assert [(one.place, one.note, one.by) for one in marks] == [(place, "spam", "Ada")]
    assert place in places(story)


def test_discard_needs_a_choice_and_a_yes_and_short_words(story):
    """Nothing is written by accident."""
    story.broker.create_topic("dead_letter_marks", 1)

    for arguments in (["--yes"], ["m-1"], ["m-1", "--yes", "--note", "x" * 2001]):
        assert runner.invoke(app, ["dlq", "discard", *arguments]).exit_code == 2
    assert runner.invoke(app, ["dlq", "discard", "m-1", "--dry-run"]).exit_code == 0
    assert list(read_topic(story.broker, "dead_letter_marks")) == []
