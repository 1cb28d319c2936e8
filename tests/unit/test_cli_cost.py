"""`cost` and `review`: what was spent on what, and what people's decisions teach."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from signalbox.cli import session
from signalbox.cli.main import app
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import load_agent, load_fleet
from signalbox.definitions.specs import FleetPolicy
from tests.support.fleets import agent, message
from tests.support.recorded_run import RecordedRun

runner = CliRunner()


@pytest.fixture
def run(monkeypatch) -> RecordedRun:
    """Three conversations: `ada` by a model, `bo` from the cache, `cy` decided by a person; the commands are on their broker."""
    agents = (
        agent("research", ["lead"]),
        agent("outreach", ["lead", "text"]),
        agent("nurture", ["lead", "text"]),
    )
    policy = FleetPolicy.model_validate({"name": "test", "review": {"below_confidence": 0.5}})
    run = RecordedRun(ActiveSet.of([Fleet(policy, {one.name: one for one in agents})]))
    for name in ("research", "outreach", "nurture"):
        run.broker.create_topic(f"agent_tasks_{name}", 1)
    run.send(message("a-1", {"lead": 1}, conversation="ada"))
    asked = {"lead": 1, "text": "Please call me on Tuesday"}
    run.answers(run.tasks.popitem()[1], asked, id="a-2", tokensused=40)
    run.model_says("ada", "outreach")
    answered = run.tasks.popitem()[1]
    run.answers(answered, {"done": 1}, id="a-3", tokensused=500)
    run.send(message("b-1", {"lead": 1, "text": "Hello"}, conversation="bo"))
    run.model_says("bo", "nurture", cached=True, tokens_in=0, tokens_out=0)
    run.send(message("c-1", {"lead": 1, "text": "Not now,\nmaybe later"}, conversation="cy"))
    run.model_says("cy", "outreach", confidence=0.1)
    run.resolves("cy", "c-1", "nurture")
    monkeypatch.setattr(session, "open_broker", lambda _: run.broker)
    return run


def cost(*arguments: str) -> dict[str, Any]:
    """The JSON of one question."""
    result = runner.invoke(app, ["cost", *arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout)
    return {"rows": {row["name"]: row for row in value["rows"]}, "total": value["total"]}


def test_cost_by_agent_tells_deciding_from_the_agents_own_work(run) -> None:
    """Tokens of the decision that chose an agent, and those its own answers report."""
    found = cost()

    assert (found["rows"]["outreach"]["tokens_in"], found["rows"]["outreach"]["tokens_out"]) == (
        300,
        20,
    )
    assert (found["rows"]["outreach"]["agent_tokens"], found["rows"]["outreach"]["tokens"]) == (
        500,
        820,
    )
    assert found["rows"]["research"]["agent_tokens"] == 40
    assert (found["total"]["tokens"], found["total"]["calls"]) == (860 + 320, 2)
    assert next(iter(found["rows"])) == "outreach"


def test_cost_by_model_counts_calls_and_what_the_cache_saved(run) -> None:
    """A cached answer is a decision without a call; what was left to a person was the model's call all the same."""
    found = cost("--by", "model")["rows"]

    assert (found["stub"]["decisions"], found["stub"]["calls"], found["stub"]["cached"]) == (
        3,
        2,
        1,
    )
    assert found["stub"]["tokens"] == 640
    assert "(a model, then a person)" not in found
    assert found["(agents' own work)"]["agent_tokens"] == 540
    assert found["(no model asked)"]["calls"] == 0


def test_cost_of_a_model_that_left_it_to_a_person_is_in_the_persons_decision(run) -> None:
    """The tokens that were spent before a review are not lost with the answer."""
    found = cost("--conversation", "cy")

    assert (found["total"]["calls"], found["total"]["tokens"]) == (1, 320)
    assert found["rows"]["nurture"]["decisions"] == 1


def test_cost_of_one_conversation_leaves_the_others_out(run) -> None:
    """By conversation there is a line for each; restricted, one conversation by agent."""
    assert cost("--by", "conversation")["rows"]["ada"]["tokens"] == 860
    assert cost("--conversation", "bo")["total"]["tokens"] == 0
    assert set(cost("--conversation", "bo")["rows"]) == {"nurture"}


def test_cost_counts_no_answer_that_nobody_asked_for_and_none_twice(run) -> None:
    """A claim to be an agent is not an expense, and a result that came twice was made once."""
    forged = {"source": "agent/outreach", "tokensused": 10**6}
    run.send(message("f-1", {"x": 1}, conversation="ada", causationid="task-of-nobody", **forged))
    again = run.answered[-1]
    run.answers(again, {"done": 1}, id="a-3", tokensused=500)

    assert cost()["total"]["tokens"] == 860 + 320


