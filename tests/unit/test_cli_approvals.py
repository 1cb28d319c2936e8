"""`signalbox approvals`: one inbox of steps and messages, answers that reach them, and what is said of those that come too late."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from signalbox.cli.facts import facts_of
from signalbox.cli.inbox import items_of
from signalbox.cli.inbox_view import lines_of
from signalbox.cli.labels import choices_of
from signalbox.cli.main import app
from signalbox.contracts.chat import ChatAnswer
from tests.support.fleets import agent, message, rulebook
from tests.support.live_story import LiveStory, live
from tests.support.story import T0, Story
from tests.support.workflow_world import step, workflow

runner = CliRunner()

ASK = {"reason": "Charge {{ data.n }}?", "deadline_seconds": 86_400}
TWO = workflow(
    step("charge", approve=ASK),
    step("gift", by="bob", approve={**ASK, "reason": "A gift?", "default": "approve"}),
)
ANSWERS = {"ann": lambda _: {"ok": 1}, "bob": lambda _: {"ok": 1}}


def begun(patch: pytest.MonkeyPatch, *definitions: Any, **policy: Any) -> LiveStory:
    return live(patch, definitions or [workflow(step("charge", approve=ASK))], ANSWERS, **policy)


def start(story: LiveStory, conversation: str = "order-1", *, at: int = 100, n: int = 12) -> None:
    asked = message(f"m-{conversation}", {"n": n}, conversation=conversation, type="work.asked")
    story.arrives(asked, at=at)
    story.at = max(story.at, at)


def parked(story: LiveStory, *, at: int = 200) -> None:
    """Let a message that anybody could take come to a person: nobody is sure enough."""
    story.arrives(message("p-1", {"z": 1}, conversation="lead-1"), at=at)
    said = '{"agent": "cyd", "reason": "perhaps", "confidence": 0.2}'
    story.model_says(ChatAnswer(text=said, model="m"), at=at + 5)
    story.at = max(story.at, at + 5)


def called(*arguments: str) -> Result:
    return runner.invoke(app, ["approvals", *arguments])


def tokens(story: LiveStory) -> list[str]:
    reviews = [json.loads(record.value or b"") for record in story.records("agent_review")]
    return [one["token"] for one in reviews if "token" in one]


def shown(story: LiveStory, now: int) -> list[str]:
    items = items_of(facts_of(story.records(), ""), T0 + now)
    return [line.text for line in lines_of([o for o in items if o.closed is None], T0 + now)]


def test_list_shows_steps_and_messages_in_one_inbox_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Conversation, workflow, step, deadline in words, default; below each its reason, and by what it is answered."""
    story = begun(monkeypatch, review={"below_confidence": 0.5, "deadline_seconds": 3600})
    start(story)
    parked(story)

    assert shown(story, 10_000) == [
        "kind     conversation  workflow  step    due             default",
        "step     order-1       work      charge  in 23 h 59 min  reject",
        "  Charge 12?",
        f"  {tokens(story)[0]}",
        "message  lead-1        –         –       in 59 min 50 s  none",
        "  m chose cyd with confidence 0.20: perhaps",
        "  p-1",
    ]