def test_cost_shows_a_person_a_table_with_a_total(run) -> None:
    """One line each, the dearest first, and the sum."""
    result = runner.invoke(app, ["cost"])

    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["agent", "decisions"]
    assert lines[1].startswith("outreach")
    assert lines[-1].split()[0] == "total"
    assert lines[-1].split()[-1] == str(860 + 320)


def test_cost_of_an_unknown_conversation_answers_no(run) -> None:
    """Exit code 1 and where ids come from."""
    result = runner.invoke(app, ["cost", "--conversation", "nobody"])

    assert (result.exit_code, result.stdout) == (1, "")
    assert "nobody" in result.stderr


def test_review_labels_are_rows_of_what_people_decided(run) -> None:
    """Only a person's choice is a label, with the data it was made on."""
    result = runner.invoke(app, ["review", "labels"])

    assert result.exit_code == 0, result.stderr
    (row,) = map(json.loads, result.stdout.splitlines())
    assert (row["id"], row["expected"], row["type"]) == ("c-1", "nurture", "lead.submitted")
    assert row["data"] == {"lead": 1, "text": "Not now,\nmaybe later"}
    assert "sender" not in row


def test_review_labels_name_the_proven_sender_but_not_of_an_escalation(run) -> None:
    """An agent's answer is decided under its handoffs; what it escalated a person decides freely."""
    run.send(message("d-1", {"lead": 1}, conversation="di"))
    task = next(task for task in run.tasks.values() if task.subject == "di")
    run.answers(task, {"lead": 1, "text": "Well"}, id="d-2")
    run.model_says("di", "outreach", confidence=0.1)
    run.resolves("di", "d-2", "outreach")
    task = next(task for task in run.tasks.values() if task.subject == "di")
    escalated = {"reason": "too dear", "data": {"lead": 1, "text": "Well"}}
    run.answers(task, escalated, id="d-3", kind="task.escalated")
    run.resolves("di", "d-3", "nurture")

    rows = [
        json.loads(line) for line in runner.invoke(app, ["review", "labels"]).stdout.splitlines()
    ]

    assert [(row["id"], row["expected"], row.get("sender")) for row in rows[1:]] == [
        ("d-2", "outreach", "research"),
        ("d-3", "nurture", None),
    ]
    assert rows[2]["data"] == {"lead": 1, "text": "Well"}
    assert "type" not in rows[2]


def test_review_examples_are_printed_before_they_are_anything(run) -> None:
    """On one line, quoted, below the agent a person chose."""
    result = runner.invoke(app, ["review", "examples"])

    assert result.stdout == '# nurture\nexamples:\n- "Not now, maybe later"\n'


def test_review_examples_for_an_agent_that_is_not_there_is_misuse(run, tmp_path) -> None:
    """A mistyped name is answered with the names there are, not with silence."""
    shutil.copy(SDR / "send_email.yaml", tmp_path)
    shutil.copy(SDR / "fleet.yaml", tmp_path)

    result = runner.invoke(
        app, ["review", "examples", "--agent", "nurtur", "--into", str(tmp_path)]
    )

    assert result.exit_code == 2
    assert "no definition of nurtur there; it defines send_email" in result.stderr


SDR = Path(__file__).resolve().parents[2] / "agent_definitions" / "sdr"


@pytest.fixture
def fleet_folder(tmp_path) -> Path:
    """The sdr fleet with an agent of the name that the person chose."""
    folder = tmp_path / "sdr"
    shutil.copytree(SDR, folder)
    (folder / "nurture_campaign.yaml").unlink()
    text = (SDR / "nurture_campaign.yaml").read_text()
    (folder / "nurture.yaml").write_text(text.replace("name: nurture_campaign", "name: nurture", 1))
    return folder


def test_review_examples_into_a_folder_are_added_once_and_leave_the_rest(run, fleet_folder) -> None:
    """The file keeps its comments and its schemas; a second time adds nothing."""
    path = fleet_folder / "nurture.yaml"
    before = load_agent(path)

    first = runner.invoke(app, ["review", "examples", "--into", str(fleet_folder)])
    written = path.read_text()
    second = runner.invoke(app, ["review", "examples", "--into", str(fleet_folder)])

    after = load_agent(path)
    assert first.exit_code == second.exit_code == 0, first.stderr
    assert after.examples == (*before.examples, "Not now, maybe later")
    assert after.model_copy(update={"examples": before.examples}) == before
    assert path.read_text() == written
    assert {one.name for one in fleet_folder.iterdir()} == {one.name for one in SDR.iterdir()} - {
        "nurture_campaign.yaml"
    } | {"nurture.yaml"}
    load_fleet(fleet_folder)


def test_review_examples_into_a_folder_without_the_agent_change_nothing(run) -> None:
    """What is missing is named, with what is there."""
    result = runner.invoke(app, ["review", "examples", "--into", str(SDR)])

    assert result.exit_code == 2
    assert "no definition of nurture" in result.stderr