def test_list_json_has_the_data_that_is_decided_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a program: the token, the deadline, the default and what the agent would be given."""
    story = begun(monkeypatch)
    start(story)
    (told,) = json.loads(called("list", "--json").stdout)["approvals"]

    wanted = ("kind", "conversation", "workflow", "step", "token", "default", "reason", "data")
    assert tuple(told[key] for key in wanted) == (
        "step",
        "order-1",
        "work",
        "charge",
        tokens(story)[0],
        "reject",
        "Charge 12?",
        {"n": 12},
    )


def test_list_of_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 and an empty stdout."""
    begun(monkeypatch)
    result = called("list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing waits for a person" in result.stderr


def test_approve_by_token_gives_the_step_out_and_says_what_happened_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record with name and comment, then the task, its answer and the outcome."""
    story = begun(monkeypatch)
    start(story)
    result = called("approve", tokens(story)[0], "--by", "ada", "--comment", "go on")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ada approved step charge: go on",
        "▶ charge → ann",
        "✓ charge  100 ms",
        "■ completed",
    ]
    (sent,) = story.received
    assert (sent.type, sent.source, sent.subject) == ("review.resolved", "cli", "order-1")
    assert sent.data == {
        "token": tokens(story)[0],
        "decision": "approve",
        "comment": "go on",
        "resolved_by": "ada",
    }


def test_reject_by_conversation_fails_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thing waits there, so the conversation names it; the outcome says who refused."""
    story = begun(monkeypatch)
    start(story)
    result = called("reject", "order-1")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "cli rejected step charge"
    assert "■ failed: workflow work: step charge: cli rejected step charge" in result.stdout
    assert not story.tasks


def test_approve_with_other_data_gives_the_agent_that(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a step and of a message, written out, in a file or piped in; the record says that it was edited."""
    given: list[Any] = []
    story = begun(monkeypatch, review={"below_confidence": 0.5})
    story.answers_of["ann"] = lambda task: given.append(task.data) or {"ok": 1}
    start(story)
    parked(story)
    (tmp_path / "edited.json").write_text('{"n": 6}')
    step_ = called("approve", "order-1", "--data", f"@{tmp_path / 'edited.json'}", "--by", "ada")
    piped = ["approvals", "approve", "p-1", "--agent", "cyd", "--data", "-"]
    message_ = runner.invoke(app, piped, input='{"z": 2}')

    assert (step_.exit_code, message_.exit_code) == (0, 0)
    assert step_.stdout.startswith("ada approved step charge on edited data")
    assert message_.stdout.startswith("cyd, cli decided on edited data")
    assert [one.data["data"] for one in story.received] == [{"n": 6}, {"z": 2}]
    assert (given, story.tasks["cyd"].data) == ([{"n": 6}], {"z": 2})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("order-1", "--data", "[1]"), "--data is a JSON list"),
        (("order-1", "--data", "{"), "--data is not JSON"),
        (("order-1", "--data", '{"m": 1}'), "ann does not accept the edited data: n: required"),
        (("p-1", "--agent", "ann", "--data", '{"m": 1}'), "ann does not accept the edited data"),
    ],
)
def test_approve_with_data_that_cannot_be_sends_nothing(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    """What is no object, or what the agent's contract refuses, is said at once; the question stays open."""
    takers = [agent(name, [], closed=False) for name in ("bob", "cyd")]
    agents = [agent("ann", ["n"], closed=False), *takers]
    story = begun(monkeypatch, agents=agents, review={"below_confidence": 0.5})
    start(story)
    parked(story)
    result = called("approve", *arguments)

    assert result.exit_code == 1 or result.exception is not None
    assert told in f"{result.stderr}{result.exception}"
    assert story.received == []
    assert len(json.loads(called("list", "--json").stdout)["approvals"]) == 2


def test_approve_by_a_conversation_in_which_two_things_wait_asks_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is guessed and nothing sent: both are named. Once one is answered, the conversation names the other."""
    story = begun(monkeypatch, TWO)
    start(story)
    result = called("approve", "order-1")
    assert (result.exit_code, story.received) == (1, [])
    assert "2 things wait in order-1; say which" in result.stderr
    assert all(token in result.stderr for token in tokens(story))
    called("approve", tokens(story)[0])

    assert called("reject", "order-1").stdout.startswith("cli rejected step gift")


def test_answer_to_what_is_answered_already_is_refused_with_who_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 1 and nothing sent: by token, and by conversation, with the record's words."""
    story = begun(monkeypatch)
    start(story)
    called("reject", tokens(story)[0], "--by", "ada", "--comment", "too dear")
    for name in (tokens(story)[0], "order-1"):
        result = called("approve", name)
        assert (result.exit_code, len(story.received)) == (1, 1)
        assert "step charge of work is not open any more" in result.stderr
        assert "ada rejected step charge: too dear" in result.stderr


def test_answer_after_the_deadline_is_refused_with_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also before the engine's record of it is there."""
    story = begun(monkeypatch)
    start(story)
    story.at = 90_000_100
    result = called("approve", tokens(story)[0])

    assert (result.exit_code, story.received) == (1, [])
    assert "expired 1 h 0 min ago; reject is the default" in result.stderr


def test_answer_to_an_unknown_token_says_how_many_are_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 1, nothing sent, and where to look."""
    story = begun(monkeypatch)
    start(story)
    result = called("approve", "approval-never")

    assert (result.exit_code, story.received) == (1, [])
    assert "1 open: `approvals list`" in result.stderr


def test_question_of_a_run_that_stopped_is_not_open_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cancelled while another step still runs: there is no outcome yet, and still nobody waits for an answer."""
    asked = workflow(step("charge", approve=ASK), step("slow", by="cyd"))
    story = begun(monkeypatch, asked)
    start(story)
    story.arrives(message("x-1", {}, conversation="order-1", type="workflow.cancel"), at=300)

    assert json.loads(called("list", "--json").stdout) == {"approvals": []}
    assert "its workflow has stopped" in called("approve", "order-1").stderr


def test_question_of_a_conversation_that_is_over_says_how_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another step failed before anybody answered: the outcome's status, not only that the run stopped."""
    story = begun(monkeypatch, workflow(step("charge", approve=ASK), step("b", by="cyd")))
    start(story)
    story.fails("cyd", "no", at=300)

    assert "the conversation ended as failed" in called("approve", tokens(story)[0]).stderr


def test_answer_that_the_engine_finds_late_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody was faster by a moment: the dead letter's words, exit code 1."""
    story = begun(monkeypatch)
    start(story)
    token = tokens(story)[0]
    plain = story.take

    def beaten(sent: Any) -> None:
        data = {"token": token, "decision": "approve", "resolved_by": "bea"}
        other = message("d-0", data, conversation="order-1", type="review.resolved")
        story.arrives(other, at=story.at + 1)
        plain(sent)

    story.take = beaten  # type: ignore[method-assign]
    result = called("reject", token)

    assert result.exit_code == 1
    assert "too late: no approval with data.token is open" in result.stderr


def test_answer_that_nobody_takes_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job does not run: exit code 1 after the time, and where to look."""
    story = begun(monkeypatch)
    start(story)
    story.is_running = False
    result = called("approve", "order-1", "--timeout", "1")

    assert result.exit_code == 1
    assert "is the job running?" in result.stderr


POLICY = {"review": {"below_confidence": 0.5, "deadline_seconds": 3600}}


def test_approve_of_a_message_gives_it_to_the_agent_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same inbox, by the message's id: `--agent` says who gets it."""
    story = begun(monkeypatch, **POLICY)
    parked(story)
    result = called("approve", "p-1", "--agent", "cyd", "--by", "ada")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "cyd, ada decided"
    assert story.received[0].data == {"message_id": "p-1", "agent": "cyd", "resolved_by": "ada"}
    assert list(story.tasks) == ["cyd"]


def test_reject_of_a_message_lets_nobody_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is told NONE, and the conversation ends."""
    story = begun(monkeypatch, **POLICY)
    parked(story)
    result = called("reject", "lead-1")

    assert result.exit_code == 0
    assert story.received[0].data == {"message_id": "p-1", "agent": "NONE"}
    assert "■ none" in result.stdout


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("p-1", [], "say --agent NAME, or reject it; its data is accepted by"),
        ("p-1", ["--agent", "dan"], "'dan' is no active agent"),
        ("order-1", ["--agent", "cyd"], "--agent is for messages"),
    ],
)
def test_approve_with_the_wrong_agent_is_misuse(
    monkeypatch: pytest.MonkeyPatch, name: str, more: list[str], words: str
) -> None:
    """Exit code 2, nothing sent, and who could get it."""
    story = begun(monkeypatch, **POLICY)
    start(story)
    parked(story)
    result = called("approve", name, *more)

    assert (result.exit_code, story.received) == (2, [])
    assert words in result.stderr


def test_message_that_is_asked_about_again_is_in_the_inbox_once() -> None:
    """A person chose somebody whose contract refuses the data: the newest question counts, and it is open."""
    rules = rulebook(
        agent("cyd", ["z"]), agent("strict", ["q"]), policy={"review": {"on_none": True}}
    )
    story = Story(rules)
    story.arrives(message("p-1", {"y": 1}, conversation="lead-1"), at=200)
    data = {"message_id": "p-1", "agent": "strict"}
    story.arrives(message("d-1", data, conversation="lead-1", type="review.resolved"), at=400)
    (item,) = items_of(facts_of(story.records(), ""), T0 + 1000)

    assert (item.name, item.closed) == ("p-1", None)
    assert item.review.reason == "strict does not accept the data; choose another agent or NONE"


def test_choices_of_people_are_of_messages_and_not_of_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`review labels` learns who was chosen for a message: who agreed to a step or cancelled a run chose nobody."""
    story = begun(monkeypatch, **POLICY)
    start(story)
    start(story, "order-2", at=150)
    parked(story)
    called("approve", tokens(story)[0])
    called("approve", "p-1", "--agent", "cyd")
    story.arrives(message("x-1", {}, conversation="order-2", type="workflow.cancel"), at=5000)
    found, gone = choices_of(facts_of(story.records(), ""))

    assert ([one.message.id for one in found], gone) == (["p-1"], 0)
